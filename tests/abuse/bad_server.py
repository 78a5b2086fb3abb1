"""Owns the attacks on a client: bad servers, each a thread with a raw socket, called by the library's own
client.
Must not know the service under attack. Every call ends in an answer or a named error and leaves no
descriptor."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from struct import pack
from typing import Any

import attrs

from corelib import EventLoop, LocalSocket
from ipclib import (
    CallTimeout,
    IPCError,
    PeerDisconnected,
    ProtocolViolation,
    RemoteError,
    SchemaMismatch,
    UnknownMessage,
    Wait,
)
from tests.abuse import wire
from tests.abuse.attack import Outcome, attack
from tests.abuse.mutations import mutants
from tests.abuse.service import load
from tests.abuse.stage import Stage, require, wire_files
from tests.abuse.wire import GUARD, Peer

LIMIT = 64 << 20
_TIMEOUT = 0.2
"""Seconds for a call that no server will answer."""
_ANSWER = wire.response("echo", wire.text("asked"), 1)
_BROKEN = (ProtocolViolation, PeerDisconnected)
"""The errors of a call whose server broke the rules; a blocked call knows only that its peer is gone."""
_ANSWERED: tuple[type[IPCError], ...] = ()


@attrs.frozen
class Case:
    """A bad server's reply to the first call, and the ends that the call may have."""

    what: str
    data: bytes
    ends: tuple[type[IPCError], ...]
    """Empty if the call must be answered."""
    stays_silent: bool = False
    """If true, the server neither sends more nor closes."""
    descriptors: int = 0
    last_words: bytes = b""
    """Sent after the rest."""


