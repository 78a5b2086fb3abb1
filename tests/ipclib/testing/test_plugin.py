"""The pytest plugin: what it fails a test for, each named, and that nothing else fails it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# Imported here once: pytester forgets the modules that a run of its own has imported.
import corelib.asyncio_bridge
import ipcc
import ipclib.testing

_IMPORTED = (corelib.asyncio_bridge, ipcc, ipclib.testing)

REPOSITORY = Path(__file__).parents[3]
HEAD = f"""
import os, pytest, tempfile, ipcc
from corelib import *
from ipclib import *
from ipclib.testing import *
clock = ipcc.load({str(REPOSITORY / "tests/ipclib/Clock.ipc")!r})

class Service(clock.ConnectionFromClient):
    def add(self, a, b):
        return a + b
    def divide(self, a, b):
        return divmod(a, b)

@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory() as folder:
        yield folder

kept = []
def keep(one):
    kept.append(one)
    return one
"""


def run(pytester: pytest.Pytester, body: str) -> tuple[dict[str, int], str]:
    """The outcomes of a test module, and what pytest writes."""
    pytester.makepyfile(HEAD + body)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "ignore")
    return result.parseoutcomes(), "\n".join(result.outlines)


LEAKS = {
    "a connection": (
        "keep(clock.ConnectionToServer(keep(LocalSocket.pair())[0]))",
        r"ConnectionToServer to pid \d+: open calls: none \(connections: shutdown\(\) it\)",
    ),
    "an accepted connection": (
        "keep(Pair(clock.ConnectionToServer, Service)).client.add(1, 2)",
        r"Service to pid \d+: open calls: none",
    ),
    "a server": ("keep(MultiServer(Service, folder + '/s'))", r"fd \d+, .*\(notifiers: close\(\) it"),
    "a timer": (
        "timer = keep(Timer.create_repeating(1000, lambda: None)); timer.start()",
        r"<lambda> at .*\.py:\d+ \(timers: stop\(\) it\)",
    ),
    "a notifier": (
        "keep(Notifier(keep(LocalSocket.pair())[0], Notifier.Type.READ, lambda: None))",
        r"fd \d+, .*<lambda> at .* \(notifiers: close\(\) it",
    ),
    "a coroutine": (
        "async def wait(): await keep(Promise())\n    keep(run_async(wait()))",
        r"wait at .* \(coroutines: await or cancel\(\) its promise\)",
    ),
    "a callback": (
        "def again(): deferred_invoke(again)\n    again()",
        r"again at .* \(callbacks: it asks for another turn",
    ),
    "a fd": ("os.open('/dev/null', os.O_RDONLY)", r"fd \d+, /dev/null \(fds: close\(\) what owns it\)"),
}


@pytest.mark.parametrize("what", LEAKS)
def test_what_a_test_leaves_open_fails_it_and_is_named(what: str, pytester: pytest.Pytester) -> None:
    body, text = LEAKS[what]
    outcomes, errors = run(pytester, f"def test_it(ipc_loop, folder):\n    {body}\n")
    assert outcomes == {"passed": 1, "errors": 1}
    assert "the test left open:" in errors
    assert re.search(text, errors), errors


ERRORS = {
    "a callback": ("deferred_invoke(lambda: 1 / 0); ipc_loop.pump()", "raised: ZeroDivisionError"),
    "a handler": (
        "client = ipc_pair(clock.ConnectionToServer, Service).client\n"
        "    with pytest.raises(RemoteError): client.divide(1, 0)",
        "ClockServer.divide: the handler raised: ZeroDivisionError",
    ),
    "a promise": ("Promise.rejected(ValueError('lost'))", "dropped unhandled: ValueError"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_an_error_that_nobody_handles_fails_the_test(what: str, pytester: pytest.Pytester) -> None:
    body, text = ERRORS[what]
    outcomes, errors = run(pytester, f"def test_it(ipc_loop, ipc_pair):\n    {body}\n")
    assert outcomes == {"failed": 1}
    assert "nobody handled:" in errors
    assert text in errors


def test_an_error_that_the_test_takes_does_not_fail_it(pytester: pytest.Pytester) -> None:
    body = """
