"""Owns the soak, `python -m tests.abuse.soak [--minutes N] [--seed N]`: honest and bad clients at once.
Must not know single attacks. Exit code 0: no honest call was lost, every descriptor was closed, and memory
was flat in the last half."""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
import warnings
from struct import pack
from typing import Any

import attrs

from corelib import AnonymousBuffer, EventLoop, Timer
from ipclib import URL, File, RemoteError, UnixDateTime, UnknownMessage, Wait
from tests.abuse import mutations, wire
from tests.abuse.service import load
from tests.abuse.stage import Failed, Stage, end, require, stage, start, wire_files
from tests.abuse.wire import Peer

WORKERS = 3
CALLS_OF_A_WORKER = 400
PAUSE_MS = 5.0
SAMPLE_SECONDS = 1.0
SHORTEST_TREND = 300.0
"""Seconds of a soak below which its memory is still warming up, and no trend is judged."""
FLAT_WITHIN = 2 << 20
"""Bytes by which the service may seem to grow in the last half: the allocator's noise."""


# --- the honest ---


def _file(content: bytes) -> File:
    file = File(os.memfd_create("soak", os.MFD_CLOEXEC))
    os.write(file.fileno(), content)
    return file


class Worker:
    """A client that makes every call, checks its answer, and counts."""

    def __init__(self, path: str, seed: int) -> None:
        self._abuse = load()
        self._dice = random.Random(seed)
        self._client = _client_class(self._abuse).connect(path, patience=10.0)
        self.calls = 0

    def work(self, loop: EventLoop) -> None:
        """Make this worker's share of calls, then shut down."""
        steps = [getattr(self, name) for name in dir(self) if name.startswith("_try_")]
        for _ in range(CALLS_OF_A_WORKER):
            self._dice.choice(steps)()
            self.calls += 1
            loop.spin_until(_never, PAUSE_MS / 1000)
        self._client.shutdown()

    def _try_values(self) -> None:
        client, dice = self._client, self._dice
        count = dice.randrange(50)
        entry, colour, tree = self._abuse.Entry, self._abuse.Colour, self._abuse.Tree
        for name, value in (
            ("echo", "x" * dice.randrange(2000)),
            ("echo_numbers", list(range(count))),
            ("echo_small_numbers", [-1] * count),
            ("echo_strings", [str(n) for n in range(count)]),
            ("echo_nested", [["a"] * (n % 3) for n in range(count)]),
            ("echo_map", {str(n): n for n in range(count)}),
            ("echo_number_map", {n: n % 2 == 0 for n in range(count)}),
            ("echo_optional", dice.choice((None, [None, 4]))),
            ("echo_array", ("a", "b", "c", "d")),
            ("echo_variant", dice.choice((None, 3, "drei", b"3"))),
            ("echo_json", {"list": list(range(count)), "none": None}),
            ("echo_entries", [entry("n", colour.BLUE, dice.choice((None, 2**60)))] * 3),
            ("echo_tree", tree(1, [tree(2, []), tree(3, [])])),
            ("echo_colour", colour.GREEN),
            ("echo_double", dice.random()),
            ("echo_date", UnixDateTime(dice.randrange(2**60))),
            ("echo_url", URL("https://example.org/soak")),
        ):
            wait = dice.choice((Wait.PUMP, Wait.BLOCK))
            require(getattr(client, name)(value, wait=wait) == value, f"{name}: another value came back")

    def _try_a_large_one(self) -> None:
        value = self._dice.randbytes(self._dice.choice((1000, 100_000, 2_000_000)))
        require(self._client.echo_bytes(value) == value, "echo_bytes: another value came back")

    def _try_a_buffer(self) -> None:
        buffer = AnonymousBuffer.create(self._dice.randrange(1, 100_000))
        buffer.data[:4] = b"soak"[: buffer.size]
        echoed = self._client.echo_buffer(buffer)
        require(bytes(echoed.data) == bytes(buffer.data), "echo_buffer: another content came back")

    def _try_files(self) -> None:
        count = self._dice.choice((0, 1, 3, 64))
        require(self._client.take_files([_file(b"x") for _ in range(count)]) == count, "take_files")
        self._client.async_forget_files([_file(b"x") for _ in range(count)])
        other = _file(b"other") if self._dice.random() < 0.5 else None
        with self._client.copy_file(_file(b"content"), other) as copy:
            require(os.pread(copy.fileno(), 100, 0) == b"content", "copy_file: another content came back")

    def _try_many_at_once(self) -> None:
        promises = [self._client.async_echo(str(n)) for n in range(50)]
        for number, promise in enumerate(promises):
            require(promise.await_(60) == str(number), "a pipelined answer went to another call")

    def _try_later(self) -> None:
        slow, quick = self._client.async_later(30), self._client.async_later(0)
        abandoned = self._client.async_later(5_000)
        abandoned.when_rejected(lambda error: None)
        abandoned.cancel()
        require((quick.await_(60), slow.await_(60)) == (0, 30), "later: another value came back")

    def _try_errors(self) -> None:
        for call, error in ((self._client.fail, RemoteError), (self._client.not_handled, UnknownMessage)):
            try:
                call(True) if call == self._client.fail else call()
            except error:
                continue
            raise Failed(f"{call} raised nothing")

    def _try_posts(self) -> None:
        before = self._client.told()
        for number in range(200):
            self._client.async_tell(str(number))
        require(self._client.told() == before + 200, "a one-way message is lost")
        self._client.posted = 0
        self._client.async_subscribe(100, 500)
        self._client.told()
        require(self._client.posted == 100, "a post of the service is lost")

    def _try_the_other_way(self) -> None:
        require(self._client.ask_back(7) == 8, "ask_back: another value came back")


