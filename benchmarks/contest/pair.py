"""Owns a contestant's two processes, server and client, the folder of their socket, and the cost of a work.
Must not know any contestant. Processes and folder are removed whatever fails."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import attrs

from benchmarks.contest.contestants import Contestant, Cpus

TIMEOUT = 60.0
"""Seconds that a start, or a work, may take."""


class ContestantFailed(Exception):
    """A contestant crashed, hung or answered wrongly; the text has the errors that its processes printed."""


@attrs.frozen
class Cost:
    """The time of a work, in seconds."""

    wall: float
    cpu: float
    """Processor time of both processes, and of those between them."""
    on_one_processor: bool
    """Whether server and client last ran on the same processor."""


class Pair:
    """A server and its client, ready to work until close()."""

    def __init__(self, contestant: Contestant) -> None:
        """Start both processes.

        Raises:
            ContestantFailed: one of them did not start.
        """
        self.contestant = contestant
        self._on_exit = contextlib.ExitStack()
        try:
            folder = Path(self._on_exit.enter_context(tempfile.TemporaryDirectory(prefix="contest-")))
            self.address = str(folder / "socket")
            self._errors = self._on_exit.enter_context((folder / "stderr").open("w+b", buffering=0))
            self._server = self._start("server")
            self._server_end = os.pidfd_open(self._server.pid)
            self._on_exit.callback(os.close, self._server_end)
            _ready, *further_pids = self._read(self._server).split()
            self._client = self._start("client")
            self.works = frozenset(json.loads(self._read(self._client)))
        except BaseException:
            self.close()
            raise
        self.pids = (self._server.pid, self._client.pid, *map(int, further_pids))
        """The processes whose CPU time counts."""

    def run(self, work: str, *arguments: int) -> Cost:
        """Let the client do one of its `works`.

        Raises:
            ContestantFailed: an answer was wrong, or a process ended.
        """
        before = self._cpu_time()
        self._write(json.dumps([work, *arguments]) + "\n")
        wall = json.loads(self._read(self._client))
        cpu = self._cpu_time() - before
        server, client = (_processor(pid) for pid in self.pids[:2])
        return Cost(wall, cpu, server == client)

    def close(self) -> None:
        """End both processes."""
        self._on_exit.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, side: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                self.contestant.python,
                "-m",
                f"benchmarks.contest.{side}",
                self.contestant.module,
                self.address,
            ],
            cwd=self.contestant.root,
            env=os.environ | self.contestant.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            process_group=0,
            preexec_fn=_move(self.contestant.cpus, side),
        )
        self._on_exit.callback(_end, process)
        return process

    def _write(self, line: str) -> None:
        try:
            _pipe(self._client.stdin).write(line)
            _pipe(self._client.stdin).flush()
        except BrokenPipeError:
            raise self._failure("the client ended") from None

    def _read(self, process: subprocess.Popen[str]) -> str:
        pipe = _pipe(process.stdout)
        readable, _, _ = select.select([pipe.fileno(), self._server_end], [], [], TIMEOUT)
        if not readable:
            raise self._failure(f"it did not answer for {TIMEOUT:.0f} s")
        if pipe.fileno() not in readable:
            raise self._failure("the server ended")
        line = pipe.readline()
        if not line:
            raise self._failure("it ended")
        return line

    def _failure(self, what: str) -> ContestantFailed:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip()
        return ContestantFailed(f"{self.contestant.name}: {what}\n{said}")

    def _cpu_time(self) -> float:
        try:
            return sum(time.clock_gettime_ns(_cpu_clock(pid)) for pid in self.pids) / 1e9
        except OSError:
            raise self._failure("one of its processes ended") from None


def _cpu_clock(pid: int) -> int:
    """Return the clock of the time that a process's threads have run.

    clock_getcpuclockid(3): its number is the inverted pid above three bits that select the kind of clock."""
    return (~pid << 3) | 2


def _processor(pid: int) -> int:
    """Return the number of the processor on which a process last ran (proc_pid_stat(5), field 39)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    return int(after_name.split()[36])


def _move(cpus: Cpus, side: str) -> Callable[[], None] | None:
    """Return a function that binds a process to its processor."""
    if cpus is Cpus.ANY:
        return None
    ours = sorted(os.sched_getaffinity(0))
    place = ours[-1] if cpus is Cpus.TWO and side == "server" else ours[0]
    return partial(os.sched_setaffinity, 0, {place})


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process with all that it started, which is in its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            _pipe(pipe).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None, "Popen was given PIPE"
    return pipe
