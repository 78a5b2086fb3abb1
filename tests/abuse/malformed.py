"""Owns the attacks by bytes: frames that are damaged, cut short, lie about their size, or mean nothing.
Must not know how a service reads frames."""

from __future__ import annotations

from struct import pack

from tests.abuse import wire
from tests.abuse.attack import Outcome, attack
from tests.abuse.mutations import mutants
from tests.abuse.stage import Stage, require, wire_files
from tests.abuse.wire import Peer

ECHO = wire.message("echo", wire.text("honest"))
LIMIT = 64 << 20
_PROBE = wire.message("echo", wire.text("is it open?"), serial=0xFFFFFFFF)


def fates(peer: Peer) -> list[str]:
    """Return the kinds of the frames that the service sends until it closes."""
    found: list[str] = []
    while (body := peer.read()) is not None:
        found.append(wire.kind(body))
    return found


def fates_while_open(peer: Peer) -> list[str] | None:
    """Return the kinds of the frames sent before one more call's answer; None if the service closes."""
    peer.send(_PROBE)
    found: list[str] = []
    while (body := peer.read()) is not None:
        if b"is it open?" in body:
            return found
        found.append(wire.kind(body))
    return None


@attack("mutated frames")
def mutated(stage: Stage) -> Outcome:
    outcome = Outcome()
    for mutant in mutants(300 if stage.quick else 10_000, seed=1):
        with stage.connect() as peer, wire_files(mutant.descriptors) as files:
            if mutant.after_honest:
                peer.send(ECHO)
            peer.send(mutant.data, files)
            peer.finish()
            found = fates(peer)[mutant.after_honest :]
            outcome.add(found[0] if found else "cut off")
    return outcome


