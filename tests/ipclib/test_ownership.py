"""A descriptor is closed exactly once, in both processes, whoever drops the File and whatever goes wrong."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import EventLoop, LocalSocket
from ipclib import (
    Alternative,
    AnonymousBuffer,
    CallTimeout,
    EncodeError,
    File,
    MessageTooLarge,
    PeerDisconnected,
    RemoteError,
    SchemaMismatch,
    UnknownMessage,
    Wait,
)
from tests.ipclib import owned_files
from tests.ipclib.owned_files import content_of, make

HERE = Path(__file__).parent
INTERFACE = HERE / "Files.ipc"
_BALLAST = bytes(400_000)
_ROUNDS = 20


@pytest.fixture(scope="module")
def files_ipc() -> Any:
    return ipcc.load(INTERFACE)


@pytest.fixture(scope="module")
def newer_ipc(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The interface after an upgrade of the client alone: messages changed, messages added."""
    text = INTERFACE.read_text()
    text = text.replace("ignore(Vector<IPC::File> files)", "ignore(Vector<IPC::File> files, u8 more)")
    text = text.replace("post(Vector<IPC::File> files,", "post(Vector<IPC::File> files, u8 more,")
    added = "added(Vector<IPC::File> files) => () added_post(Vector<IPC::File> files) =|"
    text = text.replace("(Vector<String> leaks)", f"(Vector<String> leaks) {added}")
    path = tmp_path_factory.mktemp("newer") / "Files.ipc"
    path.write_text(text)
    return ipcc.load(path)


