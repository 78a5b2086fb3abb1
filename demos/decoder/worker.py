"""Owns the worker, which drops the rights that it does not need and then decodes its one client's files.
Must not know the client: it is the other end of a socket."""

from __future__ import annotations

import resource
import sys

from corelib import EventLoop
from demos.decoder.decoder_ipc import ConnectionFromClient
from demos.decoder.pictures import decoded
from ipclib import AnonymousBuffer, HandlerError, take_over_accepted_client
from ipclib.gfx import ShareableBitmap

_MIB = 1024 * 1024
MEMORY = 192 * _MIB
"""Bytes of address space."""
_LARGEST_BITMAP = 16 * _MIB
_CPU_SECONDS = 2
DESCRIPTORS = 16
_OPAQUE = 255


class Decoder(ConnectionFromClient):
    """Serves the app that started this process."""

    def decode(self, file: AnonymousBuffer) -> ShareableBitmap | None:
        try:
            with file:
                picture = decoded(bytes(file.data))
            return None if picture is None else _bitmap(*picture)
        except (MemoryError, OSError):
            raise HandlerError("the picture takes more memory than a decoder may use") from None


def _bitmap(width: int, height: int, grey: bytes) -> ShareableBitmap:
    bitmap = ShareableBitmap.create(width, height)
    pixels = bitmap.pixels
    for channel in range(3):
        pixels[channel::4] = grey
    pixels[3::4] = bytes([_OPAQUE]) * len(grey)
    return bitmap


def drop_rights() -> None:
    """Limit what a decoder can do after its input took it over; no process can raise these limits again."""
    bounds = {
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: _LARGEST_BITMAP,  # For files, and for the shared memory that it makes.
        resource.RLIMIT_NOFILE: DESCRIPTORS,
        resource.RLIMIT_NPROC: 0,  # No new processes or threads; root is exempt.
    }
    for bound, value in bounds.items():
        resource.setrlimit(bound, (value, value))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = int(usage.ru_utime + usage.ru_stime) + _CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))  # SIGXCPU, which names the cause; then SIGKILL.


def main() -> int:
    with EventLoop() as loop:
        take_over_accepted_client(Decoder)
        drop_rights()
        return loop.exec()


if __name__ == "__main__":
    sys.exit(main())