@attack("size lies")
def size_lies(stage: Stage) -> Outcome:
    outcome = Outcome()
    impossible = (*range(8), LIMIT + 1, 1 << 27, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
    for size in impossible:
        for before in (b"", ECHO, ECHO[:-1]):
            for after in (b"", b"\0", bytes(100), bytes(1 << 20)):
                with stage.connect() as peer:
                    sound = before if before in (b"", ECHO) else ECHO
                    peer.send(sound)
                    peer.send(pack("=I", size) + after)
                    found = fates(peer)
                    require(found in ([], ["answer"]), f"a frame of {size} bytes was answered: {found}")
                    outcome.add(*found, "cut off")
    for size in (8, 9, 19, 20, len(ECHO) - 5, len(ECHO) - 3, len(ECHO) + 1000, LIMIT):
        for copies in (1, 3):
            with stage.connect() as peer:
                peer.send((pack("=I", size) + ECHO[4:]) * copies)
                peer.finish()
                outcome.add(*fates(peer), "cut off")
    return outcome


@attack("sizes at the limit, never filled")
def promised_sizes(stage: Stage) -> Outcome:
    """Promise the largest frames and send little: the service may allocate only for what came."""
    outcome = Outcome()
    count = 20 if stage.quick else 200
    peers = [stage.connect() for _ in range(count)]
    for peer in peers:
        peer.send(pack("=I", LIMIT) + bytes(1000))
    stage.serves()
    grown = stage.measure().resident - stage.before.resident
    require(grown < LIMIT, f"{grown} bytes for {count} promises")
    for peer in peers:
        peer.close()
        outcome.add("cut off")
    return outcome


_CUT = (
    (ECHO, 0),
    (ECHO + ECHO, 0),
    (wire.message("take_files", pack("=I", 3)), 3),
    (wire.message("fetch", pack("=I", 300_000)), 0),
    (wire.control(-1, pack("=I", 1)), 0),
)


@attack("half-closed at each byte of a frame")
def half_closed(stage: Stage) -> Outcome:
    outcome = Outcome()
    for _ in range(1 if stage.quick else 20):
        for data, descriptors in _CUT:
            for size in range(len(data) + 1):
                with stage.connect() as peer, wire_files(descriptors if size else 0) as files:
                    peer.send(data[:size], files)
                    peer.finish()
                    outcome.add(*fates(peer), "closed")
    return outcome


@attack("dead at each byte of a frame")
def dead(stage: Stage) -> Outcome:
    outcome = Outcome()
    for _ in range(1 if stage.quick else 20):
        for data, descriptors in _CUT:
            for size in range(len(data) + 1):
                with stage.connect() as peer, wire_files(descriptors if size else 0) as files:
                    peer.send(data[:size], files)
                    outcome.add("gone")
    return outcome


@attack("dead in the middle of an answer")
def dead_reader(stage: Stage) -> Outcome:
    outcome = Outcome()
    for round in range(50 if stage.quick else 1000):
        with stage.connect() as peer:
            peer.send(wire.message("fetch", pack("=I", 1 << 20)))
            peer.socket.recv(1 + round * 331)
            outcome.add("gone")
    return outcome


def _nonsense() -> list[tuple[str, bytes, list[str] | None]]:
    """Return frames: a name, the bytes, and the kinds of the service's answers, or None if it must close."""
    known, asked = wire.numbers("echo"), wire.numbers("ask", "AbuseClient")
    text = wire.text("x")
    other_signature = wire.trailer(5, known.signature ^ 1)
    stranger = wire.frame(known.magic, 9999, wire.trailer(5, 1))
    return [
        ("unknown magic", wire.frame(12345, 1, wire.trailer(5, 1)), None),
        ("magic 0", wire.frame(0, 1, wire.trailer(5, 1)), None),
        ("unknown id", stranger, ["error 3"]),
        ("unknown id, one-way", wire.frame(known.magic, 9999, wire.trailer(0, 1)), []),
        ("unknown id, bare", wire.frame(known.magic, 9999), None),
        ("our own response's id", wire.response("echo", text, 5), ["error 3"]),
        ("answer to nothing", wire.response("ask", pack("=i", 1), 77, "AbuseClient"), None),
        ("bare answer to nothing", wire.frame(asked.magic, asked.id + 1, pack("=i", 1)), None),
        ("the client's own message", wire.message("ask", pack("=i", 1), 5, "AbuseClient"), None),
        ("another signature", wire.frame(known.magic, known.id, text + other_signature), ["error 2"]),
        ("another payload and signature", wire.frame(known.magic, known.id, other_signature), ["error 2"]),
        ("one-way, another signature", wire.frame(known.magic, known.id, text + wire.trailer(0, 1)), []),
        ("request with serial 0", wire.message("echo", text, 0), None),
        ("one-way with a serial", wire.message("tell", text, 5), None),
        ("bare after trailers", ECHO + wire.bare("echo", text), None),
        ("trailers after bare", wire.bare("echo", text) + ECHO, None),
        ("another tag", wire.frame(known.magic, known.id, text + wire.trailer(5, known.signature, 7)), None),
        ("bytes left over", wire.message("echo", text + b"\0"), None),
        ("a text that is no UTF-8", wire.message("echo", wire.text(b"\xff\xfe")), None),
        ("a byte that is no bool", wire.message("fail", b"\2"), None),
        ("a number that is no enumerator", wire.message("echo_colour", b"\7"), None),
        ("an index beyond a variant", wire.message("echo_variant", b"\x09"), None),
        ("a key twice", wire.message("echo_map", wire.vector([text + pack("=I", 1)] * 2)), None),
        ("text that is no JSON", wire.message("echo_json", wire.text("{]")), None),
        ("JSON with NaN", wire.message("echo_json", wire.text("NaN")), None),
        ("JSON with half a surrogate", wire.message("echo_json", wire.text('"\\ud800"')), ["error 4"]),
        ("a text with half a surrogate", wire.message("echo", wire.text(b"\xed\xa0\x80")), ["error 4"]),
        ("JSON that is no UTF-8", wire.message("echo_json", wire.text(b'"\xe9"')), ["error 4"]),
        ("JSON with a long number", wire.message("echo_json", wire.text("1" * 100_000)), None),
        ("failure of nothing", wire.control(0, pack("=IBI", 5, 1, 0)), None),
        ("failure of another kind", wire.control(0, pack("=IBI", 5, 99, 0)), None),
        ("failure cut short", wire.control(0, b"\1\2"), None),
        ("failure with a long text", wire.control(0, pack("=IBI", 5, 1, 0xFFFFFFFF)), None),
        ("cancel cut short", wire.control(-1, b"\1"), None),
        ("cancel too long", wire.control(-1, bytes(8)), None),
        ("cancel of nothing", wire.control(-1, pack("=I", 99)), []),
        ("describe", wire.control(-2, pack("=I", 9)), ["description"]),
        ("describe everything", wire.frame(0, -2, pack("=I", 9)), ["description"]),
        ("describe a stranger", wire.frame(12345, -2, pack("=I", 9)), None),
        ("describe cut short", wire.control(-2, b""), None),
        ("description unasked", wire.control(-3, pack("=II", 9, 0)), None),
        ("description cut short", wire.control(-3, b"\0"), None),
        ("control -4", wire.control(-4, pack("=I", 9)), None),
        ("the lowest id", wire.control(-(1 << 31), bytes(100)), None),
    ]


@attack("frames that mean nothing")
def nonsense(stage: Stage) -> Outcome:
    outcome = Outcome()
    for _ in range(1 if stage.quick else 25):
        for what, data, expected in _nonsense():
            with stage.connect() as peer:
                if expected is not None:
                    peer.send(ECHO)
                peer.send(data)
                found = fates_while_open(peer)
            wanted = None if expected is None else ["answer", *expected]
            require(found == wanted, f"{what}: {found}, not {wanted}")
            outcome.add("cut off" if expected is None else "ignored" if not expected else expected[0])
    return outcome


@attack("cancel frames, 2,000")
def cancels(stage: Stage) -> Outcome:
    """Cancel calls that do not exist, and as many that do: each of the latter is answered once."""
    outcome = Outcome()
    for _ in range(1 if stage.quick else 10):
        with stage.connect() as peer:
            peer.send(ECHO + b"".join(wire.control(-1, pack("=I", serial)) for serial in range(2, 2002)))
            require(fates_while_open(peer) == ["answer"], "cancelling what is not there was answered")
            serials = range(10, 2010)
            for serial in serials:
                peer.send(wire.message("later", pack("=I", 10_000), serial))
            peer.send(b"".join(wire.control(-1, pack("=I", serial)) * 2 for serial in serials))
            found = fates_while_open(peer)
            require(found == ["error 5"] * 2000, "a cancelled call was not answered once")
            outcome.tries += 3999
            outcome.add("error 5")
    return outcome


@attack("one serial for many calls")
def reused_serials(stage: Stage) -> Outcome:
    outcome = Outcome()
    for _ in range(20 if stage.quick else 500):
        with stage.connect() as peer:
            peer.send(wire.message("later", pack("=I", 5), 7) * 10 + wire.control(-1, pack("=I", 7)))
            peer.send(wire.message("echo", wire.text("x"), 7) * 10)
            peer.finish()
            outcome.add("closed" if fates(peer) else "cut off")
    return outcome


@attack("handlers that raise")
def raising(stage: Stage) -> Outcome:
    outcome = Outcome()
    with stage.connect() as peer:
        for number in range(100 if stage.quick else 3000):
            on_purpose = number % 2 == 0
            peer.send(wire.message("fail", bytes([on_purpose])))
            body = peer.read()
            require(
                body is not None and wire.kind(body) == "error 1", "a handler that raises is not answered"
            )
            assert body is not None
            reason = b"as asked" if on_purpose else b"ZeroDivisionError"
            require(body.endswith(reason), f"the error frame is {body!r}")
            outcome.add("error 1")
    return outcome
