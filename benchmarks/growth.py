"""Owns the benchmark of growth: the time of one more timer, descriptor, callback or message among many.
Must not know anything inside loop, runtime and compiler.

    python -m benchmarks.growth [--rounds N] [--json FILE]"""

from __future__ import annotations

import argparse
import functools
import json
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import ipcc
from benchmarks import compiler
from benchmarks.contest import open_files
from corelib import EventLoop, LocalSocket, Notifier, Timer, WaitMode

REPEATS = 2_000
CALLS = 300
HOUR_MS = 3_600_000


def arm_and_cancel(others: int) -> float:
    """Measure the seconds to start and stop a timer while `others` run.

    The queue's occasional removal of stopped timers is included."""
    with EventLoop():
        running = _hour_long_timers(others)
        # Due among the others, not always before or after all of them.
        timers = [_timer(HOUR_MS + number * max(others, 1) // REPEATS) for number in range(REPEATS)]
        times = max(1, others // REPEATS)
        start = time.perf_counter()
        for _ in range(times):
            for timer in timers:
                timer.start()
                timer.stop()
        seconds = time.perf_counter() - start
        assert all(timer.is_active for timer in running)
    return seconds / (times * REPEATS)


def fire(others: int) -> float:
    """Measure the seconds to fire a due timer while `others` run."""
    fired = 0

    def count() -> None:
        nonlocal fired
        fired += 1

    with EventLoop() as loop:
        running = _hour_long_timers(others)
        for _ in range(REPEATS):
            Timer.create_single_shot(0, count).start()
        start = time.perf_counter()
        while fired < REPEATS:
            loop.pump(WaitMode.POLL_FOR_EVENTS)
        seconds = time.perf_counter() - start
        assert fired == REPEATS
        assert all(timer.is_active for timer in running)
    return seconds / REPEATS


def _hour_long_timers(count: int) -> list[Timer]:
    timers = [_timer(HOUR_MS + number) for number in range(count)]
    for timer in timers:
        timer.start()
    return timers


def _timer(interval_ms: int) -> Timer:
    return Timer.create_single_shot(interval_ms, _never)


def turn(idle: int) -> float:
    """Measure the seconds of a turn with one ready descriptor and `idle` watched ones that are not."""
    with ExitStack() as open_files, EventLoop() as loop:
        for _ in range(idle):
            fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            open_files.callback(os.close, fd)
            open_files.enter_context(closing(Notifier(fd, Notifier.Type.READ, _never)))
        one, other = (open_files.enter_context(end) for end in socket.socketpair())
        activated = 0

        def count() -> None:
            nonlocal activated
            activated += 1

        open_files.enter_context(closing(Notifier(one, Notifier.Type.READ, count)))
        other.send(b"x")
        start = time.perf_counter()
        for _ in range(REPEATS):
            loop.pump(WaitMode.POLL_FOR_EVENTS)
        seconds = time.perf_counter() - start
        assert activated == REPEATS
        open_files.pop_all().close()  # Before the notifiers' loop closes.
    return seconds / REPEATS


def _never() -> None:
    raise AssertionError("a callback that is neither due nor ready was called")


def deferred(count: int) -> float:
    """Measure the seconds to queue and call a callback when `count` are queued at once."""
    called = 0

    def callback() -> None:
        nonlocal called
        called += 1

    batches = max(1, REPEATS // count)
    with EventLoop() as loop:
        start = time.perf_counter()
        for _ in range(batches):
            for _ in range(count):
                loop.deferred_invoke(callback)
            loop.pump(WaitMode.POLL_FOR_EVENTS)
        seconds = time.perf_counter() - start
    assert called == batches * count
    return seconds / called


def call(messages: int) -> float:
    """Measure the seconds of a call in an interface of `messages` messages, both ends on one loop."""
    adders = _adders(messages)
    with EventLoop():
        ours, theirs = LocalSocket.pair()
        service, client = _service(adders)(theirs), adders.ConnectionToServer(ours)
        assert client.add(1, 1) == 2
        start = time.perf_counter()
        for number in range(CALLS):
            assert client.add(number, 1) == number + 1
        seconds = time.perf_counter() - start
        client.shutdown()
        service.shutdown()
    return seconds / CALLS


def _service(adders: Any) -> Any:
    class Service(adders.ConnectionFromClient):  # type: ignore[misc]
        def add(self, a: int, b: int) -> int:
            return a + b

    return Service


@functools.cache
def _adders(messages: int) -> Any:
    """Return the module of an interface of `messages` equal messages; add() is the last."""
    names = [*(f"add_{number}" for number in range(messages - 1)), "add"]
    lines = [f"    {name}(i32 a, i32 b) => (i32 sum)" for name in names]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "Adders.ipc")
        source.write_text("\n".join(["endpoint AddersServer", "{", *lines, "}", ""]))
        return ipcc.load(source)


def compile_interface(messages: int) -> float:
    """Measure the seconds to compile an interface of `messages` messages."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "Large.ipc")
        source.write_text(compiler.interface(messages))
        return compiler.compile_seconds(source)


def import_module(messages: int) -> float:
    """Measure the seconds to import a module with cached bytecode, after ipclib."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "Large.ipc"
        source.write_text(compiler.interface(messages))
        ipcc.compile_file(source, folder / "large_ipc.py")
        compiler.import_seconds(folder)
        return compiler.import_seconds(folder)


class Work(NamedTuple):
    name: str
    among: str
    """The things whose number grows."""
    sizes: Sequence[int]
    run: Callable[[int], float]


_TIMERS = (1, 100, 10_000, 100_000)
_MESSAGES = (1, 10, 50, 150, 500)

WORKS = (
    Work("timer armed and cancelled", "timers armed", _TIMERS, arm_and_cancel),
    Work("timer fired", "timers armed", _TIMERS, fire),
    Work("turn with one ready", "idle notifiers", (1, 10, 100, 1_000, 2_000), turn),
    Work("deferred callback", "queued at once", (1, 100, 10_000, 100_000), deferred),
    Work("call", "messages in the interface", _MESSAGES, call),
    Work("compile", "messages in the interface", _MESSAGES, compile_interface),
    Work("import", "messages in the interface", _MESSAGES, import_module),
)


def measure(rounds: int) -> dict[str, dict[int, float]]:
    """Return median seconds by work and by number."""
    samples: dict[str, dict[int, list[float]]] = {
        work.name: {size: [] for size in work.sizes} for work in WORKS
    }
    for _ in range(rounds):
        for work in WORKS:
            for size in work.sizes:
                samples[work.name][size].append(work.run(size))
    return {
        name: {size: statistics.median(seconds) for size, seconds in by_size.items()}
        for name, by_size in samples.items()
    }


def show(medians: dict[str, dict[int, float]]) -> None:
    """Print the table: for each work the numbers, the time of one, and its ratio to the first line's."""
    for work in WORKS:
        by_size = medians[work.name]
        first = by_size[work.sizes[0]]
        print(f"{work.name}, by {work.among}")
        for size, seconds in by_size.items():
            print(f"  {size:>9,}{_readable(seconds):>14}{seconds / first:9.2f} times")


def _readable(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what one more costs among many.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the seconds to FILE")
    options = parser.parse_args()
    open_files.raise_limit()
    medians = measure(options.rounds)
    show(medians)
    if options.json:
        options.json.write_text(json.dumps(medians, indent=2) + "\n")


if __name__ == "__main__":
    main()
