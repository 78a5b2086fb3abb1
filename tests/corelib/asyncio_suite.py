"""Owns the run of CPython's own asyncio tests: what its loop passes, the bridge must pass.
Must not know why one fails, except as EXCEPTIONS says.

    python tests/corelib/asyncio_suite.py [TEST...]

runs `test.test_asyncio` of the interpreter that runs it (or the TESTs named, as unittest names them) twice,
each time in a process of its own: with the stock loop, and with the bridge put in its place wherever asyncio
and its tests take it from. It prints how many tests ran, how many of them on a bridge loop, and what passes
with the stock loop alone; exit code 1 if there is any that EXCEPTIONS does not explain.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SUITE = "test.test_asyncio"

EXCEPTIONS: dict[str, str] = {}
"""The tests that may fail on the bridge, and why."""

# A failure counts if it repeats each time the test runs alone: many of these tests need a machine that does
# little else. Failures that do not repeat are listed too.
REPETITIONS = 3
# In seconds; the whole suite takes one or two minutes.
LONGEST_RUN = 1800

Outcomes = dict[str, dict[str, Any]]


class Recorder(unittest.TextTestResult):
    """Each test's outcome, and which loops ran during it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.outcomes: Outcomes = {}
        self._handlers: dict[int, Any] = {}
        self._runs_before: Counter[str] = Counter()

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.outcomes[test.id()] = {"outcome": "passed", "ran_on": []}
        self._runs_before = runs.copy()
        self._handlers = {signo: signal.getsignal(signo) for signo in _CATCHABLE}

    def stopTest(self, test: unittest.TestCase) -> None:
        self.outcomes[test.id()]["ran_on"] = list(runs - self._runs_before)
        # Some tests replace asyncio's view of the signal module, so that handlers are not taken back.
        for signo, handler in self._handlers.items():
            if signal.getsignal(signo) is not handler:
                signal.signal(signo, handler)
        super().stopTest(test)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._note(test, "failed", self.errors[-1][1])

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, "failed", self.failures[-1][1])

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed", str(err[1]))

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, "expected failure", "")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._note(test, "unexpected success", "")

    def _note(self, test: unittest.TestCase, outcome: str, details: str) -> None:
        entry = self.outcomes.setdefault(test.id(), {"ran_on": []})
        if entry.get("outcome") != "failed":
            entry.update(outcome=outcome, details=details)


_CATCHABLE = [signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1]

runs: Counter[str] = Counter()
"""How often loops of each kind have begun to run."""


