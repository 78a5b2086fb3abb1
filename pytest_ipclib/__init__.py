"""Owns the pytest fixtures of ipclib: a strict loop for each test, pairs of connections, fakes, and a clock.
Must not know what is tested. ipclib is imported when a test first uses a fixture: pytest loads this module in
every run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

if TYPE_CHECKING:
    from asyncio import Runner

    from corelib import EventLoop
    from ipclib import ConnectionFromClient, ConnectionToServer, Limits
    from ipclib.connection.connection import Connection
    from ipclib.connection.connection_from_client import ConnectionFactory
    from ipclib.testing import FakePeer, Fault, ManualClock, Pair, Unhandled, Watch
    from ipclib.testing.pair import ClientFactory

    C = TypeVar("C", bound=ConnectionToServer)
    S = TypeVar("S", bound=ConnectionFromClient)
    E = TypeVar("E", bound=Connection)

_MARKER = "ipc_may_leave"
_CALLS = "ipclib-calls"
_WATCH: pytest.StashKey[Watch] = pytest.StashKey()
_FAILED: pytest.StashKey[bool] = pytest.StashKey()


class MakePair(Protocol):
    """What the fixture ipc_pair is."""

    def __call__(
        self,
        client: ClientFactory[C],
        service: ConnectionFactory[S],
        *faults: Fault,
        limits: Limits | None = None,
        client_limits: Limits | None = None,
    ) -> Pair[C, S]: ...


class MakeFake(Protocol):
    """What the fixture ipc_fake is."""

    def __call__(
        self,
        end: type[E],
        answers: Mapping[str, object] | None = None,
        *,
        seed: int = 0,
        make: Mapping[type, Callable[[Any], Any]] | None = None,
    ) -> FakePeer[E]: ...


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(*kinds): the test may leave open what ipc_loop else fails it for: connections, timers, "
        "notifiers, coroutines, callbacks, fds",
    )


class _Calls:
    """Hooks that pytest gets when a test first uses a fixture, so that other tests do not pay for them."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fail a test on whose loop an error was not handled."""
        try:
            result = yield
            if (watch := item.stash.get(_WATCH, None)) is not None:
                with _without_our_frames():
                    watch.require_no_errors()
        except BaseException:
            item.stash[_FAILED] = True
            raise
        return result


@pytest.fixture
def ipc_clock() -> ManualClock:
    """A clock for the test's loop, by which an hour passes at once."""
    from ipclib.testing import ManualClock

    return ManualClock()


@pytest.fixture
def _ipc_watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    from ipclib.testing import Watch

    if not request.config.pluginmanager.has_plugin(_CALLS):
        request.config.pluginmanager.register(_Calls(), _CALLS)
    may_leave = _may_leave(request.node)
    clock = request.getfixturevalue("ipc_clock") if "ipc_clock" in request.fixturenames else None
    watch = Watch(clock)
    request.node.stash[_WATCH] = watch
    yield watch
    with _without_our_frames():
        watch.close(may_leave=may_leave, failed=request.node.stash.get(_FAILED, False))


@pytest.fixture
def ipc_loop(_ipc_watch: Watch) -> EventLoop:
    """An event loop for the test, on ipc_clock if the test uses that too.

    The test fails if an error was not handled on it, or if it leaves open a connection, timer, notifier,
    coroutine, callback or fd that was not open before.
    """
    return _ipc_watch.loop


@pytest.fixture
def ipc_errors(_ipc_watch: Watch) -> Callable[[], list[Unhandled]]:
    """A function that takes the errors that nobody has handled: those do not fail the test."""
    return _ipc_watch.take_errors


@pytest.fixture
def ipc_pair(ipc_loop: EventLoop) -> Iterator[MakePair]:
    """A function that connects a client and a service in this process, as ipclib.testing.Pair does.

    The test's end closes the pairs.
    """
    from ipclib.testing import Pair

    pairs: list[Pair[Any, Any]] = []

    def make(client: Any, service: Any, *faults: Fault, **options: Any) -> Pair[Any, Any]:
        pairs.append(Pair(client, service, *faults, **options))
        return pairs[-1]

    yield make
    for pair in reversed(pairs):
        pair.close()
    pairs.clear()


@pytest.fixture
def ipc_fake(ipc_loop: EventLoop) -> Iterator[MakeFake]:
    """A function that makes a fake service or client, as ipclib.testing.FakePeer does.

    The test's end closes the fakes.
    """
    from ipclib.testing import FakePeer

    fakes: list[FakePeer[Any]] = []

    def make(end: Any, answers: Mapping[str, object] | None = None, **options: Any) -> FakePeer[Any]:
        fakes.append(FakePeer(end, answers, **options))
        return fakes[-1]

    yield make
    for fake in reversed(fakes):
        fake.close()
    fakes.clear()


@pytest.fixture
def ipc_asyncio(ipc_loop: EventLoop) -> Iterator[Runner]:
    """An asyncio.Runner on the test's loop: `ipc_asyncio.run(main())`."""
    from asyncio import Runner

    from corelib.asyncio_bridge import AsyncioEventLoop

    with Runner(loop_factory=AsyncioEventLoop) as runner:
        yield runner


@contextmanager
def _without_our_frames() -> Iterator[None]:
    """Fail the test with the text of a TestFailed alone: its traceback says nothing about the test."""
    from ipclib.testing import TestFailed

    try:
        yield
    except TestFailed as error:
        pytest.fail(str(error), pytrace=False)


def _may_leave(node: pytest.Item) -> list[str]:
    """The kinds that the test's marker names.

    Raises:
        ValueError: there is no such kind.
    """
    from ipclib.testing.watch import KINDS_LEFT

    kinds = [kind for marker in node.iter_markers(_MARKER) for kind in marker.args]
    for kind in kinds:
        if kind not in KINDS_LEFT:
            raise ValueError(f"{_MARKER}({kind!r}): there is no such kind, but {', '.join(KINDS_LEFT)}")
    return kinds