def test_it(ipc_loop, ipc_errors):
    deferred_invoke(lambda: 1 / 0)
    ipc_loop.pump()
    (error,) = ipc_errors()
    assert isinstance(error.error, ZeroDivisionError)
"""
    assert run(pytester, body)[0] == {"passed": 1}


def test_nothing_else_fails_a_test(pytester: pytest.Pytester) -> None:
    body = """
@pytest.fixture(scope="module")
def of_the_module():
    read, write = os.pipe()
    with EventLoop():
        timer = Timer.create_repeating(1000, lambda: None)
        timer.start()
        notifier = Notifier(read, Notifier.Type.READ, lambda: None)
        yield
        notifier.close()
    os.close(read), os.close(write)

def test_what_was_open_before(of_the_module, ipc_loop):
    ipc_loop.pump(WaitMode.POLL_FOR_EVENTS)

def test_everything_closed(ipc_loop, ipc_pair, ipc_fake, folder):
    assert ipc_pair(clock.ConnectionToServer, Service, Fault("trickle")).client.add(1, 2) == 3
    client = ipc_pair(clock.ConnectionToServer, ipc_fake(clock.ConnectionFromClient)).client
    client.give_file(b"").close()
    client.take_files([File.open(__file__)], False)
    server = MultiServer(Service, folder + "/socket")
    client = clock.ConnectionToServer.connect(folder + "/socket")
    with pytest.raises(RemoteError):
        client.not_handled()
    client.shutdown()
    server.close()

def test_a_refusal_on_purpose(ipc_pair, ipc_fake):
    service = ipc_fake(clock.ConnectionFromClient, {"add": HandlerError("no")})
    with pytest.raises(RemoteError):
        ipc_pair(clock.ConnectionToServer, service).client.add(1, 2)

def test_without_a_fixture():
    keep(os.dup(0))

@pytest.mark.ipc_may_leave("fds", "timers")
def test_what_may_be_left(ipc_loop):
    keep(os.dup(0))
    Timer.create_repeating(1000, lambda: None).start()
"""
    outcomes, errors = run(pytester, body)
    assert outcomes == {"passed": 5}, errors


def test_a_test_that_fails_by_itself_is_not_blamed_for_what_it_left(pytester: pytest.Pytester) -> None:
    outcomes, errors = run(pytester, "def test_it(ipc_loop):\n    keep(os.dup(0))\n    assert 1 == 2\n")
    assert outcomes == {"failed": 1}
    assert "left open" not in errors


def test_a_kind_that_there_is_not_is_refused(pytester: pytest.Pytester) -> None:
    outcomes, errors = run(pytester, "@pytest.mark.ipc_may_leave('fd')\ndef test_it(ipc_loop):\n    pass\n")
    assert outcomes == {"errors": 1}
    assert "ipc_may_leave('fd'): there is no such kind" in errors


def test_a_user_of_asyncio_uses_the_fixtures(pytester: pytest.Pytester) -> None:
    body = """
import asyncio

def test_it(ipc_asyncio, ipc_pair, ipc_fake):
    client = ipc_pair(clock.ConnectionToServer, ipc_fake(clock.ConnectionFromClient, {"add": 3})).client
    async def main():
        await asyncio.sleep(0)
        return await client.async_add(1, 2)
    assert ipc_asyncio.run(main()) == 3
"""
    assert run(pytester, body)[0] == {"passed": 1}


def test_an_hour_passes_at_once_on_the_clock_of_the_test(pytester: pytest.Pytester) -> None:
    body = """
def test_it(ipc_loop, ipc_clock, ipc_pair):
    client = ipc_pair(clock.ConnectionToServer, Service, Fault("delay", amount=3600)).client
    before = ipc_clock.now_ns()
    assert client.add(1, 2) == 3
    assert ipc_clock.now_ns() - before >= 3600 * 10**9
"""
    assert run(pytester, body)[0] == {"passed": 1}


@pytest.mark.slow
def test_the_plugin_imports_nothing_of_ours_until_it_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
import sys

def test_it():
    assert "pytest_ipclib" in sys.modules
    assert not {"ipclib", "corelib", "asyncio"} & set(sys.modules)
""")
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)
