"""Owns the attacks by number: slow clients that hold every place, and a thousand clients of all sorts at
once.
Must not know how a service limits its clients, only the limits."""

from __future__ import annotations

import json
import random
import resource
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from struct import pack

from corelib import EventLoop, Timer
from tests.abuse import wire
from tests.abuse.attack import Outcome, attack
from tests.abuse.malformed import ECHO, fates
from tests.abuse.mutations import mutants
from tests.abuse.service import load
from tests.abuse.stage import Stage, end, require, start
from tests.abuse.wire import GUARD, Peer

_PLACES = 900
_QUICK_PLACES = 40
_QUIET_CALL_EVERY_MS = 1000.0
_MISBEHAVING = 10


def _slow_loris(stage: Stage) -> Outcome:
    """Hold every place but the canary's with a first frame that never ends, sending a byte now and then."""
    outcome = Outcome()
    places = stage.options["max_connections"]
    peers = [stage.connect() for _ in range(places - 1)]
    for number, peer in enumerate(peers):
        peer.send(ECHO[: 1 + number % (len(ECHO) - 8)])
    with stage.connect() as late:
        require(fates(late) == [], "one more than max_connections is kept")
    began = time.monotonic()
    held = dict(enumerate(peers))
    while held:
        require(
            time.monotonic() < began + GUARD, f"{len(held)} clients with partial frames are never dropped"
        )
        time.sleep(0.3)
        for number, peer in list(held.items()):
            if not peer.send(b"\0") or time.monotonic() > began + 4 * stage.options["frame_timeout"]:
                require(fates(peer) == [], "half a frame was answered")
                peer.close()
                del held[number]
                outcome.add("cut off")
    outcome.notes.append(f"all within {time.monotonic() - began:.1f} s")
    return outcome


@attack("slow loris in 39 of 40 places", max_connections=_QUICK_PLACES, frame_timeout=1.0)
def few_slow(stage: Stage) -> Outcome:
    return _slow_loris(stage)


@attack("slow loris in 899 of 900 places", max_connections=_PLACES, frame_timeout=5.0)
def many_slow(stage: Stage) -> Outcome:
    if stage.quick:
        return Outcome(notes=["in the long form only"])
    return _slow_loris(stage)


@attack("a thousand clients, forty of them bad", max_connections=1100)
def thousand(stage: Stage) -> Outcome:
    """Some clients flood, never read, send garbage or die; all calls of the others are answered."""
    outcome = Outcome()
    quiet, bad, seconds = (60, 2, 2.0) if stage.quick else (960, _MISBEHAVING, 60.0)
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if allowed < 1200:
        quiet = min(quiet, allowed - 200)
        outcome.notes.append(f"{quiet} quiet clients, because RLIMIT_NOFILE is {allowed}")
    crowd = _crowd("--quiet", stage, quiet, seconds + 2)
    rabble = _crowd("--bad", stage, bad, seconds)
    figures = json.loads(_last_line(crowd))
    bad_figures = json.loads(_last_line(rabble))
    require(figures["lost"] == 0, f"{figures['lost']} of {figures['calls']} calls of quiet clients are lost")
    require(
        figures["clients"] == quiet, f"{figures['clients']} of {quiet} quiet clients are connected at the end"
    )
    outcome.tries = figures["calls"]
    outcome.ends["answered"] = figures["calls"]
    outcome.notes += [f"worst {figures['worst_ms']:.0f} ms of {quiet} quiet clients", str(bad_figures)]
    return outcome


def _crowd(role: str, stage: Stage, count: int, seconds: float) -> subprocess.Popen[str]:
    return start("crowds", role, stage.path, str(count), str(seconds))


def _last_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    try:
        return process.stdout.readline()
    finally:
        end(process)


# --- in processes of their own ---


