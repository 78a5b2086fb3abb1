"""Owns the attacks by descriptors: too many, stray, none left; by users who may not connect; and by killing a
service.
Must not know how a service keeps its descriptors."""

from __future__ import annotations

import os
import time
from pathlib import Path
from struct import pack

from corelib import EventLoop
from ipclib import PeerDisconnected
from tests.abuse import wire
from tests.abuse.attack import Outcome, attack
from tests.abuse.malformed import ECHO, fates, fates_while_open
from tests.abuse.service import load
from tests.abuse.stage import Stage, end, require, start, wire_files
from tests.abuse.wire import Peer

MOST_FDS = 64
_KERNELS_MOST = 253
"""SCM_MAX_FD of Linux: sendmsg(2) takes no more at once."""
_ANSWERED = ["answer"]
_CUT_OFF: list[str] = []


def _messages() -> list[tuple[bytes, int, list[str] | None]]:
    """Return messages: bytes, number of descriptors, and the service's answers (None: any will do)."""
    found: list[tuple[bytes, int, list[str] | None]] = []
    for count in (0, 1, MOST_FDS - 1, MOST_FDS):
        found.append((wire.message("take_files", pack("=I", count)), count, _ANSWERED))
    for count in (MOST_FDS + 1, 100, _KERNELS_MOST):
        found.append((wire.message("take_files", pack("=I", count)), count, _CUT_OFF))
    for needed, given in ((3, 2), (3, 0), (MOST_FDS, MOST_FDS - 1)):
        found.append((wire.message("take_files", pack("=I", needed)), given, _CUT_OFF))
    # The call takes fewer than came: it is served, and then its peer is dropped.
    for needed, given in ((2, 3), (0, 1), (1, MOST_FDS), (1, MOST_FDS + 1)):
        found.append((wire.message("take_files", pack("=I", needed)), given, None))
    for given in (1, MOST_FDS, MOST_FDS + 1, _KERNELS_MOST):
        found.append((ECHO, given, None))
        found.append((ECHO[:-1], given, _CUT_OFF))
        found.append((b"\0", given, _CUT_OFF))
    found.append((wire.message("forget_files", pack("=I", MOST_FDS), serial=0), MOST_FDS, []))
    found.append((wire.message("not_handled"), 5, None))
    found.append((wire.frame(wire.numbers("echo").magic, 9999, wire.trailer(5, 1)), 5, ["error 3"]))
    known = wire.numbers("take_files")
    other_signature = pack("=I", 5) + wire.trailer(5, 1)
    found.append((wire.frame(known.magic, known.id, other_signature), 5, ["error 2"]))
    return found


@attack("descriptors, too many, too few, stray")
def descriptors(stage: Stage) -> Outcome:
    outcome = Outcome()
    messages = _messages()
    for round in range(2 * len(messages) if stage.quick else 1000):
        data, count, expected = messages[round % len(messages)]
        with stage.connect() as peer, wire_files(count) as files:
            peer.send(data, files)
            peer.finish()
            found = fates(peer)
            if expected is not None:
                require(found == expected, f"{data[:16]!r} with {count} fds: {found}, not {expected}")
            outcome.add(*found)
    return outcome


@attack("descriptors, one with each byte")
def trickled(stage: Stage) -> Outcome:
    """Send a descriptor with each byte of a frame that never ends."""
    outcome = Outcome()
    for _ in range(3 if stage.quick else 100):
        with stage.connect() as peer, wire_files(1) as files:
            peer.send(pack("=I", 1 << 20))
            sent = 0
            while sent < 10 * MOST_FDS and peer.send(b"\0", files):
                sent += 1
            require(fates(peer) == [], "descriptors without end were answered")
            outcome.add("cut off")
    return outcome


@attack("200 clients and no descriptors left", descriptors=60)
def no_descriptors(stage: Stage) -> Outcome:
    outcome = Outcome()
    for _ in range(1 if stage.quick else 5):
        peers = [stage.connect() for _ in range(200)]
        for peer in peers:
            peer.send(ECHO)
        require(fates_while_open(peers[0]) == ["answer"], "a client that was there is not served")
        began, used = time.monotonic(), _cpu_seconds(stage.pid)
        time.sleep(1.0)  # Nothing can be accepted meanwhile: the service must be idle.
        used = (_cpu_seconds(stage.pid) - used) / (time.monotonic() - began)
        require(used < 0.8, f"the service is busy with clients that it cannot accept: {used:.0%} of the time")
        with wire_files(3) as files:
            peers[1].send(wire.message("take_files", pack("=I", 3)), files)
        peers[0].close()
        for number, peer in enumerate(peers[1:], 1):
            answer = peer.read()
            require(answer is not None, f"client {number} of 200 was refused rather than left waiting")
            peer.close()
            outcome.add("answered when others left")
    outcome.notes.append(f"{used:.0%} of a core meanwhile")
    return outcome


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


_NOBODY = 65534


def _answer_as_nobody(path: str) -> int:
    """Return how many bytes the service sends to another user, asked by a child that becomes that user."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
            with Peer(path) as peer:
                peer.send(ECHO)
                code = len(peer.read() or b"")
        finally:
            os._exit(code)
    _child, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@attack("another user", anyone=True)
def another_user(stage: Stage) -> Outcome:
    outcome = Outcome()
    if os.geteuid() != 0:
        outcome.notes.append("skipped: it takes root to become another user")
        return outcome
    stage.folder.chmod(0o755)
    for _ in range(3 if stage.quick else 50):
        answered = _answer_as_nobody(stage.path)
        require(answered == 0, f"another user was served ({answered})")
        outcome.add("cut off")
    return outcome


@attack("the service killed and started again")
def killed(stage: Stage) -> Outcome:
    """Restart a service on one path: its client sees the end of an open call, and finds the next service."""
    outcome = Outcome()
    path = str(stage.folder / "mortal")
    client_class = load().ConnectionToServer
    fds = len(os.listdir("/proc/self/fd"))
    with EventLoop():
        for _ in range(3 if stage.quick else 100):
            service = start("service", path, "{}")
            client = client_class.connect(path, patience=30.0)
            require(client.echo("x") == "x", "a service that was started again does not serve")
            call = client.async_later(10_000)
            client.flush(5.0)
            end(service)
            try:
                call.await_(wire.GUARD)
            except PeerDisconnected:
                outcome.add("PeerDisconnected, then found again")
            require(not client.is_open, "a dead service's connection is open")
    left = sorted(os.listdir(stage.folder))
    require(len(left) <= 5, f"each start leaves something: {left}")
    require(len(os.listdir("/proc/self/fd")) <= fds, "the client keeps descriptors of dead services")
    return outcome
