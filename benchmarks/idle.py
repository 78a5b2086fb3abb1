"""Owns the benchmark of idle clients: a service's memory for each, and the time of a call of a busy one.
Must not know anything inside the runtime. --lines shows the lines of code that hold the memory.

    python -m benchmarks.idle [--clients N] [--rounds N] [--lines N] [--json FILE]"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import attrs

import ipcc
from benchmarks.contest import open_files
from corelib import EventLoop
from ipclib import Limits, MultiServer

ROOT = Path(__file__).parent.parent

CALLS = 2000
CONNECT_TIMEOUT = 10.0
_SPARE = 64
"""Descriptors and connections in addition to the clients' own."""

idle: Any = ipcc.load(Path(__file__).with_name("Idle.ipc"))


class Service(idle.ConnectionFromClient):  # type: ignore[misc]
    """A connection without data of its own, so that only the runtime's cost is measured."""

    def add(self, a: int, b: int) -> int:
        return a + b

    def trace(self) -> None:
        gc.collect()
        tracemalloc.start()

    def traced(self, lines: int) -> tuple[list[int], list[str]]:
        gc.collect()
        held = tracemalloc.take_snapshot().statistics("lineno")[:lines]
        tracemalloc.stop()
        return [one.size for one in held], [_place(one.traceback[0]) for one in held]


def _place(frame: tracemalloc.Frame) -> str:
    path = Path(frame.filename)
    return f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}:{frame.lineno}"


# --- the processes ---


def serve(path: str, clients: int) -> None:
    """Serve until killed."""
    loop = EventLoop()
    server = MultiServer(Service, path, limits=Limits(max_connections=clients + _SPARE))
    print("listening", flush=True)
    loop.exec()
    server.close()


def crowd(path: str, clients: int) -> None:
    """Connect `clients` clients; let each make a call for each line of input, and end with the input."""
    with EventLoop():
        connected = [idle.ConnectionToServer.connect(path, patience=CONNECT_TIMEOUT) for _ in range(clients)]
        # Clients are accepted in order, so all are connected when the last one is answered.
        assert connected[-1].add(1, 1) == 2
        print("connected", flush=True)
        for _line in sys.stdin:
            assert all(client.add(1, number) == 1 + number for number, client in enumerate(connected))
            print("called", flush=True)


@contextmanager
def _process(role: str, path: str, clients: int) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-m", "benchmarks.idle", "--clients", str(clients), f"--{role}", path]
    with subprocess.Popen(
        arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            _expect(process)
            yield process
        finally:
            process.kill()


def _expect(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if not process.stdout.readline():
        raise SystemExit(f"{process.args!r} ended early")


def _let_call(members: subprocess.Popen[str]) -> None:
    assert members.stdin is not None
    members.stdin.write("call\n")
    members.stdin.flush()
    _expect(members)


# --- measurements ---


def resident(pid: int) -> int:
    """Return the bytes of memory that only this process uses (Private_Dirty of proc_pid_smaps(5))."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"the kernel does not show the memory of process {pid}")


def seconds_a_call(client: Any) -> float:
    start = time.perf_counter()
    for number in range(CALLS):
        assert client.add(number, 1) == number + 1
    return (time.perf_counter() - start) / CALLS


@attrs.frozen
class Figures:
    clients: int
    bytes_connected: float
    """The service's memory for each connected client, in bytes."""
    bytes_called: float
    """The service's memory for each client after a call, in bytes."""
    call_alone: float
    """Seconds of a call of the only client."""
    call_among_idle: float
    """Seconds of a call while all the others are connected."""
    ratio: float
    """The median of the rounds' ratios."""


def measure(clients: int, rounds: int) -> Figures:
    """Make the same calls to two services in turn, one of which has all the idle clients."""
    with ExitStack() as running, EventLoop():
        folder = running.enter_context(tempfile.TemporaryDirectory())
        quiet, full = f"{folder}/quiet", f"{folder}/full"
        running.enter_context(_process("serve", quiet, clients))
        service = running.enter_context(_process("serve", full, clients))
        alone = idle.ConnectionToServer.connect(quiet)
        among = idle.ConnectionToServer.connect(full)
        seconds_a_call(alone), seconds_a_call(among)
        # The first clients use memory that was freed when the service had started, so they are not counted.
        first = clients // 4
        running.enter_context(_process("crowd", full, first))
        before = resident(service.pid)
        members = running.enter_context(_process("crowd", full, clients - first))
        connected = resident(service.pid) - before
        _let_call(members)
        called = resident(service.pid) - before
        pairs = [(seconds_a_call(alone), seconds_a_call(among)) for _ in range(rounds)]
    return Figures(
        clients,
        connected / (clients - first),
        called / (clients - first),
        statistics.median(one for one, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(other / one for one, other in pairs),
    )


def lines_held(clients: int, lines: int) -> list[tuple[float, str]]:
    """Return the bytes that each line of code holds for a client after a call, largest first."""
    with ExitStack() as running, EventLoop():
        path = running.enter_context(tempfile.TemporaryDirectory()) + "/service"
        running.enter_context(_process("serve", path, clients))
        tracer = idle.ConnectionToServer.connect(path)
        seconds_a_call(tracer)
        tracer.async_trace()
        assert tracer.add(1, 1) == 2
        members = running.enter_context(_process("crowd", path, clients))
        _let_call(members)
        held = tracer.traced(lines)
    return [(size / clients, place) for size, place in zip(held.sizes, held.places, strict=True)]


def show(figures: Figures) -> None:
    print(f"{figures.clients} idle clients")
    print(f"  {'memory of the service for each, connected':<48}{figures.bytes_connected / 1024:8.1f} KiB")
    print(f"  {'after a call of each':<48}{figures.bytes_called / 1024:8.1f} KiB")
    print(f"  {'a call of a busy client, alone':<48}{figures.call_alone * 1e6:8.1f} us")
    print(f"  {'among them':<48}{figures.call_among_idle * 1e6:8.1f} us")
    print(f"  {'times as long, median of the rounds':<48}{figures.ratio:8.2f}")


def show_lines(held: list[tuple[float, str]]) -> None:
    print("\nbytes for each client, after a call, by the line that allocated them")
    for size, place in held:
        print(f"  {size:8.0f}  {place}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what idle clients cost a service.")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument(
        "--lines", type=int, default=0, metavar="N", help="show the N lines that hold the most memory"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    for role in ("serve", "crowd"):
        parser.add_argument(f"--{role}", metavar="SOCKET", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if open_files.raise_limit() < options.clients + _SPARE:
        parser.error(f"this system does not grant {options.clients} open files: give fewer --clients")
    if options.serve:
        return serve(options.serve, options.clients)
    if options.crowd:
        return crowd(options.crowd, options.clients)
    figures = measure(options.clients, options.rounds)
    show(figures)
    if options.lines:
        show_lines(lines_held(options.clients, options.lines))
    if options.json:
        options.json.write_text(json.dumps(attrs.asdict(figures), indent=2) + "\n")


if __name__ == "__main__":
    main()
