"""The app: has files decoded by a worker, and starts another where one of them was its end.

Knows files and what became of them; what a worker may do is the worker's own business.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import zlib

from corelib import EventLoop
from demos.decoder.decoder_ipc import ConnectionToServer
from demos.decoder.pictures import box, encoded
from ipclib import AnonymousBuffer, PeerDisconnected, RemoteError
from ipclib.gfx import ShareableBitmap

_WORKER = (sys.executable, "-m", "demos.decoder.worker")


class Pictures:
    """Decodes files in a worker, which is started when it is needed."""

    def __init__(self) -> None:
        self.workers = 0
        self._worker: ConnectionToServer | None = None

    def decode(self, file: bytes) -> ShareableBitmap | None:
        """The picture of a file, None if it is none. RemoteError when the worker refuses it, PeerDisconnected
        when that was the worker's end; the next file gets another."""
        with AnonymousBuffer.create(len(file)) as buffer:
            buffer.data[:] = file
            return self._running().decode(buffer)

    def worker_s_end(self) -> str:
        """What ended the worker of the last file."""
        assert self._worker is not None, "there was a file"
        assert self._worker.server is not None, "and a worker for it"
        code = self._worker.server.exited.await_()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.shutdown()

    def _running(self) -> ConnectionToServer:
        if self._worker is None or not self._worker.is_open:
            # Of our environment it gets where Python finds the modules, and no more.
            environment = {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}
            self._worker = ConnectionToServer.spawn(_WORKER, env=environment)
            self.workers += 1
        return self._worker


def _files() -> dict[str, bytes]:
    good = encoded((64, 48, bytes(x + y for y in range(48) for x in range(64))))
    too_much = zlib.compress(bytes(1 << 28))
    return {
        "a picture": good,
        "a text": b"I am no picture at all",
        "a bomb": box(b"size", bytes(4)) + box(b"grey", too_much),
        "an endless one": b"\0" * 8 + good,
        "the picture again": good,
    }


def _outcome(pictures: Pictures, file: bytes) -> str:
    try:
        bitmap = pictures.decode(file)
    except RemoteError as error:
        return f"refused: {error.text}"
    except PeerDisconnected:
        return f"it was the worker's end ({pictures.worker_s_end()})"
    if bitmap is None:
        return "no picture"
    with bitmap:
        pixels = bitmap.pixels
        return f"{bitmap.width} x {bitmap.height} pixels, grey from {pixels[0]} to {pixels[-4]}"


def main() -> int:
    logging.basicConfig(level=logging.ERROR)  # A worker's end is told below.
    with EventLoop():
        pictures = Pictures()
        for name, file in _files().items():
            outcome = _outcome(pictures, file)
            print(f"worker {pictures.workers}, {name} of {len(file)} bytes: {outcome}", flush=True)
        pictures.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