class Ends:
    """A client with handlers, the process that serves it, and a second client that watches."""

    def __init__(self, files_ipc: Any, newer_ipc: Any, path: str, faults: list[str]) -> None:
        self.module, self.newer, self.path = files_ipc, newer_ipc, path
        self._own_faults = faults
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ipclib.files_service", path],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self.client = self.connect()
        self.watcher = self.connect()

    def connect(self, module: Any = None, **options: Any) -> Any:
        class Client((module or self.module).ConnectionToServer):  # type: ignore[misc]
            def ask(self) -> int:
                return 1

        return Client.connect(self.path, **options)

    def open_fds(self) -> tuple[int, int]:
        """Of this process, and of the service; nothing else is done meanwhile."""
        return owned_files.count_open(), self.watcher.open_fds(wait=Wait.BLOCK)

    def faults(self) -> list[str]:
        return self._own_faults + self.watcher.faults()

    def end(self) -> None:
        self.client.shutdown()
        self.watcher.shutdown()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def ends(files_ipc: Any, newer_ipc: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    with pytest.MonkeyPatch.context() as patches, EventLoop():
        faults = owned_files.watch(patches)
        ends = Ends(files_ipc, newer_ipc, str(tmp_path_factory.mktemp("ownership") / "files"), faults)
        yield ends
        ends.end()
    assert faults == []


def _is_open(file: File) -> bool:
    with contextlib.suppress(ValueError):
        os.fstat(file.fileno())
        return True
    return False


def _files_in(value: Any) -> Iterator[File]:
    if isinstance(value, File):
        yield value
    elif isinstance(value, (list, tuple)):
        for element in value:
            yield from _files_in(element)
    elif isinstance(value, dict):
        yield from _files_in(list(value.values()))
    elif hasattr(value, "content"):
        yield from _files_in([value.content, value.receipt])


def _shapes(ends: Ends) -> list[tuple[Any, ...]]:
    """Arguments of echo(), in all the ways in which a File can be in them."""
    parcel = ends.module.Parcel
    return [
        (None, [], parcel("", make(b"1"), None), None, {}),
        (make(b"1"), [make(b"2")], parcel("p", make(b"3"), make(b"4")), make(b"5"), {"six": make(b"6")}),
        (
            None,
            [make(b"%d" % number) for number in range(10)],
            parcel("p", make(b"10"), None),
            parcel("q", make(b"11"), make(b"12")),
            {str(number): make(b"%d" % number) for number in range(13, 20)},
        ),
    ]


# What may happen to Files. Each leaves both processes with the descriptors that they had before.


def files_everywhere(ends: Ends) -> None:
    for values in _shapes(ends):
        sent = list(_files_in(values))
        contents = [content_of(file) for file in sent]
        answer = ends.client.echo(*values)
        assert not any(map(_is_open, sent)), "they were moved"
        received = list(_files_in([answer.maybe, answer.several, answer.parcel, answer.either, answer.named]))
        assert [content_of(file) for file in received] == contents
        assert (answer.maybe is None, type(answer.either)) == (values[0] is None, type(values[3]))
        for file in received:
            file.close()


def the_handler_drops_them(ends: Ends) -> None:
    ends.client.ignore([make(), make()])
    ends.client.async_post([make(), make()], b"")


def the_handler_raises(ends: Ends) -> None:
    with pytest.raises(RemoteError, match="as asked"):
        ends.client.refuse([make(), make()])
    ends.client.async_post_refused([make(), make()])


def nobody_handles_them(ends: Ends) -> None:
    with pytest.raises(UnknownMessage):
        ends.client.not_handled([make(), make()])
    ends.client.async_post_not_handled([make(), make()])


def the_signature_is_another(ends: Ends) -> None:
    newer = ends.connect(ends.newer)
    with pytest.raises(SchemaMismatch):
        newer.ignore([make(), make()], 1)
    newer.async_post([make(), make()], 1, b"")
    newer.open_fds()
    newer.shutdown()


def the_message_is_unknown(ends: Ends) -> None:
    newer = ends.connect(ends.newer)
    newer.async_added_post([make(), make()])
    with pytest.raises(UnknownMessage):
        newer.added([make(), make()])
    newer.shutdown()


def the_call_is_given_up(ends: Ends) -> None:
    with pytest.raises(CallTimeout):
        ends.client.give_late([make(), make()], 300, timeout=0.001)
    ends.client.give_late([make()], 301).close()


def the_answer_comes_though_the_call_was_given_up(ends: Ends) -> None:
    bare = ends.connect(trailers=False)
    with pytest.raises(CallTimeout):
        bare.give_late([make(), make()], 300, timeout=0.001)
    bare.give_late([make()], 1).close()
    bare.shutdown()


def the_promise_is_dropped(ends: Ends) -> None:
    ends.client.async_give(3, b"")
    ends.client.open_fds()


def a_value_does_not_fit(ends: Ends) -> None:
    parcel = ends.module.Parcel
    files = [make(b"%d" % number) for number in range(6)]
    a, b, c, d, e, f = files
    misfits: list[tuple[Any, ...]] = [
        (a, [b, c], parcel("p", d, e), Alternative(7, f), {}),
        (a, [b, c, "no file"], parcel("p", d, e), f, {}),
        (a, [b, c], parcel(5, d, e), f, {}),
        (a, [b, c], parcel("p", d, e), f, {"one": a}),
        (a, [b, c], parcel("p", d, 5), f, {}),
    ]
    for values in misfits:
        with pytest.raises(EncodeError):
            ends.client.echo(*values)
        with pytest.raises(EncodeError):
            ends.client.async_echo(*values)
    with pytest.raises(EncodeError):
        ends.client.async_post([*files, 5], b"")
    assert [content_of(file) for file in files] == [b"%d" % number for number in range(6)]
    for file in files:
        file.close()


def there_are_too_many(ends: Ends) -> None:
    files = [make() for _ in range(65)]
    with pytest.raises(MessageTooLarge, match="65 files"):
        ends.client.ignore(files)
    with pytest.raises(MessageTooLarge, match="65 files"):
        ends.client.async_post(files, b"")
    assert all(map(_is_open, files))
    with pytest.raises(RemoteError, match="as asked"):
        ends.client.refuse(files[:64])
    assert [_is_open(file) for file in files] == [False] * 64 + [True]
    files[64].close()


def the_answer_does_not_fit(ends: Ends) -> None:
    with pytest.raises(RemoteError, match="number = 256"):
        ends.client.answer_badly(5)
    with pytest.raises(RemoteError, match="65 files"):
        ends.client.give(65, b"")


def a_buffer_is_in_a_message_that_does_not_fit(ends: Ends) -> None:
    with AnonymousBuffer.create(10) as buffer:
        with pytest.raises(EncodeError):
            ends.client.share(buffer, -1)
        with pytest.raises(RemoteError, match="number = 256"):
            ends.client.share(buffer, 256)
        with ends.client.share(buffer, 1).buffer as shared:
            assert shared.size == 10


def closed_before(ends: Ends) -> None:
    closed = ends.connect()
    closed.shutdown()
    file = make()
    with pytest.raises(PeerDisconnected):
        closed.ignore([file])
    closed.async_ignore([file]).when_rejected(lambda _error: None)
    assert _is_open(file), "the caller was told that nothing was sent"
    closed.async_post([file], b"")
    assert not _is_open(file), "a dropped post takes its files along"


def the_peer_was_gone_before(ends: Ends) -> None:
    one, other = LocalSocket.pair()
    client = ends.module.ConnectionToServer(one)
    other.close()
    client.async_post([make(), make()], b"")
    client.shutdown()


def closed_while_our_posts_wait(ends: Ends) -> None:
    one, other = LocalSocket.pair()
    client = ends.module.ConnectionToServer(one)
    for _ in range(5):
        client.async_post([make(), make()], _BALLAST)
    client.shutdown()
    other.close()


def closed_while_its_answers_wait(ends: Ends) -> None:
    client = ends.connect()
    for _ in range(3):
        client.async_give(3, _BALLAST).when_rejected(lambda _error: None)
    ends.watcher.open_fds(wait=Wait.BLOCK)
    client.shutdown()


def closed_while_our_posts_wait_in_its_inbox(ends: Ends) -> None:
    client = ends.connect()
    client.async_hang_up()
    for _ in range(3):
        client.async_post([make(), make()], b"")
    assert EventLoop.current().spin_until(lambda: not client.is_open, 30)


def closed_while_it_still_works_on_the_answer(ends: Ends) -> None:
    client = ends.connect()
    client.async_give_late([make(), make()], 5).when_rejected(lambda _error: None)
    ends.watcher.open_fds()
    client.shutdown()


def closed_while_bare_answers_wait_for_an_earlier_one(ends: Ends) -> None:
    client = ends.connect(trailers=False)
    client.async_give_late([make(), make()], 60).when_rejected(lambda _error: None)
    client.async_give_late([make(), make()], 0).when_rejected(lambda _error: None)
    client.open_fds()
    client.shutdown()


_SCENARIOS: list[Callable[[Ends], None]] = [
    files_everywhere,
    the_handler_drops_them,
    the_handler_raises,
    nobody_handles_them,
    the_signature_is_another,
    the_message_is_unknown,
    the_call_is_given_up,
    the_answer_comes_though_the_call_was_given_up,
    the_promise_is_dropped,
    a_value_does_not_fit,
    there_are_too_many,
    the_answer_does_not_fit,
    a_buffer_is_in_a_message_that_does_not_fit,
    closed_before,
    the_peer_was_gone_before,
    closed_while_our_posts_wait,
    closed_while_its_answers_wait,
    closed_while_our_posts_wait_in_its_inbox,
    closed_while_it_still_works_on_the_answer,
    closed_while_bare_answers_wait_for_an_earlier_one,
]
_QUICK = {files_everywhere, the_handler_raises, closed_while_our_posts_wait}
"""The scenarios of the quick tier: files that are passed on, files of a failure, files that are closed with
their connection."""


def _in_tiers(scenarios: list[Callable[[Ends], None]]) -> list[Any]:
    """The parameters of a test that runs the scenarios outside _QUICK in the slow tier."""
    return [
        pytest.param(scenario, id=scenario.__name__, marks=() if scenario in _QUICK else pytest.mark.slow)
        for scenario in scenarios
    ]


def _fds_around(ends: Ends, scenario: Callable[[Ends], None]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The open descriptors of both processes before and after a scenario is played again and again."""
    ends.client.open_fds()
    gc.collect()
    before = ends.open_fds()
    for _ in range(_ROUNDS):
        scenario(ends)
    gc.collect()
    deadline = time.monotonic() + 20
    while (after := ends.open_fds()) != before and time.monotonic() < deadline:
        ends.watcher.open_fds()
    return before, after


@pytest.mark.parametrize("scenario", _in_tiers(_SCENARIOS))
def test_every_descriptor_is_closed_once(ends: Ends, scenario: Callable[[Ends], None]) -> None:
    before, after = _fds_around(ends, scenario)
    if after != before:
        # What earlier tests left in this process may have ended meanwhile; a leak is seen again.
        before, after = _fds_around(ends, scenario)
    assert after == before
    assert ends.faults() == []


def _leaks(ends: Ends, act: Callable[[Ends], object]) -> tuple[list[str], list[str]]:
    """The warnings about Files that were dropped, here and in the service."""
    ends.watcher.leaks()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        act(ends)
        gc.collect()
    texts = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    ends.client.open_fds()
    return [text for text in texts if text.startswith("File(")], ends.watcher.leaks()


def test_a_caller_s_leak_names_its_message(ends: Ends) -> None:
    here, there = _leaks(ends, lambda ends: ends.client.give(2, b""))
    assert len(here) == 2
    assert all("brought by FilesServer.give)" in leak for leak in here)
    assert there == []


def test_a_handler_s_leak_names_its_message(ends: Ends) -> None:
    here, there = _leaks(ends, the_handler_drops_them)
    assert here == []
    assert ["FilesServer.ignore" in leak for leak in there] == [True, True, False, False]
    assert ["FilesServer.post" in leak for leak in there] == [False, False, True, True]


_NOBODY_S_FAULT = [
    scenario
    for scenario in _SCENARIOS
    if scenario not in (the_handler_drops_them, the_promise_is_dropped, the_answer_does_not_fit)
]


@pytest.mark.parametrize("scenario", _in_tiers(_NOBODY_S_FAULT))
def test_nobody_is_blamed_for_what_the_runtime_closes(ends: Ends, scenario: Callable[[Ends], None]) -> None:
    assert _leaks(ends, scenario) == ([], [])
