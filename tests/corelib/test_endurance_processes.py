"""Owns the tests of signals at any moment, against real processes, and of fork.
Must not know how a signal ends a sleep.

A service is ended 20 times by SIGTERM or Ctrl-C at random moments; another number of times by
`CORELIB_ENDURANCE=200 python -m pytest tests/corelib/test_endurance_processes.py`.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from corelib import EventLoop, LocalSocket, Notifier, Timer

Forked = Callable[[Callable[[], object]], int]
GUARD = 30.0
ENDS = int(os.environ.get("CORELIB_ENDURANCE", "20"))

SERVICE = """
import signal, sys
from corelib import EventLoop, LocalServer, Notifier, Timer

def serve(client):
    def echo():
        data = client.receive()
        if data:
            client.send(data)
        else:
            notifier.close()
            client.close()
    notifier = Notifier(client, Notifier.Type.READ, echo)

def go_on():
    loop.deferred_invoke(go_on)

with EventLoop() as loop:
    server = LocalServer(serve)
    server.listen(sys.argv[1])
    loop.register_signal(signal.SIGTERM, loop.quit)
    timers = [Timer.create_repeating(interval, lambda: None) for interval in (0, 1, 2)]
    for timer in timers:
        timer.start()
    if sys.argv[2] == "busy":
        go_on()
    try:
        print("up", flush=True)
        code = loop.exec()
    except KeyboardInterrupt:
        code = 130
    finally:
        server.close()
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.timeout(60 + ENDS * 5)
def test_a_service_is_ended_at_random_moments_and_the_next_start_is_clean(tmp_path: Path) -> None:
    path = str(tmp_path / "service")
    rng = random.Random(9)
    for number in range(ENDS):
        signo, expected = [(signal.SIGTERM, int(signal.SIGTERM)), (signal.SIGINT, 130)][number % 2]
        service = subprocess.Popen(
            [sys.executable, "-c", SERVICE, path, rng.choice(["busy", "calm"])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert service.stdout is not None
        assert service.stdout.readline() == "up\n"
        clients = []
        for _ in range(rng.randrange(4)):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            client.send(b"x" * rng.randrange(1, 10_000))
            clients.append(client)
        time.sleep(rng.random() * 0.01)  # Sleeping to hit a random moment, not to wait for an event.
        service.send_signal(signo)
        output, errors = service.communicate(timeout=GUARD)
        assert (service.returncode, output, errors) == (expected, "", "")
        assert os.listdir(tmp_path) == [], "its socket is gone"
        for client in clients:
            client.close()


STORM = """
import os, random, signal, socket, time
from corelib import *
from corelib.turn.blocking import block_on
from corelib.turn.poller import READABLE

alarms = 0
def alarm(signo, frame):
    global alarms
    alarms += 1

loop = EventLoop()
by_loop = 0
def note(signo):
    global by_loop
    by_loop += 1

signal.signal(signal.SIGALRM, alarm)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)

rng = random.Random(10)
one, other = LocalSocket.pair()
early, fired, echoed = [], 0, []

def arm():
    due = time.monotonic_ns() + (ms := rng.randrange(5)) * 1_000_000
    def fire():
        global fired
        fired += 1
        if time.monotonic_ns() < due:
            early.append(due)
        if fired < 300:
            arm()
        else:
            loop.quit(fired)
    Timer.create_single_shot(ms, fire).start()

def echo():
    echoed.append(one.receive())
    one.send(echoed[-1])

notifier = Notifier(one, Notifier.Type.READ, echo)
arm()
for number in range(100):
    data = b"%d" % number
    other.send(data)
    assert other.wait_readable(0.0) is False
    assert loop.spin_until(lambda: len(echoed) > number, timeout=30)
    assert other.wait_readable(30.0)
    assert other.receive() == data == echoed[-1]
    began = time.monotonic()
    assert not other.wait_readable(0.002)
    assert time.monotonic() - began >= 0.002
    deadline = time.monotonic_ns() + 2_000_000
    loop.spin_until(lambda: False, timeout=0.002)
    assert time.monotonic_ns() >= deadline
    assert fired < 300 or loop.was_exit_requested()
assert loop.exec() == 300
assert early == [], early
job = Promise()
Timer.create_single_shot(20, lambda: job.resolve(5)).start()
assert job.await_(30) == 5
handler = loop.register_signal(signal.SIGALRM, note)
assert loop.spin_until(lambda: by_loop > 10, timeout=30)
loop.unregister_signal(handler)
signal.setitimer(signal.ITIMER_REAL, 0)
assert alarms > 100, alarms
loop.close()
print("fine")
"""


@pytest.mark.slow
def test_a_storm_of_signals_changes_nothing() -> None:
    """An interval timer interrupts system calls, while timers, notifiers and all kinds of waits run."""
    done = subprocess.run([sys.executable, "-c", STORM], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("fine\n", "")


@pytest.mark.slow
def test_fork_in_callbacks_disturbs_neither_side(loop: EventLoop, forked: Forked) -> None:
    """Thirty children are forked, each in a turn while the loop is full of the parent's work."""
    ticks = notified = 0
    codes: list[int] = []
    parent = os.getpid()
    one, other = LocalSocket.pair()

    def tick() -> None:
        nonlocal ticks
        if os.getpid() != parent:
            os._exit(9)
        ticks += 1

    def read() -> None:
        nonlocal notified
        if os.getpid() != parent:
            os._exit(8)
        notified += len(one.receive() or b"")

    def child() -> None:
        ran: list[str] = []
        with EventLoop() as own:
            mine, theirs = LocalSocket.pair()
            Timer.create_single_shot(1, lambda: ran.append("timer")).start()

            def hear() -> None:
                mine.receive()
                ran.append("notifier")

            Notifier(mine, Notifier.Type.READ, hear)
            own.deferred_invoke(lambda: theirs.send(b"x"))
            own.register_signal(signal.SIGUSR1, lambda signo: ran.append("signal"))
            own.deferred_invoke(lambda: signal.raise_signal(signal.SIGUSR1))
            assert own.spin_until(lambda: len(ran) == 3, timeout=GUARD)
        assert sorted(ran) == ["notifier", "signal", "timer"]

    def fork() -> None:
        other.send(b"x")
        codes.append(forked(child))

    timers = [Timer.create_repeating(interval, tick) for interval in (0, 1)]
    for timer in timers:
        timer.start()
    notifier = Notifier(one, Notifier.Type.READ, read)
    for _ in range(30):
        loop.deferred_invoke(fork)
        loop.pump()
    assert loop.spin_until(lambda: notified == 30, timeout=GUARD)
    assert codes == [0] * 30
    assert ticks >= 30
    for timer in timers:
        timer.stop()
    notifier.close()
    one.close()
    other.close()


EXECUTE = """
import os, subprocess, sys
from corelib import *

loop = EventLoop()
one, other = LocalSocket.pair()
notifier = Notifier(one, Notifier.Type.READ, print)
accepted = []
server = LocalServer(accepted.append)
server.listen(sys.argv[1])
client = LocalSocket.connect(sys.argv[1])
assert loop.spin_until(lambda: accepted, timeout=30)
buffer = AnonymousBuffer.create(4096)
command = [sys.executable, "-c", "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"]
if sys.argv[2] == "spawn":
    subprocess.run(command, close_fds=False)
elif (pid := os.fork()) == 0:
    os.execv(command[0], command)
else:
    os.waitpid(pid, 0)
server.close()
"""


@pytest.mark.parametrize("way", ["fork and exec", pytest.param("spawn", marks=pytest.mark.slow)])
def test_an_executed_child_has_only_its_three_standard_fds(tmp_path: Path, way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(tmp_path / "service"), way],
        capture_output=True,
        text=True,
        timeout=GUARD,
    )
    assert (done.stdout, done.stderr) == ("[0, 1, 2]\n", "")
