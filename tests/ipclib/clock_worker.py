"""A worker that serves Clock.ipc to the one client it was started for: `python clock_worker.py INTERFACE`."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys

import clock_service

import ipcc
from corelib import EventLoop
from ipclib import HandlerError, take_over_accepted_client


def main() -> int:
    interface = ipcc.load(sys.argv[1])
    handlers = clock_service.handlers(interface)

    class Worker(handlers):  # type: ignore[misc, valid-type]
        def fail(self, text: str, on_purpose: bool) -> None:
            """Ends the process in the way that the text names."""
            if text == "exit":
                self.flush()
                os._exit(3)
            if text == "hang":
                signal.pause()
            if text == "leave a child":
                if os.fork():
                    os._exit(0)
                select.select([self._link._socket], [], [])  # Until the client has closed its end.
                os._exit(0)
            if text == "environment":
                raise HandlerError(str([name for name in os.environ if "SOCKET" in name or "LISTEN" in name]))
            faulthandler._sigsegv()  # type: ignore[attr-defined]

    with EventLoop() as loop:
        take_over_accepted_client(Worker)
        return loop.exec()


if __name__ == "__main__":
    sys.exit(main())
