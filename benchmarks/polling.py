"""Owns the benchmark of busy polling: what it costs an idle service, and what it saves a busy one.
Must not know anything inside the runtime: the service reports its own polls and processor time.

    python -m benchmarks.polling [--seconds N] [--json FILE]"""

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
    """Adds numbers, and reports its own polls and processor time."""

    def add(self, a: int, b: int) -> int:
        return a + b

    def effort(self) -> tuple[int, int, int]:
        seen = EventLoop.current().snapshot()
        return seen.polls, seen.poll_hits, time.process_time_ns()


@attrs.frozen
class Figure:
    """The cost of calls at one pace."""

    calls_a_second: int
    call: float
    """Median seconds of a call; 0 if there was none."""
    polls_a_second: float
    """The service's polls before a sleep."""
    hits_a_second: float
    """The polls that found something in time."""
    processor: float
    """The service's share of one processor."""


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
    """Measure each pace for `seconds` seconds."""
    with ExitStack() as running, EventLoop() as loop:
        path = running.enter_context(tempfile.TemporaryDirectory()) + "/service"
        running.enter_context(_service(path))
        client = interface.ConnectionToServer.connect(path)
        return [_at_pace(loop, client, pace, seconds) for pace in CALLS_A_SECOND]


def _at_pace(loop: EventLoop, client: Any, pace: int, seconds: float) -> Figure:
    # The first question and the pause end what the previous pace has left.
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
    parser = argparse.ArgumentParser(description="Measure what busy polling costs and saves.")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each pace")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
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
