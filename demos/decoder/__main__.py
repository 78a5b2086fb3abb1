"""Owns the app, which lets a worker decode files and starts another after a file has ended one.
Must not know how pictures are decoded, nor the limits of a worker."""

from __future__ import annotations

import logging
import os
import signal
import sys
import zlib

from corelib import EventLoop, Process
from demos.decoder.decoder_ipc import ConnectionToServer
from demos.decoder.pictures import box, encoded
from ipclib import AnonymousBuffer, PeerDisconnected, RemoteError
from ipclib.gfx import ShareableBitmap

_WORKER = (sys.executable, "-m", "demos.decoder.worker")


class Pictures:
    """Decodes files in a worker, which is started on demand."""

    def __init__(self) -> None:
        self.workers = 0
        """The number of workers started so far."""
        self._worker: ConnectionToServer | None = None

    def decode(self, file: bytes) -> ShareableBitmap | None:
        """Return the picture in a file, or None if it is not a picture.

        Raises:
            RemoteError: the worker refuses the file.
            PeerDisconnected: the file ended the worker; the next file gets another.
        """
        with AnonymousBuffer.create(len(file)) as buffer:
            buffer.data[:] = file
            return self._running().decode(buffer)

    @property
    def worker(self) -> Process:
        """The process of the last file's worker."""
        assert self._worker is not None, "there was a file"
        assert self._worker.server is not None, "and a worker for it"
        return self._worker.server

    def worker_s_end(self) -> str:
        """Wait for the last file's worker to end; return its signal or exit code."""
        code = self.worker.exited.await_()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.shutdown()

    def _running(self) -> ConnectionToServer:
        if self._worker is None or not self._worker.is_open:
            # The worker gets nothing of our environment but the path to the modules.
            environment = {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}
            self._worker = ConnectionToServer.spawn(_WORKER, env=environment)
            self.workers += 1
        return self._worker


def _files() -> dict[str, bytes]:
    good = encoded((64, 48, bytes(x + y for y in range(48) for x in range(64))))
    too_much = zlib.compress(bytes(1 << 28))
    return {
        "a picture": good,
        "a text": b"this is not a picture",
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
        return f"the worker ended ({pictures.worker_s_end()})"
    if bitmap is None:
        return "not a picture"
    with bitmap:
        pixels = bitmap.pixels
        return f"{bitmap.width} x {bitmap.height} pixels, grey from {pixels[0]} to {pixels[-4]}"


def main() -> int:
    logging.basicConfig(level=logging.ERROR)  # A worker's end is printed below.
    with EventLoop():
        pictures = Pictures()
        for name, file in _files().items():
            outcome = _outcome(pictures, file)
            print(f"worker {pictures.workers}, {name} of {len(file)} bytes: {outcome}", flush=True)
        pictures.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