def _cases() -> list[Case]:
    known = wire.numbers("echo")
    text = wire.text("asked")
    errors = (RemoteError, SchemaMismatch, UnknownMessage, RemoteError, RemoteError, RemoteError)
    post = wire.message("post", pack("=I", 1) + text, 0, "AbuseClient")
    client = wire.numbers("ask", "AbuseClient")
    signed = wire.trailer(1, known.signature)
    return [
        Case("an honest answer", _ANSWER, _ANSWERED),
        Case("an honest bare answer", wire.frame(known.magic, known.id + 1, text), _ANSWERED),
        Case("the end of the stream", b"", (PeerDisconnected,)),
        Case("nothing", b"", (CallTimeout,), stays_silent=True),
        Case("half an answer", _ANSWER[:20], (CallTimeout,), stays_silent=True),
        *(
            Case(f"{size} bytes of an answer", _ANSWER[:size], (PeerDisconnected,))
            for size in range(1, len(_ANSWER))
        ),
        *(Case(f"a frame of {size} bytes", pack("=I", size) + bytes(50), _BROKEN) for size in range(8)),
        *(
            Case(f"a frame of {size:#x} bytes", pack("=I", size) + bytes(50), _BROKEN)
            for size in (LIMIT + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
        ),
        Case("64 MiB that never come", pack("=I", LIMIT) + bytes(50), (CallTimeout,), stays_silent=True),
        Case("unknown magic", wire.frame(12345, 2, signed), _BROKEN),
        Case("unknown id", wire.frame(known.magic, 9998, signed), _BROKEN),
        Case("another call's answer", wire.response("told", pack("=I", 1), 1), _BROKEN),
        Case("an answer to nothing", wire.response("echo", text, 2), _BROKEN),
        Case("serial 0", wire.response("echo", text, 0), _BROKEN),
        Case("another signature", wire.frame(known.magic, known.id + 1, text + wire.trailer(1, 1)), _BROKEN),
        Case("bytes left over", wire.response("echo", text + b"\0", 1), _BROKEN),
        Case("a text too long", wire.response("echo", pack("=I", 0xFFFFFFFF) + b"asked", 1), _BROKEN),
        Case("a text that is no UTF-8", wire.response("echo", wire.text(b"\xff"), 1), _BROKEN),
        Case("our own request", wire.message("echo", text, 1), _BROKEN),
        Case("bare after trailers", post + wire.frame(known.magic, known.id + 1, text), _BROKEN),
        Case("a question with another payload", wire.message("ask", b"\0", 5, "AbuseClient"), _BROKEN),
        Case("a question with serial 0", wire.message("ask", bytes(4), 0, "AbuseClient"), _BROKEN),
        Case("a bare question that nobody handles", wire.bare("ask", bytes(4), "AbuseClient"), _BROKEN),
        Case("a question that nobody handles", wire.message("ask", bytes(4), 5, "AbuseClient") + _ANSWER, ()),
        Case("an unknown question", wire.frame(client.magic, 9999, wire.trailer(5, 1)) + _ANSWER, ()),
        *(
            Case(f"error {number}", wire.control(0, pack("=IBI", 1, number, 5) + b"asked"), (error,))
            for number, error in enumerate(errors, 1)
        ),
        Case("error 99", wire.control(0, pack("=IBI", 1, 99, 0)), _BROKEN),
        Case("an error's text too long", wire.control(0, pack("=IBI", 1, 1, 0xFFFFFFFF)), _BROKEN),
        Case("half an error", wire.control(0, b"\1"), _BROKEN),
        Case("an error of another call", wire.control(0, pack("=IBI", 2, 1, 0)), _BROKEN),
        Case("a description for an answer", wire.control(-3, pack("=II", 1, 0)), _BROKEN),
        Case("control -9", wire.control(-9, pack("=I", 1)), _BROKEN),
        Case("2,000 cancels of nothing", wire.control(-1, pack("=I", 5), "AbuseClient") * 2000 + _ANSWER, ()),
        Case("10,000 posts first", post * 10_000 + _ANSWER, ()),
        Case("posts, and no answer", post * 10_000, (CallTimeout,), stays_silent=True),
        Case("posts, and the end", post * 10_000, (PeerDisconnected,)),
        Case("the answer twice", _ANSWER, (), last_words=_ANSWER),
        Case("a descriptor for nobody", _ANSWER[:-1], (PeerDisconnected,), descriptors=1),
        Case("64 descriptors for nobody", _ANSWER[:-1], (PeerDisconnected,), descriptors=64),
        Case("65 descriptors", _ANSWER, _BROKEN, descriptors=65),
        Case("253 descriptors", _ANSWER, _BROKEN, descriptors=253),
    ]


@contextmanager
def bad_server(case: Case, reads: bool = True) -> Iterator[LocalSocket]:
    """Run a server that replies to its first call as the case says; yield the client's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    theirs.settimeout(GUARD)
    over = threading.Event()

    def serve() -> None:
        with Peer("", theirs) as peer, wire_files(case.descriptors) as files:
            if reads:
                peer.read()
            peer.send(case.data, files)
            peer.send(case.last_words)
            if case.stays_silent:
                over.wait(GUARD)
            elif case.ends == _ANSWERED:
                peer.drain()

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield LocalSocket.adopt(ours)
    finally:
        over.set()
        server.join(GUARD)
        require(not server.is_alive(), f"{case.what}: the bad server itself hangs")


def by_pumping(client: Any, timeout: float) -> Any:
    return client.echo("asked", timeout=timeout)


def by_blocking(client: Any, timeout: float) -> Any:
    return client.echo("asked", timeout=timeout, wait=Wait.BLOCK)


def by_promise(client: Any, timeout: float) -> Any:
    promise = client.async_echo("asked")
    try:
        return promise.await_(timeout)
    except TimeoutError:
        promise.cancel()
        raise CallTimeout("the promise was not settled") from None


Way = Callable[[Any, float], Any]
WAYS: Sequence[Way] = (by_pumping, by_blocking, by_promise)


def end_of_call(case: Case, way: Way) -> type[IPCError] | None:
    """Return the error of one call by the library's client, or None if it is answered.

    Any other error than an IPCError propagates."""
    with bad_server(case) as end:
        client = load_client()(end)
        try:
            answer = way(client, _TIMEOUT if case.stays_silent else GUARD)
        except IPCError as error:
            return type(error)
        else:
            require(answer == "asked", f"{case.what}: the answer was {answer!r}")
            return None
        finally:
            client.shutdown()


_client: list[Any] = []


def load_client() -> Any:
    """Return the library's client of Abuse.ipc."""
    if not _client:
        _client.append(load().ConnectionToServer)
    return _client[0]


@attack("a bad server")
def bad_servers(stage: Stage) -> Outcome:
    outcome = Outcome()
    fds = len(os.listdir("/proc/self/fd"))
    with EventLoop():
        for case in _cases() * (1 if stage.quick else 20):
            for way in WAYS:
                found = end_of_call(case, way)
                allowed = case.ends or (None,)
                require(found in allowed, f"{case.what}, {way.__name__}: {found}, not {allowed}")
                outcome.add("answered" if found is None else found.__name__)
    left = len(os.listdir("/proc/self/fd"))
    require(left <= fds, f"the client keeps {left - fds} descriptors")
    return outcome


def _answers() -> list[tuple[bytes, int]]:
    """Return replies that an honest server might send to the first call."""
    post = wire.message("post", pack("=I", 1) + wire.text(b"data"), 0, "AbuseClient")
    ask = wire.message("ask", pack("=i", 1), 5, "AbuseClient")
    failure = wire.control(0, pack("=IBI", 1, 1, 5) + b"asked")
    return [(_ANSWER, 0), (post + _ANSWER, 0), (ask + _ANSWER, 0), (failure, 0), (post + failure, 0)]


@attack("a server's mutated frames")
def mutated_answers(stage: Stage) -> Outcome:
    outcome = Outcome()
    fds = len(os.listdir("/proc/self/fd"))
    dice = random.Random(3)
    with EventLoop():
        for mutant in mutants(100 if stage.quick else 10_000, seed=3, recorded=_answers()):
            case = Case("a mutant", mutant.data, (IPCError,), descriptors=mutant.descriptors)
            with bad_server(case) as end:
                client = load_client()(end)
                try:
                    dice.choice(WAYS)(client, GUARD)
                    outcome.add("answered")
                except CallTimeout as error:
                    raise AssertionError(f"{mutant.data!r} made the client hang") from error
                except IPCError as error:
                    outcome.add(type(error).__name__)
                finally:
                    client.shutdown()
    left = len(os.listdir("/proc/self/fd"))
    require(left <= fds, f"the client keeps {left - fds} descriptors")
    return outcome


@attack("a server that never reads")
def deaf_server(stage: Stage) -> Outcome:
    """A call with a deadline ends by it, however large it is, and the connection can be shut down."""
    outcome = Outcome()
    case = Case("it never reads", b"", (), stays_silent=True)
    with EventLoop():
        for wait in (Wait.PUMP, Wait.BLOCK) * (1 if stage.quick else 20):
            with bad_server(case, reads=False) as end:
                client = load_client()(end)
                try:
                    client.echo_bytes(bytes(40 << 20), timeout=_TIMEOUT, wait=wait)
                except CallTimeout as error:
                    outcome.add(type(error).__name__)
                require(outcome.tries > 0, "a call of a server that never reads was answered")
                client.shutdown()
    return outcome


@attack("a server that never answers cancelled calls")
def server_with_unanswered_calls(stage: Stage) -> Outcome:
    """The client remembers cancelled calls, and drops a server that has not answered 1,024 of them."""
    outcome = Outcome()
    case = Case("it never answers", b"", (), stays_silent=True)
    with EventLoop(), bad_server(case, reads=False) as end:
        client = load_client()(end)
        for _ in range(2000):
            promise = client.async_echo("x").when_rejected(lambda error: None)
            promise.cancel()
            outcome.add("cancelled")
        require(not client.is_open, "2,000 cancelled calls are unanswered, and the connection is open")
        try:
            client.echo("x")
        except PeerDisconnected:
            outcome.add("PeerDisconnected")
    return outcome
