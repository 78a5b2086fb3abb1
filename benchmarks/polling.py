"""What busy polling costs a service that has little to do, and what it spares one that has much.

    python -m benchmarks.polling [--seconds N] [--json FILE]

One service, in a process of its own, is left alone, called now and then, and called again and again. Told are
the calls' time, the service's processor time and how often it polled before it slept. Knows the runtime's
public face only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import attrs

import ipcc
from corelib import EventLoop
from ipclib import MultiServer

ROOT = Path(__file__).parent.parent
CALLS_A_SECOND = (0, 1, 10, 100, 1000, 10_000)
"""0 is a service that is left alone."""

interface: Any = ipcc.load(Path(__file__).with_name("Polling.ipc"))


class Service(interface.ConnectionFromClient):  # type: ignore[misc]
    """Tells of itself."""

    def add(self, a: int, b: int) -> int:
        return a + b

    def effort(self) -> tuple[int, int, int]:
        seen = EventLoop.current().snapshot()
        return seen.polls, seen.poll_hits, time.process_time_ns()


@attrs.frozen
class Figure:
    """What so many calls a second cost."""

    calls_a_second: int
    call: float
    """Seconds, the median; 0 where there was none."""
    polls_a_second: float
    """Of the service, and how many of them found something."""
    hits_a_second: float
    processor: float
    """Of the service: the share of one processor."""


def serve(path: str) -> None:
    with EventLoop() as loop:
        server = MultiServer(Service, path)
        print("ready", flush=True)
        loop.exec()
        server.close()


@contextmanager
def _service(path: str) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.polling", "--serve", path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise SystemExit("the service ended early")
            yield
        finally:
            process.kill()


def measure(seconds: float) -> list[Figure]:
    """Each pace for so long."""
    with ExitStack() as running, EventLoop() as loop:
        path = running.enter_context(tempfile.TemporaryDirectory()) + "/service"
        running.enter_context(_service(path))
        client = interface.ConnectionToServer.connect(path)
        return [_at_pace(loop, client, pace, seconds) for pace in CALLS_A_SECOND]


def _at_pace(loop: EventLoop, client: Any, pace: int, seconds: float) -> Figure:
    # The first two askings settle what the pace before has left.
    client.effort()
    loop.spin_until(lambda: False, 0.1)
    before, began = client.effort(), time.monotonic()
    times = [_timed_call(loop, client, began + number / pace) for number in range(int(seconds * pace))]
    loop.spin_until(lambda: False, began + seconds - time.monotonic())
    took, after = time.monotonic() - began, client.effort()
    return Figure(
        pace,
        statistics.median(times) if times else 0.0,
        (after.polls - before.polls) / took,
        (after.hits - before.hits) / took,
        (after.processor_ns - before.processor_ns) / 1e9 / took,
    )


def _timed_call(loop: EventLoop, client: Any, at: float) -> float:
    if time.monotonic() < at - 0.001:
        loop.spin_until(lambda: False, at - time.monotonic())
    while time.monotonic() < at:
        pass
    start = time.perf_counter()
    assert client.add(20, 22) == 42
    return time.perf_counter() - start


def show(figures: list[Figure]) -> None:
    print(f"{'calls a second':>14}{'call, us':>12}{'polls a second':>18}{'in time':>12}{'processor':>12}")
    for one in figures:
        print(
            f"{one.calls_a_second:14,}{one.call * 1e6:12.1f}{one.polls_a_second:18,.1f}"
            f"{one.hits_a_second:12,.1f}{one.processor:12.2%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each pace")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    parser.add_argument("--serve", metavar="SOCKET", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve)
    figures = measure(options.seconds)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps([attrs.asdict(one) for one in figures], indent=2) + "\n")
    return None


if __name__ == "__main__":
    main()
