"""Owns the canary, `python -m tests.abuse.canary SOCKET`: an honest client that calls echo() every 50 ms.
Must not know of any attack. For each line of its input it waits for the answers that are still open, and
prints the figures of its calls since the previous line as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from corelib import EventLoop, Notifier, Timer
from tests.abuse.service import load

INTERVAL_MS = 50
LOST_AFTER = 20.0


class Canary:
    """The calls since the last report, and their outcomes."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._open: dict[int, float] = {}
        self._number = 0
        self._begin()
        self._timer = Timer.create_repeating(INTERVAL_MS, self._call)
        self._timer.start()

    def _begin(self) -> None:
        self._calls = self._lost = 0
        self._worst = 0.0

    def report(self, loop: EventLoop) -> dict[str, float]:
        """Return the figures of the calls since the previous report, and begin anew."""
        asked = time.monotonic()
        waited_for = set(self._open)
        loop.spin_until(lambda: not waited_for & self._open.keys(), LOST_AFTER)
        late = waited_for & self._open.keys()
        self._lost += len(late)
        self._worst = max([self._worst, *(asked - self._open.pop(number) for number in late)])
        figures = {"calls": self._calls, "lost": self._lost, "worst_ms": self._worst * 1000}
        self._begin()
        return figures

    def _call(self) -> None:
        self._number += 1
        self._calls += 1
        number, text = self._number, f"canary {self._number}"
        self._open[number] = time.monotonic()

        def answered(echoed: str) -> None:
            begun = self._open.pop(number, None)
            if begun is not None:
                self._worst = max(self._worst, time.monotonic() - begun)
            self._lost += echoed != text

        def failed(_error: BaseException) -> None:
            self._open.pop(number, None)
            self._lost += 1

        self._client.async_echo(text).when_resolved(answered).when_rejected(failed)


def main() -> int:
    with EventLoop() as loop:
        client = load().ConnectionToServer.connect(sys.argv[1], patience=10.0)
        canary = Canary(client)

        def on_input() -> None:
            if not os.read(0, 4096):
                loop.quit()
                return
            print(json.dumps(canary.report(loop)), flush=True)

        Notifier(0, Notifier.Type.READ, on_input)
        print("ready", flush=True)
        return loop.exec()


if __name__ == "__main__":
    sys.exit(main())
