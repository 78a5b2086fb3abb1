"""Owns a service under attack: its process, the canary that calls it meanwhile, and the measuring of both.
Must not know the attacks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from tests.abuse import wire
from tests.abuse.wire import GUARD, Peer

ROOT = Path(__file__).parent.parent.parent

_TRIMMING_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "32768"}
"""mallopt(3): freed larger blocks go back to the system, so the resident memory is what is used."""


class Failed(AssertionError):
    """Something that must hold did not."""


def require(holds: bool, what: str) -> None:
    """Raise Failed unless it holds."""
    if not holds:
        raise Failed(what)


def start(module: str, *arguments: str, log: Any = None) -> subprocess.Popen[str]:
    """Start a module of this package in a process of its own, and wait until it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.abuse.{module}", *arguments],
        cwd=ROOT,
        env={**os.environ, **_TRIMMING_MALLOC},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdout is not None
    require(process.stdout.readline() == "ready\n", f"{module} did not start")
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process and close its pipes."""
    process.kill()
    process.communicate()


@attrs.frozen
class Measures:
    """The descriptors and the memory of a process at one moment."""

    fds: int
    resident: int
    """Resident memory in bytes."""
    peak: int
    """The most resident bytes since the process began, or since forget_peak()."""


def measure(pid: int) -> Measures:
    """Measure a running process."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident, peak = (int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) for name in ("VmRSS", "VmHWM"))
    return Measures(len(os.listdir(f"/proc/{pid}/fd")), resident * 1024, peak * 1024)


def forget_peak(pid: int) -> None:
    """Set the peak of the resident memory to its present size (proc(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class Canary:
    """The honest client that calls all the time."""

    def __init__(self, path: str, log: Any) -> None:
        self._process = start("canary", path, log=log)
        self.calls = self.lost = 0
        self.worst_ms = 0.0

    def look(self) -> dict[str, float]:
        """Return the figures since the previous look, and add them to the totals."""
        figures = self._report()
        self.calls += int(figures["calls"])
        self.lost += int(figures["lost"])
        self.worst_ms = max(self.worst_ms, figures["worst_ms"])
        return figures

    def forget(self) -> None:
        """Set the totals to zero."""
        self._report()
        self.calls = self.lost = 0
        self.worst_ms = 0.0

    def _report(self) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        figures: dict[str, float] = json.loads(self._process.stdout.readline())
        return figures

    def end(self) -> None:
        end(self._process)


class Stage:
    """A service with its canary; attackers connect to `path`."""

    def __init__(self, folder: Path, options: dict[str, Any], quick: bool) -> None:
        self.folder = folder
        self.path = str(folder / "service")
        self.options = options
        self.quick = quick
        self._log_path = folder / "log"
        self._log = self._log_path.open("ab")
        self.service = start("service", self.path, json.dumps(options), log=self._log)
        self.pid = self.service.pid
        try:
            self.canary = Canary(self.path, self._log)
            self._warm_up()
        except BaseException:
            end(self.service)
            raise
        self.before = self._at_rest()
        forget_peak(self.pid)
        self.canary.forget()

    def connect(self) -> Peer:
        """Connect a new raw client."""
        return Peer(self.path)

    def measure(self) -> Measures:
        require(self.service.poll() is None, f"the service is gone: {self.service.returncode}")
        return measure(self.pid)

    def log(self) -> str:
        """Return what the service has logged."""
        return self._log_path.read_text(errors="replace")

    def serves(self) -> None:
        """Check that a new client is served."""
        with self.connect() as peer:
            peer.send(wire.message("echo", wire.text("still there?")))
            answer = peer.read()
            require(answer is not None and b"still there?" in answer, "a new client is not served")

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds, for as long as a service that does not hang may need."""
        deadline = time.monotonic() + GUARD
        while not holds():
            require(time.monotonic() < deadline, what)
            time.sleep(0.02)

    def settled(self) -> Measures:
        """Wait until the service has as many descriptors as before the attack; return its measures then."""
        self.serves()  # All earlier clients have been accepted by now.
        before = self.before.fds
        self.wait_until(lambda: self.measure().fds == before, f"the service had {before} descriptors before")
        return self.measure()

    def end(self) -> None:
        self.canary.end()
        end(self.service)
        self._log.close()

    def _warm_up(self) -> None:
        """Send each message once, so that nothing is made for the first time while it is measured."""
        for data, fds in wire.honest():
            with self.connect() as peer, wire_files(fds) as files:
                peer.send(data, files)
                peer.finish()
                peer.drain()

    def _at_rest(self) -> Measures:
        """Return the measures once the canary is the only client."""
        seen = self.measure()
        while True:
            time.sleep(0.05)
            last, seen = seen, self.measure()
            if last.fds == seen.fds:
                return seen


@contextmanager
def wire_files(count: int) -> Iterator[list[int]]:
    """Open `count` small files to send, and close them afterwards."""
    fds: list[int] = []
    try:
        for _ in range(count):
            fds.append(os.memfd_create("abuse", os.MFD_CLOEXEC))
            os.ftruncate(fds[-1], 4096)
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


@contextmanager
def stage(quick: bool, **options: Any) -> Iterator[Stage]:
    """Run a service and its canary in a folder of their own until the block ends."""
    with tempfile.TemporaryDirectory(prefix="abuse-") as folder:
        made = Stage(Path(folder), options, quick)
        try:
            yield made
        finally:
            made.end()