def _never() -> bool:
    return False


def _client_class(abuse: Any) -> Any:
    class Client(abuse.ConnectionToServer):  # type: ignore[misc]
        posted = 0

        def post(self, number: int, data: bytes) -> None:
            self.posted += 1

        def ask(self, value: int) -> int:
            return value + 1

    return Client


def _worker(path: str, seed: int) -> int:
    print("ready", flush=True)
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1

    with EventLoop() as loop:
        timer = Timer.create_repeating(10, tick)
        timer.start()
        worker = Worker(path, seed)
        try:
            worker.work(loop)
            lost = ""
        except Exception as error:
            lost = f"{type(error).__name__}: {error}"
        timer.stop()
    print(json.dumps({"calls": worker.calls, "lost": lost, "ticks": ticks}), flush=True)
    return 1 if lost else 0


# --- the bad ---


def _bad_peer(path: str, seed: int) -> int:
    """Be one bad peer after the other, until killed."""
    print("ready", flush=True)
    dice = random.Random(seed)
    silent: collections.deque[Peer] = collections.deque()
    for mutant in (mutant for round in range(1 << 30) for mutant in mutations.mutants(100, seed + round)):
        with Peer(path) as peer, wire_files(mutant.descriptors) as files:
            if mutant.after_honest:
                peer.send(wire.message("echo", wire.text("honest")))
            peer.send(mutant.data, files)
            if dice.random() < 0.5:
                peer.finish()
                peer.drain()
        if dice.random() < 0.1:
            silent.append(_never_reads(path))
        if len(silent) > 5:
            silent.popleft().close()
        time.sleep(dice.random() * 0.02)
    return 0


def _never_reads(path: str) -> Peer:
    peer = Peer(path)
    peer.send(wire.message("subscribe", pack("=II", 1000, 1000), serial=0))
    for serial in range(1, 4):
        peer.send(wire.message("fetch", pack("=I", 1 << 20), serial))
    return peer


# --- the director ---


@attrs.define
class Tally:
    """Counts of what has happened so far."""

    calls: int = 0
    workers: int = 0
    killed: int = 0
    lost: list[str] = attrs.field(factory=list)
    samples: list[tuple[float, int, int]] = attrs.field(factory=list)
    """Seconds since the start, resident bytes, descriptors."""