def quiet_clients(path: str, count: int, seconds: float) -> dict[str, float]:
    """Run `count` clients that call now and then; return their figures."""
    with EventLoop() as loop:
        soft_to_hard()
        client_class = load().ConnectionToServer
        clients = [client_class.connect(path, patience=10.0) for _ in range(count)]
        print("ready", flush=True)
        figures = {"calls": 0, "lost": 0, "worst_ms": 0.0, "clients": 0}
        open_calls = 0
        calling = True

        def call(client: object) -> None:
            nonlocal open_calls
            if not calling:
                return
            began = time.monotonic()
            open_calls += 1
            figures["calls"] += 1

            def ended(_value: object) -> None:
                nonlocal open_calls
                open_calls -= 1
                figures["worst_ms"] = max(figures["worst_ms"], (time.monotonic() - began) * 1000)

            def lost(_error: BaseException) -> None:
                figures["lost"] += 1

            client.async_echo("quiet").listen(ended, lost)  # type: ignore[attr-defined]

        def begin(client: object) -> None:
            timer = Timer.create_repeating(_QUIET_CALL_EVERY_MS, partial(call, client))
            timer.start()

        dice = random.Random(count)
        for client in clients:
            Timer.create_single_shot(dice.random() * _QUIET_CALL_EVERY_MS, partial(begin, client)).start()
        loop.spin_until(lambda: False, seconds)
        calling = False
        loop.spin_until(lambda: open_calls == figures["lost"], GUARD / 2)
        figures["lost"] = max(figures["lost"], open_calls)
        figures["clients"] = sum(client.is_open for client in clients)
    return figures


def bad_clients(path: str, count: int, seconds: float) -> dict[str, int]:
    """Run `count` clients of each bad sort: flooding, never reading, sending garbage, dying at random."""
    soft_to_hard()
    dice = random.Random(count)
    garbage = [mutant.data for mutant in mutants(500, seed=2) if mutant.data]
    floods = [wire.message("tell", wire.text("x"), serial=0) * 500, ECHO * 500]
    figures = {"floods": 0, "unread": 0, "garbage": 0, "deaths": 0}
    flooding = [_non_blocking(path) for _ in range(count)]
    unread = [_non_blocking(path) for _ in range(count)]
    spoiling: list[Peer] = [_non_blocking(path) for _ in range(count)]
    dying: list[Peer] = [_non_blocking(path) for _ in range(count)]
    rests = dict.fromkeys(flooding, b"")
    print("ready", flush=True)
    until = time.monotonic() + seconds
    selector = selectors.DefaultSelector()
    for peer in flooding:
        selector.register(peer.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, peer)
    while time.monotonic() < until:
        for key, events in selector.select(0.005):
            peer = key.data
            if events & selectors.EVENT_READ:
                with suppress(BlockingIOError, ConnectionResetError):
                    peer.socket.recv(1 << 20)
            if events & selectors.EVENT_WRITE:
                rest = rests[peer] or floods[dice.randrange(2)]
                with suppress(BlockingIOError):
                    rests[peer] = rest[peer.socket.send(rest) :]
                figures["floods"] += not rests[peer]
        for place, peer in enumerate(unread):
            if not _send(peer, wire.message("fetch", pack("=I", 1 << 16))):
                figures["unread"] += 1
                unread[place] = _renewed(peer, path)
        if dice.random() < 0.3:
            place = dice.randrange(count)
            _send(spoiling[place], dice.choice(garbage))
            _send(dying[place], ECHO[: dice.randrange(len(ECHO))] + ECHO)
            if dice.random() < 0.5:
                spoiling[place] = _renewed(spoiling[place], path)
                dying[place] = _renewed(dying[place], path)
                figures["garbage"] += 1
                figures["deaths"] += 1
    return figures


def _non_blocking(path: str) -> Peer:
    peer = Peer(path)
    peer.socket.setblocking(False)
    return peer


def _renewed(peer: Peer, path: str) -> Peer:
    peer.close()
    return _non_blocking(path)


def _send(peer: Peer, data: bytes) -> bool:
    """Send as much as the socket takes; return False if the service has closed."""
    with suppress(BlockingIOError):
        try:
            peer.socket.send(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
    return True


def soft_to_hard() -> None:
    """Raise the limit of descriptors to the most that this user may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    role, path, count, seconds = sys.argv[1:]
    act = quiet_clients if role == "--quiet" else bad_clients
    print(json.dumps(act(path, int(count), float(seconds))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
