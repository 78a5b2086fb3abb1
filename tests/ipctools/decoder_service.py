"""Owns the decoder of the demos as a service at a socket path, `python decoder_service.py SOCKET`.
Must not know the tools.
"""

from __future__ import annotations

import sys

from corelib import EventLoop
from demos.decoder.worker import Decoder
from ipclib import MultiServer


def main() -> int:
    with EventLoop() as loop:
        server = MultiServer(Decoder, sys.argv[1])
        print("ready", flush=True)
        code = loop.exec()
        server.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
