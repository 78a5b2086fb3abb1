"""Owns the tests of Ctrl-C: raised in or between user callbacks, and never inside the loop.
Must not know which packages protect themselves.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest

from corelib import EventLoop, LocalSocket, Promise, Timer, WaitMode
from corelib.turn import interrupts

POLL = WaitMode.POLL_FOR_EVENTS
ctrl_c = partial(signal.raise_signal, signal.SIGINT)


@pytest.fixture(autouse=True)
def python_handles_sigint() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not interrupts.pending
    signal.signal(signal.SIGINT, before)


def user_code_runs_in(functions: list[tuple[str, bool]]) -> object:
    """is_user_code() of the innermost frame of a stack of functions.

    Each is given by its module and whether it is marked to call user code, the outermost first."""
    source = "def call(rest):\n    return rest[0](rest[1:]) if rest else judge(getframe())\n"
    made = []
    for module, marked in functions:
        names: dict[str, Any] = {
            "__name__": module,
            "judge": interrupts.is_user_code,
            "getframe": sys._getframe,
        }
        exec(source, names)
        function = names["call"]
        made.append(interrupts.calls_user_code(function) if marked else function)
    return made[0](made[1:])


@pytest.mark.parametrize(
    ("stack", "is_user_code"),
    [
        ([("app", False)], True),
        ([("corelib.turn", False)], False),
        ([("corelib.turn", True)], False),
        ([("corelib.turn", True), ("app", False)], True),
        ([("corelib.turn", False), ("app", False)], False),
        ([("corelib.turn", True), ("app", False), ("logging", False)], True),
        ([("corelib.turn", True), ("app", False), ("corelib.timer", False)], False),
        ([("corelib.turn", True), ("app", False), ("protocols.call", False), ("app_ipc", False)], False),
        ([("corelib.turn", False), ("protocols.call", True), ("app_ipc", False), ("app", False)], True),
        ([("corelib.turn", False), ("logging", False)], False),
        ([("corelibrarian", False)], True),
    ],
)
def test_a_stack_is_user_code_if_its_innermost_protected_frame_calls_user_code(
    stack: list[tuple[str, bool]], is_user_code: bool
) -> None:
    interrupts.protect("protocols")
    assert user_code_runs_in(stack) is is_user_code


def test_ctrl_c_in_user_code_is_raised_there() -> None:
    seen: list[str] = []

    def callback() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            seen.append("inside")
            raise

    with EventLoop() as loop:
        loop.deferred_invoke(callback)
        with pytest.raises(KeyboardInterrupt):
            loop.exec()
    assert seen == ["inside"]


def test_ctrl_c_in_loop_code_waits_for_the_callback_to_end() -> None:
    seen: list[str] = []
    with EventLoop() as loop:
        # raise_signal is a C function: no Python frame of user code is on the stack, so it counts as loop
        # code.
        loop.deferred_invoke(ctrl_c)
        loop.deferred_invoke(lambda: seen.append("next"))
        with pytest.raises(KeyboardInterrupt):
            loop.exec()
        assert seen == []
        loop.pump(POLL)
        assert seen == ["next"], "nothing was lost"


def test_ctrl_c_between_turns_is_raised_at_once() -> None:
    with EventLoop(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_is_raised_in_callbacks_of_timers_promises_and_conditions() -> None:
    def raises_here() -> bool:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return True

    with EventLoop() as loop:
        timer = Timer.create_single_shot(0, raises_here)
        timer.start()
        assert loop.spin_until(lambda: not timer.is_active, timeout=30)
        assert loop.spin_until(raises_here)
        Promise.resolved(1).when_resolved(lambda value: raises_here()).map(lambda value: raises_here())


def test_a_pending_ctrl_c_is_raised_before_the_next_sleep() -> None:
    with EventLoop() as loop:
        interrupts.pending = True
        with pytest.raises(KeyboardInterrupt):
            loop.pump()
        interrupts.pending = True
        one, other = LocalSocket.pair()
        with pytest.raises(KeyboardInterrupt):
            one.wait_readable(None)
        one.close()
        other.close()


def test_other_threads_never_raise_a_pending_ctrl_c() -> None:
    with EventLoop() as loop:
        interrupts.pending = True
        seen: list[str] = []

        def elsewhere() -> None:
            with EventLoop() as own:
                own.deferred_invoke(lambda: seen.append("ran"))
                own.pump()

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert seen == ["ran"]
        with pytest.raises(KeyboardInterrupt):
            loop.pump()


def test_closing_raises_a_pending_ctrl_c() -> None:
    loop = EventLoop()
    interrupts.pending = True
    with pytest.raises(KeyboardInterrupt):
        loop.close()


def test_a_handler_of_the_programs_own_stays() -> None:
    seen: list[int] = []

    def own(signo: int, frame: FrameType | None) -> None:
        seen.append(signo)

    signal.signal(signal.SIGINT, own)
    with EventLoop() as loop:
        loop.deferred_invoke(ctrl_c)
        loop.pump()
        assert seen == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is own
    signal.signal(signal.SIGINT, signal.default_int_handler)


SLEEPERS = {
    "exec": "loop.exec()",
    "pump": "loop.pump()",
    "nested": "loop.deferred_invoke(lambda: EventLoop().exec()); loop.exec()",
    "await": "Promise().await_()",
    "wait": "one.wait_readable(None)",
    "timer": "t = Timer.create_repeating(1, lambda: None); t.start(); loop.exec()",
    "busy": "f = lambda: loop.deferred_invoke(f); f(); loop.exec()",
}


@pytest.mark.parametrize(
    "sleeper",
    [
        sleeper if sleeper in ("exec", "await") else pytest.param(sleeper, marks=pytest.mark.slow)
        for sleeper in SLEEPERS
    ],
)
def test_ctrl_c_ends_a_sleep(sleeper: str) -> None:
    """The signal may come just before the sleep, at its beginning or within it."""
    source = (
        "from corelib import *\n"
        "loop = EventLoop()\n"
        "one, other = LocalSocket.pair()\n"
        "try:\n"
        "    print('up', flush=True)\n"
        f"    {SLEEPERS[sleeper]}\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "loop.pump(WaitMode.POLL_FOR_EVENTS)\n"
        "loop.close()\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "interrupted\n"
    assert process.returncode == 0


BARRAGE = """
import itertools, os, random, signal, threading
from functools import partial
from corelib import *

