"""Owns a worker that serves Clock.ipc to its one client: `python -m tests.ipclib.clock_worker INTERFACE`.
Must not know what is tested.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys

import ipcc
from corelib import EventLoop
from ipclib import HandlerError, take_over_accepted_client
from tests.ipclib import clock_service


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
            if text.startswith("leave a child"):
                if os.fork():
                    os._exit(0)
                with open(text.removeprefix("leave a child until ")):  # Blocks until the test opens it too.
                    os._exit(0)
            if text == "environment":
                raise HandlerError(str([name for name in os.environ if "SOCKET" in name or "LISTEN" in name]))
            faulthandler._sigsegv()  # type: ignore[attr-defined]

    with EventLoop() as loop:
        take_over_accepted_client(Worker)
        return loop.exec()


if __name__ == "__main__":
    sys.exit(main())
