"""Owns the test that the short path and the conversation end alike, whatever a peer sends.
Must not know either: an instrument makes the same link look closer at every frame.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ipcc
from corelib import EventLoop, Instrument, LocalSocket, Promise, WaitMode
from ipclib import ErrorKind
from ipclib.protocol import wire

paths: Any = ipcc.load(Path(__file__).parent / "Paths.ipc")
Server, Client = paths.PathsServer, paths.PathsClient

RETURN, RAISE, PUMP, POST, CLOSE, DEFER, MISFIT = range(7)
TEXTS = ("", "one", "grüße", "x" * 300)
_MOST_TURNS = 1000


# Frames


def framed(message: Any, values: tuple[Any, ...], serial: int, change: int = 0) -> bytes:
    """The frame of a message, whose payload is longer or shorter than it should be by `change` bytes."""
    encoded = message.__ipc__.encode([], *values)
    payload = encoded if isinstance(encoded, bytes) else b"".join(encoded)
    payload = payload + bytes(change) if change > 0 else payload[: len(payload) + change]
    frame = wire.trailed_frame(message.__ipc__.key, payload, serial, message.__ipc__.signature)
    return frame if isinstance(frame, bytes) else b"".join(frame)


serials = st.sampled_from([1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 0])
actions = st.sampled_from([RETURN, RETURN, RETURN, RAISE, PUMP, POST, CLOSE, DEFER, MISFIT])
numbers = st.integers(-5, 5)
texts = st.sampled_from(TEXTS)


def frames_of(message: Any, *values: st.SearchStrategy[Any], serials: st.SearchStrategy[int]) -> Any:
    return st.builds(
        lambda serial, values, change: framed(message, values, serial, change),
        serials,
        st.tuples(*values),
        st.sampled_from([0, 0, 0, 0, 0, 0, 0, -4, -1, 1, 4]),
    )


requests = st.one_of(
    frames_of(Server.Act, actions, numbers, serials=serials),
    frames_of(Server.Both, st.booleans(), st.booleans(), serials=serials),
    frames_of(Server.Texts, texts, st.binary(max_size=20), numbers, serials=serials),
    frames_of(Server.Nothing, serials=serials),
    frames_of(Server.Sum, st.lists(numbers, max_size=3), serials=serials),
)
one_ways = frames_of(Server.Say, actions, texts, serials=st.just(wire.NO_SERIAL))
answers = st.one_of(
    frames_of(Server.ActResponse, numbers, serials=serials),
    frames_of(Server.BothResponse, st.booleans(), serials=serials),
    frames_of(Server.TextsResponse, texts, st.binary(max_size=20), serials=serials),
    frames_of(Server.NothingResponse, serials=serials),
    frames_of(Server.SumResponse, numbers, serials=serials),
)
of_client = st.one_of(
    frames_of(Client.Tell, actions, texts, serials=st.just(wire.NO_SERIAL)),
    frames_of(Client.Ask, actions, numbers, serials=serials),
)
control = st.one_of(
    st.builds(lambda serial: wire.pack_cancel(Server.MAGIC, serial), serials),
    st.builds(lambda serial: wire.pack_describe(Server.MAGIC, serial), serials),
    st.builds(
        lambda serial, kind: wire.pack_failure(Server.MAGIC, serial, kind, "no"),
        serials,
        st.sampled_from(ErrorKind),
    ),
)


def spoilt(frames: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Frames with one wrong byte, or cut short, or too long, or with another serial."""

    def with_wrong_byte(frame: bytes, place: int, change: int) -> bytes:
        at = place % len(frame)
        return frame[:at] + bytes([frame[at] ^ change]) + frame[at + 1 :]

    def resized(frame: bytes, by: int) -> bytes:
        body = frame[wire.SIZE.size :]
        body = body[:by] if by < 0 else body + bytes(by)
        return wire.SIZE.pack(len(body)) + body

    def bare(frame: bytes) -> bytes:
        return resized(frame, -wire.TRAILER.size)

    return st.one_of(
        st.builds(with_wrong_byte, frames, st.integers(0, 400), st.integers(1, 255)),
        st.builds(resized, frames, st.sampled_from([-13, -12, -5, -4, -1, 1, 4, 12])),
        st.builds(bare, frames),
    )