def put_bridge_in_place() -> None:
    """Wherever asyncio and its tests take the Unix selector loop from, let them find the bridge."""
    import asyncio.unix_events
    import selectors

    from corelib.asyncio_bridge import AsyncioEventLoop

    stock = asyncio.SelectorEventLoop
    run_stock = stock.run_forever

    def count_and_run(loop: asyncio.SelectorEventLoop) -> None:
        runs["bridge" if isinstance(loop, AsyncioEventLoop) else "stock"] += 1
        run_stock(loop)

    stock.run_forever = count_and_run  # type: ignore[method-assign]

    class Bridge(AsyncioEventLoop):
        """Made as the stock loop is made, but waits with its own selector whichever it is given."""

        def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
            if selector is not None:
                selector.close()
            super().__init__()

    asyncio.SelectorEventLoop = Bridge  # type: ignore[assignment,misc]
    asyncio.unix_events.SelectorEventLoop = Bridge  # type: ignore[assignment,misc]
    asyncio.unix_events._UnixSelectorEventLoop = Bridge  # type: ignore[assignment,misc]
    for name in ("EventLoop", "_UnixEventLoop"):
        for module in (asyncio, asyncio.unix_events):
            if hasattr(module, name):
                setattr(module, name, Bridge)
    for name in ("_UnixDefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
        if hasattr(asyncio.unix_events, name):
            getattr(asyncio.unix_events, name)._loop_factory = Bridge


def run_here(loop: str, tests: list[str], report: Path) -> None:
    """In the process of its own: run the tests and write their outcomes."""
    if loop == "bridge":
        put_bridge_in_place()
    from test import support

    support.use_resources = []  # As `python -m test` does: no network, nothing large.
    suite = unittest.defaultTestLoader.loadTestsFromNames(tests)
    began = time.monotonic()
    result = unittest.TextTestRunner(resultclass=Recorder, verbosity=1, warnings="default").run(suite)
    assert isinstance(result, Recorder)
    outcome = {"seconds": time.monotonic() - began, "tests": result.outcomes}
    report.write_text(json.dumps(outcome))
    # Threads and loops that a failed test left must not keep the process.
    sys.stdout.flush()
    os._exit(0)


def run_apart(loop: str, tests: list[str], log: Path) -> tuple[Outcomes, float]:
    """Run the tests in a process of its own: their outcomes, and the seconds they took."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, __file__, "--run", loop, "--report", str(report), *tests]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with log.open("a") as output:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST_RUN)
        process.kill()
        process.wait()
        if not report.exists():
            sys.exit(
                f"the tests with the {loop} loop came to no end in {LONGEST_RUN} s, or crashed: see {log}"
            )
        read = json.loads(report.read_text())
    return read["tests"], read["seconds"]


def failed(outcomes: Outcomes) -> set[str]:
    """The ids of the tests that failed."""
    return {test for test, entry in outcomes.items() if entry["outcome"] == "failed"}


def only_stock_passes(stock: Outcomes, bridge: Outcomes) -> set[str]:
    """The ids of those that passed with the stock loop and did not with the bridge."""
    passed = {test for test, entry in stock.items() if entry["outcome"] == "passed"}
    return {test for test in passed if bridge.get(test, {"outcome": "missing"})["outcome"] != "passed"}


def fail_again(tests: Iterable[str], log: Path) -> set[str]:
    """Those among the tests that fail on the bridge by themselves, too, and not with the stock loop."""
    remaining = set(tests)
    for _ in range(REPETITIONS):
        for test in sorted(remaining):
            outcomes, _ = run_apart("bridge", [test], log)
            if not failed(outcomes):
                remaining.discard(test)
    for test in sorted(remaining):
        outcomes, _ = run_apart("stock", [test], log)
        if failed(outcomes):
            remaining.discard(test)
    return remaining


def compare(tests: list[str], logs: Path) -> int:
    """Run both, print what they did; the exit code."""
    stock, stock_seconds = run_apart("stock", tests, logs / "stock.log")
    bridge, bridge_seconds = run_apart("bridge", tests, logs / "bridge.log")
    ran_on = Counter(kind for entry in bridge.values() for kind in entry["ran_on"])
    suspects = only_stock_passes(stock, bridge)
    confirmed = fail_again(suspects, logs / "again.log")
    unexplained = confirmed - EXCEPTIONS.keys()

    version = ".".join(map(str, sys.version_info[:3]))
    print(f"Python {version}, {' '.join(tests)}; the tests' own output is in {logs}")
    for name, outcomes, seconds in (("stock", stock, stock_seconds), ("bridge", bridge, bridge_seconds)):
        skipped = sum(entry["outcome"] == "skipped" for entry in outcomes.values())
        failures = len(failed(outcomes))
        print(f"  {name}: {len(outcomes)} tests in {seconds:.0f} s, {failures} failed, {skipped} skipped")
    print(f"  {ran_on['bridge']} of them ran on a bridge loop, and {ran_on['stock']} on a stock Unix loop;")
    print("  the others run on mocks of loops, or on none")
    for title, ids in (
        ("failed with both", failed(stock) & failed(bridge)),
        ("failed with the stock loop alone", failed(stock) - failed(bridge)),
        ("failed on the bridge once, and not when repeated", suspects - confirmed),
    ):
        for test in sorted(ids):
            print(f"  {title}: {test}")
    for test in sorted(confirmed & EXCEPTIONS.keys()):
        print(f"  excepted: {test}: {EXCEPTIONS[test]}")
    for test in sorted(unexplained):
        details = bridge.get(test, {}).get("details", "it did not run")
        print(f"\nPASSES WITH THE STOCK LOOP ALONE: {test}\n{details}")
    if not unexplained:
        print("  what passes with the stock loop passes with the bridge")
    return 1 if unexplained else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tests", nargs="*", metavar="TEST", default=[SUITE])
    parser.add_argument("--run", choices=["stock", "bridge"], help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_here(arguments.run, arguments.tests, arguments.report)
    try:
        is_there = importlib.util.find_spec(SUITE) is not None
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        sys.exit(
            f"{sys.executable} has no {SUITE}: CPython's tests are part of its source and of its installers; "
            "Debian and Ubuntu have them in libpython3-testsuite, Fedora in python3-test"
        )
    return compare(arguments.tests, Path(tempfile.mkdtemp(prefix="asyncio-suite-")))


if __name__ == "__main__":
    sys.exit(main())
