"""Owns the attacks on what clients share: memory for running handlers and answers, the log, and the stack.
Must not know how a service divides it."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from struct import pack

from tests.abuse import wire
from tests.abuse.attack import Outcome, attack, peak_of
from tests.abuse.malformed import fates_while_open
from tests.abuse.stage import Stage, require
from tests.abuse.wire import Peer

_MIB = 1 << 20
_FETCHED = 8 * _MIB
_NESTED = 64
_LEVELS = 40
_MOST_HELD_UP = 8.0
"""Seconds. Each call back times out after one; a call that nothing bounds is held up for twenty."""


def _add(outcome: Outcome, peer: Peer) -> None:
    """Add each answer that has come."""
    fates = fates_while_open(peer)
    require(fates is not None, "a client that reads its answers is cut off")
    for fate in fates or []:
        outcome.add(fate)


@attack("150,000 calls that are not answered yet")
def never_ending(stage: Stage) -> Outcome:
    """Make calls whose handlers run on, and leave without them."""
    outcome = Outcome()
    blocks = 10 if stage.quick else 150

    def throw() -> None:
        with stage.connect() as peer:
            for block in range(blocks):
                calls = (
                    wire.message("later", pack("=I", 10_000), 2 + 1000 * block + at) for at in range(1000)
                )
                peer.send(b"".join(calls))
                _add(outcome, peer)

    peak = peak_of(stage, throw) / _MIB
    require(set(outcome.ends) == {"error 4"}, f"not refused, but {outcome.ends}")
    require(peak < 48, f"memory rose by {peak:.0f} MiB")
    outcome.notes.append(f"peak {peak:.0f} MiB")
    return outcome


@attack("answers that come later and are not read", frame_timeout=3.0)
def late_answers(stage: Stage) -> Outcome:
    outcome = Outcome()

    def throw() -> None:
        with stage.connect() as peer:
            for number in range(20 if stage.quick else 120):
                peer.send(wire.message("fetch_later", pack("=II", 300 + 20 * number, _FETCHED), 1 + number))
                outcome.add("not read")
            stage.wait_until(lambda: "dropped pid" in stage.log(), "a client that reads nothing is kept")

    peak = peak_of(stage, throw) / _MIB
    require(peak < 80, f"memory rose by {peak:.0f} MiB")
    outcome.notes.append(f"peak {peak:.0f} MiB")
    return outcome


@attack("a log that one client fills")
def log_flood(stage: Stage) -> Outcome:
    """Call a handler that raises, and connect with frames that break a rule, each without end."""
    outcome = Outcome()
    before = len(stage.log())
    fail = wire.message("fail", b"\0", 2)
    deadline = time.monotonic() + (0.5 if stage.quick else 5.0)
    with stage.connect() as peer:
        while time.monotonic() < deadline:
            peer.send(100 * fail)
            _add(outcome, peer)
    for _ in range(100 if stage.quick else 2000):
        with stage.connect() as peer:
            peer.send(b"\xff" * 100)
            peer.drain()
            outcome.add("cut off")
    grown = (len(stage.log()) - before) / 1024
    require(grown < 256, f"the log grew by {grown:.0f} KiB")
    outcome.notes.append(f"{grown:.0f} KiB of log")
    return outcome


def _tree(levels: int) -> bytes:
    return pack("=iI", 0, 1) * (levels - 1) + pack("=iI", 0, 0)


def _ask_back(peer: Peer) -> None:
    """Make a call in which the service calls back, and answer that."""
    peer.send(wire.message("ask_back", pack("=i", 1), 3))
    asked = peer.read()
    require(asked is not None, "an honest client is cut off")
    _answer(peer, asked or b"")


def _answer(peer: Peer, asked: bytes) -> None:
    (serial,) = struct.unpack_from("=I", asked, len(asked) - 12)
    peer.send(wire.response("ask", pack("=i", 2), serial, "AbuseClient"))


@attack("64 calls nested by one client")
def nested(stage: Stage) -> Outcome:
    """Have the service call back without answering it, while others need its stack."""
    outcome = Outcome()
    for _ in range(1 if stage.quick else 10):
        with stage.connect() as bad, stage.connect() as honest:
            for serial in range(_NESTED):
                bad.send(wire.message("ask_back", pack("=i", 1), 10 + serial))
            for name, value in (
                ("echo_tree", _tree(_LEVELS)),
                ("echo_json", wire.text("[" * _LEVELS + "]" * _LEVELS)),
            ):
                honest.send(wire.message(name, value, 2))
                answer = honest.read()
                require(
                    answer is not None and wire.kind(answer) == "answer", f"{name} of {_LEVELS} levels failed"
                )
                outcome.add("answer")
            _ask_back(honest)
            answer = honest.read()
            require(answer is not None and wire.kind(answer) == "answer", "an honest call back failed")
            outcome.add("answer")
    return outcome


@attack("a client that keeps the service asking it")
def nagging(stage: Stage) -> Outcome:
    """Nest one call above another, so that a client whose answer is there has to wait for them."""
    outcome = Outcome()
    stop = threading.Event()
    with stage.connect() as bad, stage.connect() as honest:
        began = time.monotonic()
        honest.send(wire.message("ask_back", pack("=i", 1), 3))
        asked = honest.read()
        require(asked is not None, "an honest client is cut off")

        def nag() -> None:
            serial = 10
            while not stop.wait(0.3) and bad.send(wire.message("ask_back", pack("=i", 1), serial)):
                serial += 1

        def read() -> None:
            with suppress(OSError):
                bad.drain()

        threads = [threading.Thread(target=nag), threading.Thread(target=read)]
        bad.send(wire.message("ask_back", pack("=i", 1), 9))
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        _answer(honest, asked or b"")
        answer = honest.read()
        waited = time.monotonic() - began
        stop.set()
        threads[0].join()
        bad.socket.shutdown(socket.SHUT_RDWR)
        threads[1].join()
        require(answer is not None and wire.kind(answer) == "answer", "an honest call back failed")
    require(waited < _MOST_HELD_UP, f"an answered call was held up for {waited:.1f} s")
    outcome.add("answer")
    outcome.notes.append(f"held up for {waited:.1f} s")
    return outcome
