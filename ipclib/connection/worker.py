"""Owns the process that was started for one connection alone. When one of them ends, so does the other.
Must not know messages.
"""

from __future__ import annotations

import logging
import signal

import attrs

from corelib import PeerCredentials, Process, Timer
from ipclib.connection.origin import Origin

logger = logging.getLogger("ipclib")

# Seconds; longer, up to math.inf, is never.
_LONGEST_GRACE = 1e9


class Worker(Origin):
    """The process at the other end of a connection that spawn() made."""

    __slots__ = ("_grace_timer", "_name", "_process")

    def __init__(self, process: Process, grace: float | None, name: str) -> None:
        """Own a process, and kill it if it still runs `grace` seconds after its link closed (None: never)."""
        self._process = process
        self._name = name
        self._grace_timer = (
            None
            if grace is None or grace > _LONGEST_GRACE
            else Timer.create_single_shot(grace * 1000, self._kill)
        )
        process.exited.when_resolved(self._on_exit)

    @property
    def process(self) -> Process:
        """The process of the worker."""
        return self._process

    def lost(self) -> bool:
        """Note that the worker has seen the end of the stream; kill it if it does not exit in time."""
        if self._grace_timer is not None and self._process.is_running:
            self._grace_timer.start()
        return True

    def peer(self, credentials: PeerCredentials) -> PeerCredentials:
        """The credentials with the worker's pid: SO_PEERCRED of a socket pair names us, who made it."""
        return attrs.evolve(credentials, pid=self._process.pid)

    def _on_exit(self, code: int) -> None:
        if self._grace_timer is not None:
            self._grace_timer.stop()
        if code:
            logger.warning("%s: the worker %s", self._name, _described(code))

    def _kill(self) -> None:
        if self._process.kill():
            logger.warning("%s: killed the worker, which did not exit in time (grace)", self._name)


def _described(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
