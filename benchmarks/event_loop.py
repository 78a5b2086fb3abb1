"""Owns the benchmark of the loop beside asyncio's and uvloop's: medians over rounds, and ratios to asyncio.
Must not know anything inside the loops. uvloop takes part if it is installed (the extra `bench`).

    python -m benchmarks.event_loop [--rounds N] [--json FILE]"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from corelib import EventLoop, Notifier, Timer

DEFERRED = 100_000
TURNS = 100_000
TIMERS = 100_000
LONGEST_MS = 50
ACTIVATIONS = 30_000


class Contestant(Protocol):
    """The operations that all three loops have."""

    def soon(self, callback: Callable[[], object]) -> object: ...

    def arm(self, delay_ms: int, callback: Callable[[], object]) -> Callable[[], object]:
        """Start a timer; return a function that cancels it."""
        ...

    def watch(self, readable: socket.socket, callback: Callable[[], object]) -> Callable[[], object]:
        """Watch a socket; return a function that stops watching."""
        ...

    def run(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


class Corelib:
    def __init__(self) -> None:
        self._loop = EventLoop()
        self.soon = self._loop.deferred_invoke
        self.stop = self._loop.quit
        self.close = self._loop.close

    def arm(self, delay_ms: int, callback: Callable[[], object]) -> Callable[[], object]:
        timer = Timer.create_single_shot(delay_ms, callback)
        timer.start()
        return timer.stop

    def watch(self, readable: socket.socket, callback: Callable[[], object]) -> Callable[[], object]:
        return Notifier(readable, Notifier.Type.READ, callback).close

    def run(self) -> None:
        self._loop.exec()


class Asyncio:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.soon = loop.call_soon
        self.stop = loop.stop
        self.close = loop.close
        self.run = loop.run_forever

    def arm(self, delay_ms: int, callback: Callable[[], object]) -> Callable[[], object]:
        return self._loop.call_later(delay_ms / 1000, callback).cancel

    def watch(self, readable: socket.socket, callback: Callable[[], object]) -> Callable[[], object]:
        self._loop.add_reader(readable, callback)
        return lambda: self._loop.remove_reader(readable)


def contestants() -> dict[str, Callable[[], Contestant]]:
    """Return the loops that can take part, ours first."""
    made: dict[str, Callable[[], Contestant]] = {
        "corelib": Corelib,
        "asyncio": lambda: Asyncio(asyncio.SelectorEventLoop()),
    }
    try:
        import uvloop
    except ImportError:
        return made
    return made | {"uvloop": lambda: Asyncio(uvloop.new_event_loop())}


def deferred(loop: Contestant) -> float:
    """Measure callbacks a second, all queued before the loop runs."""
    called = 0

    def callback() -> None:
        nonlocal called
        called += 1

    start = time.perf_counter()
    for _ in range(DEFERRED):
        loop.soon(callback)
    loop.soon(loop.stop)
    loop.run()
    seconds = time.perf_counter() - start
    assert called == DEFERRED
    return DEFERRED / seconds


def turns(loop: Contestant) -> float:
    """Measure turns a second, each with one callback that queues the next."""
    left = TURNS

    def callback() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.soon(callback)
        else:
            loop.stop()

    start = time.perf_counter()
    loop.soon(callback)
    loop.run()
    return TURNS / (time.perf_counter() - start)


def timers(loop: Contestant) -> float:
    """Measure timers a second: all armed, every second one cancelled, the others fired."""
    fired = 0

    def callback() -> None:
        nonlocal fired
        fired += 1

    start = time.perf_counter()
    cancels = [loop.arm(number % LONGEST_MS, callback) for number in range(TIMERS)]
    for cancel in cancels[::2]:
        cancel()
    loop.arm(LONGEST_MS, loop.stop)
    loop.run()
    seconds = time.perf_counter() - start
    assert fired == TIMERS // 2
    return TIMERS / seconds


def dispatch(loop: Contestant) -> float:
    """Measure activations a second of a socket that stays readable: the loop's own cost, with its poll."""
    with _socket_pair() as (one, other):
        left = ACTIVATIONS

        def callback() -> None:
            nonlocal left
            left -= 1
            if not left:
                loop.stop()

        other.send(b"x")
        return _activations_a_second(loop, one, callback)


def ping(loop: Contestant) -> float:
    """Measure activations a second, in each of which a byte is received and one is sent."""
    with _socket_pair() as (one, other):
        left = ACTIVATIONS

        def callback() -> None:
            nonlocal left
            left -= 1
            one.recv(1)
            if left:
                other.send(b"x")
            else:
                loop.stop()

        other.send(b"x")
        return _activations_a_second(loop, one, callback)


def _activations_a_second(loop: Contestant, readable: socket.socket, callback: Callable[[], object]) -> float:
    stop_watching = loop.watch(readable, callback)
    start = time.perf_counter()
    loop.run()
    seconds = time.perf_counter() - start
    stop_watching()
    return ACTIVATIONS / seconds


@contextmanager
def _socket_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


WORK: dict[str, Callable[[Contestant], float]] = {
    "deferred callbacks": deferred,
    "turns": turns,
    "timers armed, cancelled, fired": timers,
    "notifier dispatch": dispatch,
    "notifier, receive and send": ping,
}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return the median rate of each work and loop."""
    makers = contestants()
    samples: dict[str, dict[str, list[float]]] = {work: {name: [] for name in makers} for work in WORK}
    for _ in range(rounds):
        for work, run in WORK.items():
            for name, make in makers.items():
                loop = make()
                samples[work][name].append(run(loop))
                loop.close()
    return {
        work: {name: statistics.median(values) for name, values in by_name.items()}
        for work, by_name in samples.items()
    }


def show(medians: dict[str, dict[str, float]]) -> None:
    """Print the table: thousands a second, and the ratio to asyncio."""
    names = list(next(iter(medians.values())))
    print(f"{'thousands a second (times asyncio)':36}" + "".join(f"{name:>18}" for name in names))
    for work, by_name in medians.items():
        cells = [f"{rate / 1000:10,.0f} ({rate / by_name['asyncio']:.2f})" for rate in by_name.values()]
        print(f"{work:36}" + "".join(f"{cell:>18}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the event loop with asyncio and uvloop.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the medians to FILE")
    arguments = parser.parse_args()
    medians = measure(arguments.rounds)
    show(medians)
    if arguments.json:
        arguments.json.write_text(json.dumps(medians, indent=2) + "\n")


if __name__ == "__main__":
    main()
