"""Owns the attacks on what all clients of a service share: its memory for open calls, its stack, its log, and
the kernel's count of descriptors on their way.
Must not know how a service divides them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from struct import pack, unpack_from

from tests.abuse import wire
from tests.abuse.attack import Outcome, attack, peak_of
from tests.abuse.malformed import ECHO, fates_while_open
from tests.abuse.stage import Stage, require
from tests.abuse.wire import Peer

_MIB = 1 << 20
_NOBODY = 65534
_MOST_HELD = 64 * _MIB
"""Bytes that one peer with the default limits may make a service hold (docs/security.md), and what the
measuring itself adds."""
_MOST_LOGGED = 1 << 20
_DEEP = pack("=iI", 0, 1) * 39 + pack("=iI", 0, 0)
"""An honest tree of 40 levels."""


@contextmanager
def _drained(peer: Peer) -> Iterator[None]:
    """Read and forget all that comes to a peer, in a thread, until the block ends; it closes the peer."""

    def drain() -> None:
        with suppress(OSError):
            peer.drain()

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        yield
    finally:
        peer.finish()
        with suppress(OSError):
            peer.socket.shutdown(0)
        thread.join()
        peer.close()


def _bounded(stage: Stage, outcome: Outcome, throw: Callable[[], object]) -> None:
    peak = peak_of(stage, throw)
    require(peak <= _MOST_HELD, f"memory rose by {peak / _MIB:.0f} MiB")
    outcome.notes.append(f"peak {peak / _MIB:.0f} MiB")


@attack("calls opened without end")
def open_calls(stage: Stage) -> Outcome:
    """Open calls whose handlers never finish; the peer reads its refusals, and then dies."""
    outcome = Outcome()
    count = 20_000 if stage.quick else 150_000

    def throw() -> None:
        peer = stage.connect()
        with _drained(peer):
            for base in range(1, count, 1000):
                calls = [wire.message("later", pack("=I", 60_000), base + n) for n in range(1000)]
                if not peer.send(b"".join(calls)):
                    break
                outcome.tries += 1000
            stage.serves()

    _bounded(stage, outcome, throw)
    return outcome


@attack("deferred answers that are not read")
def deferred_answers(stage: Stage) -> Outcome:
    outcome = Outcome()
    count = 50 if stage.quick else 500

    def throw() -> None:
        with stage.connect() as peer:
            for serial in range(1, count + 1):
                if not peer.send(wire.message("fetch_later", pack("=II", 200, _MIB), serial)):
                    break
                outcome.tries += 1
            time.sleep(1.0)  # By then all the handlers have finished that ever will.

    _bounded(stage, outcome, throw)
    return outcome


@attack("a call left unanswered, then answers not read")
def unanswered(stage: Stage) -> Outcome:
    """Leave a call of the service unanswered; answers that are not read must still hold up their peer."""
    outcome = Outcome()
    with stage.connect() as peer:
        peer.send(wire.message("ask_back", pack("=i", 1), 5))
        require(_next(peer) == "answer", "the service does not call back")
        require(_next(peer) == "cancel", "the service does not cancel the call that it gave up")

        def throw() -> None:
            peer.socket.settimeout(1.5)
            with suppress(TimeoutError):
                for serial in range(10, 50 if stage.quick else 400):
                    peer.send(wire.message("fetch", pack("=I", 8 * _MIB), serial))
                    outcome.tries += 1
            time.sleep(1.0)

        _bounded(stage, outcome, throw)
    return outcome


@attack("posts while a call blocks")
def blocking(stage: Stage) -> Outcome:
    """Send large posts to a service that waits in Wait.BLOCK, in which it handles none of them."""
    outcome = Outcome()
    post = wire.message("tell", wire.text(b"x" * (8 * _MIB)), serial=0)

    def throw() -> None:
        with stage.connect() as peer:
            peer.send(wire.message("ask_back_blocking", pack("=i", 1), 5))
            peer.socket.settimeout(0.4)
            with suppress(TimeoutError):
                for _ in range(100):
                    peer.send(post)
                    outcome.tries += 1

    peak = peak_of(stage, throw)
    require(peak <= 3 * _MOST_HELD, f"memory rose by {peak / _MIB:.0f} MiB")
    outcome.notes.append(f"peak {peak / _MIB:.0f} MiB")
    return outcome


@attack("a log that one peer fills")
def log_flood(stage: Stage) -> Outcome:
    """Make a handler raise again and again, and break the rules on new connections again and again."""
    outcome = Outcome()
    seconds = 0.5 if stage.quick else 5
    before = len(stage.log())
    peer = stage.connect()
    with _drained(peer):
        until = time.monotonic() + seconds
        while time.monotonic() < until and peer.send(wire.message("fail", b"\0") * 100):
            outcome.tries += 100
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with stage.connect() as bad:
            bad.send(wire.frame(12345, 1, bytes(20)))
        outcome.tries += 1
    stage.serves()
    logged = len(stage.log()) - before
    require(logged <= _MOST_LOGGED, f"{logged} bytes of log")
    require("ZeroDivisionError" in stage.log(), "a handler's exception is not logged at all")
    outcome.notes.append(f"{logged / 1024:.0f} KiB of log")
    return outcome


@attack("around the rate", rate={"per_second": 1000, "burst": 100})
def around_the_rate(stage: Stage) -> Outcome:
    """Flood with what is no message: control frames, unknown numbers, another signature."""
    outcome = Outcome()
    known = wire.numbers("echo")
    odd = {
        "describe": wire.control(-2, pack("=I", 9)),
        "cancel": wire.control(-1, pack("=I", 1)),
        "unknown number": wire.frame(known.magic, 9999, wire.trailer(5, 1)),
        "other signature": wire.frame(known.magic, known.id, wire.text("x") + wire.trailer(5, 1)),
    }
    for what, data in odd.items():
        peer = stage.connect()
        began = time.monotonic()
        with _drained(peer):
            sent = 0
            while time.monotonic() < began + (0.3 if stage.quick else 3) and peer.send(data * 100):
                sent += 100
        outcome.tries += sent
        outcome.notes.append(f"{sent} {what}")
    return outcome


@attack("calls nested without end")
def nested(stage: Stage) -> Outcome:
    """Let the service's calls to one client wait inside each other; the others' messages are served."""
    outcome = Outcome()
    with stage.connect() as bad:
        for number in range(64):
            bad.send(wire.message("ask_back", pack("=i", number), 10 + number))
            time.sleep(0.004)
        for name, data in (
            ("echo_tree", _DEEP),
            ("echo_json", wire.text("[" * 40 + "]" * 40)),
            ("echo", wire.text("honest")),
        ):
            with stage.connect() as peer:
                peer.send(wire.message(name, data))
                outcome.add(_next(peer))
        with stage.connect() as peer:
            outcome.add(_answered_ask_back(peer))
    require(set(outcome.ends) == {"answer"}, f"an honest client was refused: {outcome}")
    return outcome


@attack("a nested call that is kept busy")
def nagging(stage: Stage) -> Outcome:
    """Ask for calls that are never answered, one after another, while an honest call has its answer."""
    outcome = Outcome()
    bad, stop = stage.connect(), threading.Event()

    def nag() -> None:
        serial = 10
        while not stop.wait(0.3) and bad.send(wire.message("ask_back", pack("=i", 1), serial)):
            serial += 1

    thread = threading.Thread(target=nag)
    with _drained(bad), stage.connect() as peer:
        began = time.monotonic()
        peer.send(wire.message("ask_back", pack("=i", 5)))
        asked = peer.read()
        assert asked is not None
        thread.start()
        try:
            time.sleep(0.5)  # The service now waits for the other client, within this call.
            peer.send(_reply(asked))
            outcome.add(_next(peer))
            waited = time.monotonic() - began
        finally:
            stop.set()
            thread.join()
    require(set(outcome.ends) == {"answer"}, f"an honest call was not answered: {outcome}")
    require(waited < 5, f"an honest call that had its answer waited for {waited:.1f} s")
    outcome.notes.append(f"the honest call took {waited:.1f} s")
    return outcome


@attack("descriptors left on their way", uid=_NOBODY, descriptors=300)
def parked(stage: Stage) -> Outcome:
    """Leave answers with files unread, until the kernel takes no more from the service's user (unix(7))."""
    outcome = Outcome()
    if os.geteuid() != 0:
        outcome.notes.append("skipped: it takes root to run the service as another user")
        return outcome
    give = wire.message("give_file")
    with stage.connect() as honest:
        honest.send(give)
        require(_next(honest) == "answer", "a client is not sent a file")
        bad = [stage.connect() for _ in range(6)]
        for peer in bad:
            peer.socket.settimeout(0.2)
            with suppress(TimeoutError):  # The service no longer reads from it.
                for serial in range(1, 201):
                    peer.send(wire.message("give_file", serial=serial))
                    outcome.tries += 1
        require(fates_while_open(honest) == [], "an honest client is not served")
        honest.send(give)
        time.sleep(0.5)  # The service cannot send the file meanwhile.
        for peer in bad[1:]:
            peer.close()
        found = _next(honest)
        require(found != "cut off", "an honest client is cut off because of others' descriptors")
        outcome.ends[f"honest: {found}"] += 1
        bad[0].close()
        honest.send(ECHO)
        require(_next(honest) == "answer", "an honest client is not served afterwards")
    return outcome


def _next(peer: Peer) -> str:
    body = peer.read()
    return "cut off" if body is None else wire.kind(body)


def _reply(asked: bytes) -> bytes:
    """Return the answer 6 to a call of ask() by the service."""
    (serial,) = unpack_from("=I", asked, len(asked) - 12)
    return wire.response("ask", pack("=i", 6), serial, "AbuseClient")


def _answered_ask_back(peer: Peer) -> str:
    peer.send(wire.message("ask_back", pack("=i", 1)))
    asked = peer.read()
    if asked is None or wire.kind(asked) != "answer":
        return "cut off" if asked is None else wire.kind(asked)
    peer.send(_reply(asked))
    return _next(peer)
