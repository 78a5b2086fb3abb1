"""Owns the test of a turn's length: how many Python functions the hot path passes.
Must not know what the callbacks do.
"""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from corelib import EventLoop, LocalSocket, Notifier, WaitMode
from corelib.turn import current_thread_loop, processors


@pytest.mark.parametrize("budget_ns", [0, 50_000])
def test_a_turn_with_a_ready_fd_passes_three_functions_besides_the_callback(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch, budget_ns: int
) -> None:
    monkeypatch.setattr(processors, "usable", lambda: 2)
    passed: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            passed.append(frame.f_code.co_name)

    def on_readable() -> None:
        ours.receive()

    with EventLoop(busy_poll_us=100):
        thread = current_thread_loop()
        thread.busy_polling.budget_ns = budget_ns
        ours, theirs = LocalSocket.pair()
        notifier = Notifier(ours, Notifier.Type.READ, on_readable, reentrant=True)
        theirs.send(b"x")
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            thread.turn(WaitMode.WAIT_FOR_EVENTS)
        finally:
            sys.setprofile(before)
        notifier.close()
    waited = ["poll_busily"] if budget_ns else ["sleep", "learn"]
    assert passed == ["turn", *waited, "_activate", "on_readable", "receive"]
