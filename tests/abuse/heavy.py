"""Owns the attacks by weight: counts, frames that decode to far more than their size, floods, peers that do
not read.
Must not know how a service bounds its memory, only the limits."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from struct import pack

from corelib import EventLoop
from tests.abuse import wire
from tests.abuse.attack import Outcome, attack, peak_of, worst
from tests.abuse.malformed import ECHO, fates, fates_while_open
from tests.abuse.service import load
from tests.abuse.stage import Stage, require
from tests.abuse.wire import Peer

LIMIT = 64 << 20
MOST_ELEMENTS = 262_144
_QUICK_LIMIT = 4 << 20
_MIB = 1 << 20

_CONTAINERS = (
    ("echo", b"", b"x"),
    ("echo_bytes", b"", b"x"),
    ("echo_numbers", b"", bytes(4)),
    ("echo_small_numbers", b"", b"\0"),
    ("echo_strings", b"", bytes(4)),
    ("echo_nested", b"", bytes(4)),
    ("echo_nested", pack("=I", 1), bytes(4)),
    ("echo_map", b"", bytes(8)),
    ("echo_number_map", b"", bytes(9)),
    ("echo_optional", b"\1", b"\0"),
    ("echo_array", b"", bytes(4)),
    ("echo_variant", b"\3", b"x"),
    ("echo_json", b"", b"1"),
    ("echo_entries", b"", bytes(6)),
    ("echo_tree", bytes(4), bytes(8)),
    ("take_files", b"", b""),
    ("echo_url", b"", b"x"),
)
"""For each container: the message, the bytes before its count, and its smallest element."""


@attack("count bombs")
def count_bombs(stage: Stage) -> Outcome:
    """Send counts that the frame does not hold, in small frames and in the largest."""
    outcome = Outcome()
    peaks = []
    for name, before, element in _CONTAINERS:
        for room in (0, 10, 1000, (_QUICK_LIMIT if stage.quick else LIMIT) - 100):
            held = room // max(len(element), 1)
            for count in (held + 100, MOST_ELEMENTS + held + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
                bomb = wire.message(name, before + pack("=I", count) + element * min(held, room))
                peaks.append((_peak_of_refusal(stage, bomb) / _MIB, name))
                outcome.add("cut off")
    require(max(peaks)[0] <= 2 * LIMIT / _MIB, f"memory rose by {worst(peaks, 'MiB')}")
    outcome.notes.append(f"peak {worst(peaks, 'MiB')}")
    return outcome


def _peak_of_refusal(stage: Stage, bomb: bytes) -> int:
    def throw() -> None:
        with stage.connect() as peer:
            peer.send(bomb)
            require(fates(peer) == [], f"{bomb[:30]!r} was not refused")

    return peak_of(stage, throw)


@attack("more elements than max_elements")
def too_many(stage: Stage) -> Outcome:
    """Send counts that the frame does hold."""
    outcome = Outcome()
    peaks = []
    for name, before, element in _CONTAINERS[4:11] + _CONTAINERS[13:15]:
        for room in (_QUICK_LIMIT, LIMIT - 100):
            if stage.quick and room > _QUICK_LIMIT:
                continue
            count = room // len(element)
            bomb = wire.message(name, before + pack("=I", count) + element * count)
            peaks.append((_peak_of_refusal(stage, bomb) / _MIB, name))
            outcome.add("cut off")
    require(max(peaks)[0] <= 2 * LIMIT / _MIB, f"memory rose by {worst(peaks, 'MiB')}")
    outcome.notes.append(f"peak {worst(peaks, 'MiB')}")
    return outcome


def _dense(size: int) -> list[tuple[str, bytes]]:
    """Return frames of about `size` bytes that decode to far more, or take long to decode."""
    million = 1_000_000
    strings = MOST_ELEMENTS - 1
    return [
        ("empty vectors", wire.message("echo_nested", wire.vector([bytes(4)] * min(size // 4, strings)))),
        (
            "vectors in vectors",
            wire.message("echo_nested", wire.vector([wire.vector([bytes(4)] * 511)] * 511)),
        ),
        ("bytes", wire.message("echo_bytes", wire.text(bytes(size)))),
        ("numbers of four bytes", wire.message("echo_numbers", pack("=I", size // 4) + b"\xff" * size)),
        ("numbers of one byte", wire.message("echo_small_numbers", pack("=I", size) + bytes(size))),
        ("text", wire.message("echo", wire.text(b"x" * size))),
        ("text with one wide character", wire.message("echo", wire.text(b"x" * size + "😀".encode()))),
        ("text that is no UTF-8 at its end", wire.message("echo", wire.text(b"x" * size + b"\xff"))),
        ("JSON of nodes", wire.message("echo_json", wire.text(b"[" + b"1," * 262_000 + b"1]"))),
        ("JSON of a million nodes", wire.message("echo_json", wire.text(b"[" + b"1," * million + b"1]"))),
        ("JSON of a million objects", wire.message("echo_json", wire.text(b"[" + b"{}," * million + b"1]"))),
        ("JSON of a long text", wire.message("echo_json", wire.text(b'"' + b"x" * size + b'"'))),
        ("JSON of escapes", wire.message("echo_json", wire.text(b'"' + b"\\n" * (size // 2) + b'"'))),
        (
            "JSON of short texts",
            wire.message("echo_json", wire.text(b"[" + b'"",' * (size // 3) + b'""]')),
        ),
        ("JSON of empty lists", wire.message("echo_json", wire.text(b"[]" * (size // 2)))),
        ("JSON of backslashes", wire.message("echo_json", wire.text(b'"' + b"\\" * (size - 2) + b'"'))),
        ("JSON of huge integers", wire.message("echo_json", wire.text(_huge_integers(size)))),
        ("JSON of spaces", wire.message("echo_json", wire.text(b" " * size + b"1"))),
        ("JSON of quotes", wire.message("echo_json", wire.text(b'"' * size))),
        ("JSON, deep", wire.message("echo_json", wire.text(b"[" * 100_000 + b"]" * 100_000))),
        ("JSON, deep without end", wire.message("echo_json", wire.text(b"[" * (size // 2)))),
        ("a tree, deep", wire.message("echo_tree", pack("=iI", 0, 1) * 100_000 + pack("=iI", 0, 0))),
        ("a tree, wide", wire.message("echo_tree", pack("=iI", 0, 65_000) + pack("=iI", 0, 0) * 65_000)),
        ("keys that collide", wire.message("echo_number_map", _colliding(50_000))),
        ("keys of long probes", wire.message("echo_number_map", _long_probes())),
    ]


def _huge_integers(size: int) -> bytes:
    digits = b"7" * 4299  # int() takes at most 4,300.
    return b"[" + b",".join([digits] * (size // 4300)) + b"]"


def _colliding(count: int) -> bytes:
    """Return a map whose keys collide in a hash table: their low bits are all alike."""
    return pack("=I", count) + b"".join(pack("=q?", number << 40, True) for number in range(count))


def _long_probes() -> bytes:
    """Return a map in which each key's look-up takes long, though only one key collides, again and again.

    A dict of 21,000 entries has 2**15 slots. It looks for a key in slot `hash % 2**15`, and then in slot
    `5 * slot + 1 + perturb`, where perturb is the hash, shifted right by 5 each time (dictobject.c)."""
    mask, chain, slot = (1 << 15) - 1, [], 1
    for _ in range(21_000):
        chain.append(slot)
        slot = (5 * slot + 1) & mask
    taken = set(chain)

    def probes(key: int) -> int:
        count, at, perturb = 0, key & mask, key
        while at in taken:
            perturb >>= 5
            at = (5 * at + perturb + 1) & mask
            count += 1
        return count

    worst = max(range(mask + 1, mask + 4001), key=probes)
    keys = [*chain, *[worst] * (MOST_ELEMENTS - 1 - len(chain))]
    return pack("=I", len(keys)) + b"".join(pack("=q?", key, True) for key in keys)


@attack("frames that decode to far more", worst_ms=1000.0)
def dense(stage: Stage) -> Outcome:
    """Send frames within every limit, which must be served.

    A message is decoded, handled and encoded in one turn. The largest that the default limits admit takes
    most of a second, for which the canary waits."""
    outcome = Outcome()
    peaks, waits = [], []
    for what, bomb in _dense(_QUICK_LIMIT if stage.quick else LIMIT - 200):

        def throw(bomb: bytes = bomb) -> None:
            with stage.connect() as peer:
                peer.send(bomb)
                found = fates_while_open(peer)
            outcome.add("cut off" if found is None else " ".join(found))

        peaks.append((peak_of(stage, throw) / _MIB, what))
        waits.append((stage.canary.look()["worst_ms"], what))
    for figures, unit in ((peaks, "MiB"), (waits, "ms")):
        high = sorted(figures, reverse=True)[:6]
        outcome.notes.append(", ".join(f"{figure:.0f} {unit} {what}" for figure, what in high))
    return outcome


@attack("1 GiB of answers that are not read", frame_timeout=3.0)
def greedy(stage: Stage) -> Outcome:
    outcome = Outcome()
    clients = 1 if stage.quick else 3

    def throw() -> None:
        peers = [stage.connect() for _ in range(clients)]
        for peer in peers:
            for serial in range(1, 1025):
                peer.send(wire.message("fetch", pack("=I", 1 << 20), serial))
        stage.wait_until(
            lambda: stage.measure().fds <= stage.before.fds, "a client that reads nothing is not dropped"
        )
        for peer in peers:
            outcome.add("cut off")
            peer.close()

    peak = peak_of(stage, throw)
    outcome.notes.append(f"peak {peak / _MIB:.0f} MiB")
    return outcome


@attack("posts that are not read")
def unread_posts(stage: Stage) -> Outcome:
    """A client that does not read its posts is dropped when they pass max_send_queue."""
    outcome = Outcome()
    for _ in range(1 if stage.quick else 20):
        with stage.connect() as peer:
            peer.send(wire.message("subscribe", pack("=II", 4096, 64 << 10), serial=0))
            stage.wait_until(
                lambda: stage.measure().fds <= stage.before.fds, "a client that reads nothing is not dropped"
            )
            outcome.add("cut off")
    return outcome


def _flood(peer: Peer, message: bytes, seconds: float) -> int:
    """Send a one-way message again and again; return how often."""
    chunk = max(1, (64 << 10) // len(message))
    until = time.monotonic() + seconds
    sent = 0
    while time.monotonic() < until and peer.send(message * chunk):
        sent += chunk
    return sent


@attack("a flood of messages, no rate set")
def flood(stage: Stage) -> Outcome:
    outcome = Outcome()
    with stage.connect() as peer:
        sent = _flood(peer, wire.message("tell", wire.text("x"), serial=0), 0.5 if stage.quick else 20)
        peer.send(wire.message("told"))
        body = peer.read()
        require(body is not None and body[8:12] == pack("=I", sent), "a one-way message is lost")
        outcome.tries = sent
        outcome.ends["served"] = sent
    return outcome


@attack("a flood of requests, no rate set")
def request_flood(stage: Stage) -> Outcome:
    outcome = Outcome()
    with stage.connect() as peer:
        until = time.monotonic() + (0.5 if stage.quick else 20)
        while time.monotonic() < until:
            peer.send(ECHO * 500)
            for _ in range(500):
                body = peer.read()
                outcome.add("cut off" if body is None else wire.kind(body))
    require(set(outcome.ends) == {"answer"}, "a request was not answered")
    return outcome


@attack("a flood over the rate", rate={"per_second": 1000, "burst": 100})
def rated(stage: Stage) -> Outcome:
    outcome = Outcome()
    with stage.connect() as peer:
        for _ in range(20 if stage.quick else 400):
            peer.send(ECHO * 500)
            for _ in range(500):
                body = peer.read()
                outcome.add("cut off" if body is None else wire.kind(body))
        require(set(outcome.ends) == {"answer", "error 4"}, "a request was neither answered nor refused")
        sent = _flood(peer, wire.message("tell", wire.text("x"), serial=0), 0.5)
        time.sleep(0.2)  # By then the rate admits one message again.
        peer.send(wire.message("told"))
        body = peer.read()
        require(body is not None and wire.kind(body) == "answer", "a peer that is slow again is not served")
        assert body is not None
        served = int.from_bytes(body[8:12], "little")
        require(served < sent, "no one-way message was dropped")
        outcome.notes.append(f"{served} of {sent} one-way messages served")
    return outcome


@attack("a flood that cuts off", rate={"per_second": 1000, "burst": 100, "disconnect": True})
def rated_to_the_end(stage: Stage) -> Outcome:
    outcome = Outcome()
    for _ in range(5 if stage.quick else 100):
        with stage.connect() as peer:
            peer.send(ECHO * 1000)
            found = fates(peer)
            require(len(found) < 1000, "all of 1000 were answered")
            outcome.add("cut off")
    return outcome


@attack("three 40 MiB echoes pipelined, all read")
def honest_pipeline(stage: Stage) -> Outcome:
    outcome = Outcome()
    value = bytes(range(256)) * ((40 << 20) // 256)
    with EventLoop():
        client = load().ConnectionToServer.connect(stage.path)
        for _ in range(1 if stage.quick else 5):
            for promise in [client.async_echo_bytes(value) for _ in range(3)]:
                require(promise.await_(wire.GUARD) == value, "another value came back")
                outcome.add("answered")
        client.shutdown()
    return outcome


@attack("a pipeline that is not read")
def unread_pipeline(stage: Stage) -> Outcome:
    """The service stops reading from a client that does not read, and answers everything once it does."""
    outcome = Outcome()
    request = wire.message("echo_bytes", wire.text(bytes(1 << 20)))
    with stage.connect() as peer:
        sent, rest = _send_until_pushed_back(peer, request)
        require(sent < 200, f"{sent} MiB went to a service whose answers nobody reads")
        sender = threading.Thread(target=peer.send, args=(rest,))
        sender.start()
        peer.socket.settimeout(wire.GUARD)
        for _ in range(sent):
            body = peer.read()
            require(body is not None, "a pipeline was cut off rather than answered")
            outcome.add("answered")
        sender.join(wire.GUARD)
    outcome.notes.append(f"the sender had to wait after {sent} MiB")
    return outcome


def _send_until_pushed_back(peer: Peer, request: bytes) -> tuple[int, bytes]:
    """Send a request until the socket takes no more; return how many were begun, and the last one's rest."""
    peer.socket.settimeout(1.5)
    sent, rest = 0, memoryview(b"")
    with suppress(TimeoutError):
        while sent < 1000:
            rest = memoryview(request)
            sent += 1
            while rest:
                rest = rest[peer.socket.send(rest) :]
    return sent, bytes(rest)