loop = EventLoop()
one, other = LocalSocket.pair()
other.send(b"x")
go = threading.Semaphore(0)
aimed = False
ran, notified, interrupts = [], [0], 0
numbers = itertools.count()
posted = 0

def aim():
    rng = random.Random(1)
    for _ in range(300):
        go.acquire()
        for _ in range(rng.randrange(3000)):
            pass
        os.kill(os.getpid(), signal.SIGINT)

def notify():
    global posted
    posted = next(numbers)
    loop.deferred_invoke(partial(ran.append, posted))

def tick():
    global aimed
    if not sender.is_alive():
        loop.quit()
    elif not aimed:
        aimed = True
        go.release()

Notifier(one, Notifier.Type.READ, notify)
timer = Timer.create_repeating(0, tick)
timer.start()
sender = threading.Thread(target=aim)
sender.start()
while sender.is_alive() or aimed:
    try:
        loop.exec()
    except KeyboardInterrupt:
        # The next one is aimed only when a turn has begun again.
        interrupts += 1
        aimed = False
loop.exec()
assert interrupts == 300, interrupts
assert timer.is_active and not loop.in_turn
assert ran == sorted(set(ran)), "each once and in order"
assert posted + 1 - len(ran) <= interrupts + 1, (posted, len(ran))
print("fine")
"""


@pytest.mark.slow
def test_a_barrage_of_ctrl_c_loses_and_repeats_no_callback() -> None:
    """Ctrl-C comes three hundred times at any moment of a busy loop.

    Each is raised once, only interrupted callbacks are lost, none is repeated, and the loop goes on."""
    done = subprocess.run([sys.executable, "-c", BARRAGE], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("fine\n", "")
