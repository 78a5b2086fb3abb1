"""A service that was started for one connection alone: each ends with the other.

Owns its process. Knows nothing of messages.
"""

from __future__ import annotations

import logging
import signal

from corelib import Process, Timer

logger = logging.getLogger("ipclib")


class Worker:
    """The process at the other end of a connection that spawn() made."""

    __slots__ = ("_end_of_grace", "_name", "process")

    def __init__(self, process: Process, grace: float | None, name: str) -> None:
        """One that still runs `grace` seconds after let_go() is killed; None: never."""
        self.process = process
        self._name = name
        self._end_of_grace = None if grace is None else Timer.create_single_shot(grace * 1000, self._kill)
        process.exited.when_resolved(self._on_exit)

    def let_go(self) -> None:
        """The connection has ended. The worker was told by the end of the stream; see that it heeds that."""
        if self._end_of_grace is not None and self.process.is_running:
            self._end_of_grace.start()

    def _on_exit(self, code: int) -> None:
        if self._end_of_grace is not None:
            self._end_of_grace.stop()
        if code:
            logger.warning("%s: the worker %s", self._name, _described(code))

    def _kill(self) -> None:
        if self.process.kill():
            logger.warning("%s: killed the worker, which outlived its grace", self._name)


def _described(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