def streams(*kinds: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    """The pieces in which a random sequence of frames arrives."""

    def split(frames: list[bytes], places: list[int]) -> list[bytes]:
        stream = b"".join(frames)
        ends = sorted({place % (len(stream) + 1) for place in places} | {len(stream)})
        return [stream[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]

    sound = st.one_of(*kinds)
    frames = st.lists(st.one_of(sound, sound, sound, control, spoilt(sound)), min_size=1, max_size=12)
    return st.builds(split, frames, st.lists(st.integers(0, 2000), max_size=5))


# One run


@attrs.define
class Run:
    """One end that is fed with the pieces of a stream, and what came of it."""

    loop: EventLoop
    peer: LocalSocket
    pieces: list[bytes]
    happened: list[object] = attrs.field(factory=list)
    sent: bytes = b""

    def act(self, end: Any, action: int, value: object) -> Any:
        """What a handler does."""
        self.happened.append(value)
        if action == RAISE:
            raise ValueError(value)
        if action == PUMP:
            self.feed()
            self.settle()
        elif action == CLOSE:
            end.shutdown()
        elif action == DEFER:
            promise: Promise[object] = Promise()
            self.loop.deferred_invoke(lambda: promise.resolve(value))
            return promise
        return "a misfit" if action == MISFIT else value

    def feed(self) -> None:
        """Send the next piece, if there is any."""
        if self.pieces:
            try:
                self.peer.send(self.pieces.pop(0))
            except OSError:  # The end under test has closed.
                self.pieces.clear()

    def settle(self) -> None:
        """Make turns until there is nothing to do."""
        quiet = 0
        for _ in range(_MOST_TURNS):
            quiet = 0 if self.loop.pump(WaitMode.POLL_FOR_EVENTS) else quiet + 1
            if quiet == 2:
                return
        raise AssertionError("the loop never rests")

    def read(self) -> None:
        """Read what the end under test has sent."""
        while True:
            try:
                data = self.peer.receive()
            except OSError:
                return
            if not data:
                return
            self.sent += data

    def outcome(self, end: Any) -> dict[str, object]:
        self.read()
        counters = attrs.asdict(end.counters)
        del counters["queue_high_water"]  # An answer of the short path need not wait for the turn's end.
        if not end.is_open:
            for each in ("bytes_received", "frames_received", "dropped_messages"):
                del counters[each]  # What comes behind the frame whose handler closes the link may count.
        lost = [each for each in self.happened if "PeerDisconnected" in repr(each)]
        kept = [each for each in self.happened if each not in lost]
        # Whether a call whose answer has arrived and is not handled counts as open decides who is told first.
        return {"kept": kept, "lost": set(lost), "sent": self.sent, "is open": end.is_open, **counters}


def run(
    make: Callable[[Run, LocalSocket], Any], pieces: list[bytes], *, looks_closer: bool
) -> dict[str, object]:
    with EventLoop(busy_poll_us=0) as loop:
        ours, theirs = LocalSocket.pair()
        instrument = Instrument()
        if looks_closer:
            loop.add_instrument(instrument)
        running = Run(loop, theirs, list(pieces))
        loop.on_exception = lambda error, context: running.happened.append(repr(error))
        end = make(running, ours)
        while running.pieces:
            running.feed()
            running.settle()
        outcome = running.outcome(end)
        end.shutdown()
        running.settle()
        theirs.close()
        if looks_closer:
            loop.remove_instrument(instrument)
    return outcome


def a_service(running: Run, socket: LocalSocket) -> Any:
    class Service(paths.ConnectionFromClient):  # type: ignore[misc]
        def act(self, action: int, number: int) -> Any:
            if action == POST:
                self.async_tell(RETURN, f"post {number}")
            return running.act(self, action, number)

        def say(self, action: int, text: str) -> Any:
            if action == POST:
                self.async_tell(RETURN, text)
            result = running.act(self, action, text)
            return result if isinstance(result, Promise) else None

        def both(self, one: bool, other: bool) -> bool:
            return one and other

        def texts(self, text: str, bytes: bytes, number: int) -> tuple[str, bytes]:
            running.happened.append((text, bytes, number))
            return text, bytes

        def nothing(self) -> None:
            running.happened.append("nothing")

        def sum(self, numbers: list[int]) -> int:
            running.happened.append(numbers)
            return sum(numbers)

        def did_misbehave(self, reason: str) -> None:
            running.happened.append(reason)
            super().did_misbehave(reason)

    return Service(socket)


def a_client(running: Run, socket: LocalSocket) -> Any:
    class App(paths.ConnectionToServer):  # type: ignore[misc]
        def tell(self, action: int, text: str) -> Any:
            if action == POST:
                self.async_say(RETURN, text)
            result = running.act(self, action, text)
            return result if isinstance(result, Promise) else None

        def ask(self, action: int, number: int) -> Any:
            return running.act(self, action, number)

        def did_misbehave(self, reason: str) -> None:
            running.happened.append(reason)
            super().did_misbehave(reason)

    app = App(socket)
    calls = [
        app.async_act(RETURN, 1),
        app.async_both(True, False),
        app.async_texts("text", b"bytes", 3),
        app.async_nothing(),
        app.async_sum([1, 2]),
        app.async_act(RETURN, 6),
    ]
    for serial, call in enumerate(calls, 1):

        def note(value: object, serial: int = serial) -> None:
            running.happened.append((serial, repr(value)))
            if serial == 1:  # As a callback that waits does.
                running.feed()
                running.settle()

        call.when_resolved(note).when_rejected(note)
    calls[4].cancel()
    running.settle()
    return app


FIRST = framed(Server.Nothing, (), 9)
"""Shows that the peer writes trailers, so that what follows may be plain."""
FIRST_OF_SERVICE = framed(Client.Tell, (RETURN, "first"), wire.NO_SERIAL)


@pytest.mark.slow
@settings(max_examples=500)
@given(streams(requests, requests, one_ways, answers))
def test_a_service_ends_alike_on_both_paths(pieces: list[bytes]) -> None:
    pieces = [FIRST, *pieces]
    assert run(a_service, pieces, looks_closer=False) == run(a_service, pieces, looks_closer=True)


@pytest.mark.slow
@settings(max_examples=500)
@given(streams(answers, answers, of_client, requests))
def test_a_client_ends_alike_on_both_paths(pieces: list[bytes]) -> None:
    pieces = [FIRST_OF_SERVICE, *pieces]
    assert run(a_client, pieces, looks_closer=False) == run(a_client, pieces, looks_closer=True)
