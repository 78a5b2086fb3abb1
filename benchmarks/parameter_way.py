"""Owns the way of one parameter: every Python function that a call passes, on both sides, in order of entry.
Must not know anything inside corelib and ipclib: their public names and `sys.setprofile` are enough.

    python -m benchmarks.parameter_way [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import attrs

import ipcc
from corelib import EventLoop
from ipclib import MultiServer

ROOT = Path(__file__).parent.parent
INTERFACE = ROOT / "tests" / "ipcc" / "GoldenClock.ipc"

_WARM_UP = 300
_TRACED = 200

clock: Any = ipcc.load(INTERFACE)


@attrs.frozen
class Step:
    """One Python function that was entered."""

    function: str
    file: str
    """Relative to the checkout, where the function is in it."""
    line: int
    depth: int
    """The number of the way's functions that were running when this one was entered."""


Way = list[Step]


@attrs.frozen
class Ways:
    """The way of `a` in `add(a, b)`, from the call to its return."""

    client: Way
    """The functions between the call and its return."""
    service: Way
    """The functions of the turn that reads the request, to that turn's end."""

    @property
    def functions(self) -> int:
        """The number of functions on both sides."""
        return len(self.client) + len(self.service)

    @property
    def changes(self) -> int:
        """The number of changes of file on both sides."""
        return changes(self.client) + changes(self.service)


def changes(way: Way) -> int:
    """Count the steps that are in another file than the step before.

    The first step counts: it is entered from the caller's file, or from the loop's."""
    return 1 + sum(one.file != other.file for one, other in pairwise(way))


class Tracer:
    """Records the Python functions that are entered while it runs."""

    def __init__(self) -> None:
        self.entered: list[tuple[int, CodeType]] = []
        """The depth and the code of each function, in order of entry."""
        self._depth = 0

    def run(self, function: Callable[[], object]) -> None:
        """Call a function; the first entry is the function itself."""
        # setprofile() is no Python function, so nothing of the tracer's own is recorded.
        sys.setprofile(self._record)
        try:
            function()
        finally:
            sys.setprofile(None)

    def _record(self, frame: FrameType, event: str, _arg: object) -> None:
        if event == "call":
            self.entered.append((self._depth, frame.f_code))
            self._depth += 1
        elif event == "return":
            self._depth -= 1


def measure() -> Ways:
    """Trace both sides of `add(a, b)`, each beside a peer that is not traced.

    A traced process takes several times as long for everything. So only one side is traced at a time: the
    other answers within about 10 us, well inside the 100 us that busy polling waits, and the calls follow
    each other without a pause, so that polling stays on. A call whose poll ends in vain, or in whose turn a
    timer fires, passes more functions; the shortest of 200 ways counts. On one processor nothing is polled,
    and each side passes the functions of a sleep instead."""
    with _service() as (path, _process), EventLoop():
        client = shortest(_client_ways(path))
    with _service("--traced") as (path, process), EventLoop():
        connection = clock.ConnectionToServer.connect(path)
        for number in range(_WARM_UP + _TRACED):
            _check(connection.add(number, 1), number)
        connection.shutdown()
        output, _errors = process.communicate(timeout=30)
    return Ways(client, [Step(**step) for step in json.loads(output)])


def shortest(ways: Iterable[Way]) -> Way:
    """Return the way with the fewest functions, and of several the one with the fewest changes of file."""
    return min(ways, key=lambda way: (len(way), changes(way)))


def _client_ways(path: str) -> Iterator[Way]:
    connection = clock.ConnectionToServer.connect(path)
    for number in range(_WARM_UP):
        _check(connection.add(number, 1), number)
    add = connection.add
    for _ in range(_TRACED):
        tracer = Tracer()
        # A partial object is no Python function: the first that is entered is `add` itself.
        tracer.run(partial(add, 20, 22))
        yield [_step(code, depth) for depth, code in tracer.entered]
    connection.shutdown()


def serve(path: str, traced: bool) -> None:
    """Serve one client to its end; write the shortest way of its requests if they are traced."""
    ended = False

    class Clock(clock.ConnectionFromClient):  # type: ignore[misc]
        def add(self, a: int, b: int) -> int:
            return a + b

        def die(self) -> None:
            nonlocal ended
            ended = True

    ways: list[Way] = []
    with EventLoop() as loop:
        server = MultiServer(Clock, path)
        print("ready", flush=True)
        while not ended:
            if traced:
                tracer = Tracer()
                tracer.run(loop.pump)
                ways += _turns_that_call(Clock.add.__code__, tracer.entered)
            else:
                loop.pump()
        server.close()
    if traced:
        print(json.dumps([attrs.asdict(step) for step in shortest(ways)]))


def _turns_that_call(handler: CodeType, entered: list[tuple[int, CodeType]]) -> Iterator[Way]:
    """Yield the function that `pump` calls and in which the handler runs, with all that it calls."""
    starts = [place for place, (depth, _code) in enumerate(entered) if depth == 1]
    for start, end in pairwise([*starts, len(entered)]):
        if any(code is handler for _depth, code in entered[start:end]):
            yield [_step(code, depth - 1) for depth, code in entered[start:end]]


def _step(code: CodeType, depth: int) -> Step:
    return Step(code.co_qualname, code.co_filename.replace(f"{ROOT}/", ""), code.co_firstlineno, depth)


def _check(answer: int, number: int) -> None:
    if answer != number + 1:
        raise SystemExit(f"add({number}, 1) was answered with {answer}")


@contextmanager
def _service(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/clock"
        command = [sys.executable, "-m", "benchmarks.parameter_way", "--serve", path, *options]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                if not process.stdout.readline():
                    raise SystemExit("the service ended early")
                yield path, process
            finally:
                process.kill()


def show(ways: Ways) -> None:
    """Print both ways and their figures."""
    for side, way in (("client", ways.client), ("service", ways.service)):
        print(f"{side}: {len(way)} Python functions, {changes(way)} changes of file")
        for step in way:
            print(f"  {'  ' * step.depth + step.function:64} {step.file}:{step.line}")
        print()
    print(f"together: {ways.functions} Python functions, {ways.changes} changes of file")


def main() -> None:
    parser = argparse.ArgumentParser(description="Trace the way of one parameter through both sides.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write both ways here, too")
    parser.add_argument("--serve", metavar="SOCKET", help=argparse.SUPPRESS)
    parser.add_argument("--traced", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.traced)
    ways = measure()
    show(ways)
    if options.json:
        options.json.write_text(json.dumps(attrs.asdict(ways), indent=2) + "\n")
    return None


if __name__ == "__main__":
    main()