class Director:
    """Starts workers and bad peers until the time is up."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._dice = random.Random(seed)
        self._workers: list[subprocess.Popen[str]] = []
        self._bad: list[subprocess.Popen[str]] = []
        self.tally = Tally()

    def run(self, seconds: float) -> None:
        began = time.monotonic()
        report_at = began + 60
        while (now := time.monotonic()) < began + seconds:
            self._fill()
            self._sample(now - began)
            if now >= report_at:
                report_at += 60
                print(f"{now - began:6.0f} s  {_figures(self.tally)}", flush=True)
            time.sleep(SAMPLE_SECONDS)
            self._reap()
        self._sample(time.monotonic() - began)
        while self._bad:
            end(self._bad.pop())
        while self._workers:
            time.sleep(0.1)
            self._reap()

    def _sample(self, at: float) -> None:
        cost = self._stage.measure()
        self.tally.samples.append((at, cost.resident, cost.fds))

    def _fill(self) -> None:
        while len(self._workers) < WORKERS:
            self._workers.append(self._soak_process("--worker"))
        while len(self._bad) < 1:
            self._bad.append(self._soak_process("--bad"))
        if self._dice.random() < 0.1:
            victim = self._soak_process("--worker")
            time.sleep(self._dice.random() * 3)
            victim.send_signal(signal.SIGKILL)
            end(victim)
            self.tally.killed += 1

    def _soak_process(self, role: str) -> subprocess.Popen[str]:
        return start("soak", role, self._stage.path, "--seed", str(self._dice.getrandbits(30)))

    def _reap(self) -> None:
        for process in [each for each in self._bad if each.poll() is not None]:
            self._bad.remove(process)
            end(process)
            self.tally.lost.append(f"a bad peer's process ended by itself: {process.returncode}")
        for process in [each for each in self._workers if each.poll() is not None]:
            self._workers.remove(process)
            output, _errors = process.communicate()
            self.tally.workers += 1
            if not output:
                self.tally.lost.append(f"a worker ended without a report: {process.returncode}")
                continue
            figures = json.loads(output)
            self.tally.calls += figures["calls"]
            if figures["lost"]:
                self.tally.lost.append(figures["lost"])


def slope(samples: list[tuple[float, int, int]]) -> float:
    """Return the growth of the resident memory in bytes a second, by least squares."""
    if len(samples) < 2:
        return 0.0
    return statistics.linear_regression([at for at, _, _ in samples], [size for _, size, _ in samples]).slope


def _figures(tally: Tally) -> str:
    _at, resident, fds = tally.samples[-1]
    return (
        f"{tally.calls} steps by {tally.workers} workers, {tally.killed} killed, {len(tally.lost)} lost; "
        f"{resident / 2**20:.1f} MiB, {fds} fds"
    )


def soak(seconds: float, seed: int) -> bool:
    """Run the soak; return whether everything held that must."""
    with stage(False, frame_timeout=5.0) as played:
        director = Director(played, seed)
        director.run(seconds)
        played.canary.look()
        after = played.settled()
        tally = director.tally
        half = [sample for sample in tally.samples if sample[0] >= seconds / 2]
        growth = slope(half) * seconds / 2
    flat = growth <= FLAT_WITHIN or seconds < SHORTEST_TREND
    print(f"steps of honest workers   {tally.calls} by {tally.workers}, {tally.killed} more were killed")
    print(f"lost                      {len(tally.lost)} {'; '.join(tally.lost[:5])}")
    canary = played.canary
    print(
        f"canary                    {canary.calls} calls, {canary.lost} lost, worst {canary.worst_ms:.0f} ms"
    )
    print(f"descriptors               {played.before.fds} before, {after.fds} after")
    print(f"resident memory           {played.before.resident / 2**20:.1f} MiB before, ", end="")
    print(f"{tally.samples[0][1] / 2**20:.1f} at first, {half[0][1] / 2**20:.1f} half-way, ", end="")
    print(f"{half[-1][1] / 2**20:.1f} at last; trend of the last half {growth / 2**20:+.2f} MiB")
    return not tally.lost and not canary.lost and flat


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.abuse.soak", description="Attack a service in every way beside honest clients."
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--worker", metavar="SOCKET", help=argparse.SUPPRESS)
    parser.add_argument("--bad", metavar="SOCKET", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("error", ResourceWarning)
    if options.worker:
        return _worker(options.worker, options.seed)
    if options.bad:
        return _bad_peer(options.bad, options.seed)
    return 0 if soak(options.minutes * 60, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
