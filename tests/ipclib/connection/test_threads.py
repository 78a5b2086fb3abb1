"""Another thread: every public method of a connection or server refuses it, and has no effect."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, WrongThread
from ipclib import Connection, ConnectionFromClient, ConnectionToServer, MultiServer
from tests.ipclib import clock_service
from tests.ipclib.pairs import link_of

HOOKS = {"die", "may_have_become_unresponsive", "did_become_responsive", "did_reconnect"}
"""The runtime calls them, and by themselves they do nothing."""
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "did_misbehave": ("from elsewhere",),
    "add": (1, 2),
    "async_add": (1, 2),
    "async_log": (1, "text"),
}


def _methods(of: type) -> list[str]:
    """The public methods that need an object."""
    return [
        name
        for name, what in inspect.getmembers(of, inspect.isfunction)
        if not name.startswith("_") and name not in HOOKS
    ]


def _cases() -> list[tuple[str, str]]:
    return [
        *(("client", name) for name in _methods(ConnectionToServer)),
        *(("client", name) for name in ("add", "async_add", "async_log")),
        *(("service", name) for name in _methods(ConnectionFromClient)),
        *(("server", name) for name in _methods(MultiServer)),
    ]


class Ends:
    """A server, a client that finds it again, and the service's end."""

    def __init__(self, loop: EventLoop, clock: Any, path: Path) -> None:
        self.path = path
        self.server: MultiServer[Any] = MultiServer(clock_service.handlers(clock), path)
        self.client = clock.ConnectionToServer.connect(path, reconnect=True)
        self.client.nothing()
        (self.service,) = self.server.clients


@pytest.fixture
def ends(loop: EventLoop, clock: Any, tmp_path: Path) -> Iterator[Ends]:
    ends = Ends(loop, clock, tmp_path / "clock")
    yield ends
    ends.client.shutdown()
    ends.server.close()


def in_another_thread(act: Callable[[], object]) -> list[BaseException]:
    caught: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return caught


def test_the_methods_are_those_that_there_are() -> None:
    assert {"shutdown", "flush", "cork", "describe", "did_misbehave"} <= set(_methods(Connection))
    assert _methods(MultiServer) == ["close"]


@pytest.mark.parametrize(("end", "name"), _cases())
@pytest.mark.parametrize("has_loop", [False, True])
def test_another_thread_is_refused_without_effect(
    loop: EventLoop, ends: Ends, end: str, name: str, has_loop: bool
) -> None:
    target = getattr(ends, end)
    held = ends.client.async_held(1)

    def act() -> None:
        if has_loop:
            with EventLoop():
                getattr(target, name)(*ARGUMENTS.get(name, ()))
        else:
            getattr(target, name)(*ARGUMENTS.get(name, ()))

    caught = in_another_thread(act)
    assert [isinstance(error, WrongThread) for error in caught] == [True]
    assert "deferred_invoke" in str(caught[0])
    assert ends.client.is_open
    assert ends.service.is_open
    assert link_of(ends.client).conversation.open_calls.keys() == {2}, "the held one alone"
    assert ends.client.add(1, 2) == 3
    assert ends.client.logged() == []
    ends.client.async_release(1)
    assert held.await_(30) == 1
    assert ends.service.died == 0
    another = type(ends.client).connect(ends.path)
    assert another.add(1, 2) == 3, "the server accepts clients still"
    another.shutdown()


@pytest.mark.parametrize("end", ["client", "service", "server"])
def test_what_only_reads_may_be_read_in_another_thread(ends: Ends, end: str) -> None:
    target = getattr(ends, end)
    names = [
        name
        for name, what in inspect.getmembers(type(target), lambda what: isinstance(what, property))
        if not name.startswith("_")
    ]
    assert names
    assert not in_another_thread(lambda: [repr(target), *(getattr(target, name) for name in names)])
