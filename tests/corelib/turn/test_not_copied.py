"""Owns the tests of what cannot be copied: objects that own something. Must not know what they own."""

from __future__ import annotations

import copy
import gc
import inspect
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import corelib
from corelib import (
    AnonymousBuffer,
    EventLoop,
    EventReceiver,
    FileWatcher,
    FileWatcherEvent,
    LocalServer,
    LocalSocket,
    Notifier,
    Process,
    Promise,
    TCPServer,
    TCPSocket,
    Timer,
    run_async,
    sleep_ms,
)
from corelib.turn import NotCopied

WAYS: dict[str, Callable[[Any], object]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": lambda it, n=n: pickle.dumps(it, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
}


def make(loop: EventLoop, folder: Path) -> Iterator[Any]:
    """One of each owner, each with something to lose."""
    yield loop
    one, other = LocalSocket.pair()
    yield one
    yield AnonymousBuffer.create(10)
    yield Notifier(other, Notifier.Type.READ, print)
    timer = Timer.create_repeating(1000, print)
    timer.start()
    yield timer
    yield FileWatcher(print)
    server = LocalServer(print)
    server.listen(folder / "socket")
    yield server
    tcp_server = TCPServer(lambda client: client.close())
    tcp_server.listen("127.0.0.1", 0)
    assert tcp_server.port
    yield tcp_server
    yield TCPSocket.connect("127.0.0.1", tcp_server.port).await_(10)
    yield Process.spawn(["true"])
    yield EventReceiver()
    yield Promise()
    yield run_async(_sleep())
    yield loop.run_in_thread(len, "")


async def _sleep() -> None:
    await sleep_ms(10**6)


@pytest.fixture
def owners(loop: EventLoop, tmp_path: Path) -> list[Any]:
    return list(make(loop, tmp_path))


@attrs.define
class Holder:
    """A struct that holds an owner."""

    held: object
    others: list[object]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_owner_refuses_to_be_copied_and_goes_on(owners: list[Any], way: Callable[[Any], object]) -> None:
    gc.collect()
    before = os.listdir("/proc/self/fd")
    for owner in owners:
        with pytest.raises(TypeError, match=f"{type(owner).__name__} objects cannot be copied or pickled"):
            way(owner)
    gc.collect()
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("way", [name for name in WAYS if name != "copy"])
def test_a_struct_that_holds_an_owner_is_not_copied_either(owners: list[Any], way: str) -> None:
    for owner in owners:
        for holder in (Holder(owner, []), Holder(None, [owner]), {"held": owner}):
            with pytest.raises(TypeError, match="cannot be copied or pickled"):
                WAYS[way](holder)


def test_a_callback_that_is_an_owners_method_is_not_copied(owners: list[Any]) -> None:
    for owner in owners:
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            copy.deepcopy(owner.__repr__)


def test_every_public_class_owns_something_or_is_a_value_that_can_be_copied(owners: list[Any]) -> None:
    classes = [each for each in vars(corelib).values() if inspect.isclass(each)]
    owning = {each for each in classes if issubclass(each, NotCopied)}
    assert owning == {type(owner) for owner in owners} & set(classes)
    values = [each for each in classes if each not in owning and attrs.has(each)]
    assert {each.__name__ for each in values} == {
        "FileWatcherEvent",
        "PeerCredentials",
        "Snapshot",
        "SocketAddress",
    }


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_value_can_be_copied(owners: list[Any], way: Callable[[Any], Any]) -> None:
    loop, one = owners[:2]
    for value in (
        one.peer_credentials(),
        corelib.SocketAddress("127.0.0.1", 80),
        FileWatcherEvent(FileWatcherEvent.Type.DELETED, "path"),
        loop.snapshot(),
    ):
        assert way(value) == value


def test_a_subclass_may_say_how_it_is_pickled() -> None:
    class Named(NotCopied):
        def __reduce_ex__(self, protocol: object) -> Any:
            return str, ("named",)

    assert pickle.loads(pickle.dumps(Named())) == "named"
