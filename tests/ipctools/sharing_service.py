"""Owns a service whose two endpoints share a struct, and of which one message has a type with its own codec.
Must not know the tools.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ipcc
from corelib import EventLoop
from ipclib import MultiServer

HERE = Path(__file__).parent
TEXT = """
#include "own_types.py"
struct Point { i32 x; }
endpoint SharingServer { keep(Own::Thing thing) => () move(Point to) => (Point moved) }
endpoint SharingClient { moved(Point to) =| }
"""


def main() -> int:
    sys.path.insert(0, str(HERE))  # The module imports own_types.
    with TemporaryDirectory() as folder:
        (Path(folder) / "Sharing.ipc").write_text(TEXT)
        sharing = ipcc.load(Path(folder) / "Sharing.ipc", folders=[str(HERE)])

    def move(_connection: object, to: Any) -> Any:
        return sharing.Point(to.x * 2)

    kind = type("Sharing", (sharing.ConnectionFromClient,), {"move": move})
    with EventLoop() as loop:
        server = MultiServer(kind, sys.argv[1])
        print("ready", flush=True)
        code = loop.exec()
        server.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
