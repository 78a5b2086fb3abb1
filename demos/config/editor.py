"""Owns an app of the tour: an editor that reads and changes its settings, and tries to read another app's.
Must not know the service, only its client. Run as `python -m demos.config.editor SOCKET_PATH`."""

from __future__ import annotations

import sys

from corelib import EventLoop
from demos.config.client import Config
from ipclib import RemoteError

_PAUSE_S = 0.2
"""Seconds before each line, so that a reader can see which process answers which."""


def main(socket_path: str) -> None:
    loop = EventLoop()
    config = Config.connect(socket_path, patience=5.0)

    def say(text: str) -> None:
        loop.spin_until(lambda: False, timeout=_PAUSE_S)
        print(text, flush=True)

    config.pledge_domains(["Editor"])
    say("I pledged to touch only the domain Editor")
    width = config.read_i32("Editor", "Window", "Width", fallback=640)
    say(f"my window's width is not set, so {width}; I set it to 800")
    config.write_i32("Editor", "Window", "Width", 800)
    say(f"it is {config.read_i32('Editor', 'Window', 'Width')}; I show line numbers")
    config.write_bool("Editor", "View", "LineNumbers", True)
    say("I use another font")
    config.write_string("Editor", "View", "Font", "Katica 10")
    say("I remember a file, though its name has two lines")
    config.write_string("Editor", "Recent", "File", "notes\nof today.txt")
    say("I forget the font again")
    config.remove_key("Editor", "View", "Font")
    say("I try to read the domain Passwords")
    try:
        config.read_string("Passwords", "Bank", "Pin")
    except RemoteError as refusal:
        say(f"refused: {refusal.text}")
    say("done")


if __name__ == "__main__":
    main(sys.argv[1])
