"""The service that is abused, in a process of its own: `python -m tests.abuse.service SOCKET OPTIONS`.

OPTIONS is JSON: fields of Limits, with `rate` as fields of one Rate; `descriptors` for RLIMIT_NOFILE;
`anyone` to leave the socket open to other users, whom the service itself then has to refuse.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

import ipcc
from corelib import EventLoop, Promise, Timer
from ipclib import File, HandlerError, Limits, MultiServer, Rate

INTERFACE = Path(__file__).parent / "Abuse.ipc"
LARGEST_FETCH = 32 << 20
LONGEST_WAIT_MS = 10_000
MOST_POSTS = 4096
LARGEST_POST = 64 << 10


def load() -> Any:
    """Abuse.ipc, compiled."""
    return ipcc.load(INTERFACE)


def handlers(abuse: Any) -> Any:
    """A ConnectionFromClient that serves every message of AbuseServer but not_handled."""

    class Abused(abuse.ConnectionFromClient):  # type: ignore[misc]
        count = 0

        def echo(self, text: str) -> str:
            return text

        def take_files(self, files: list[File]) -> int:
            for file in files:
                file.close()
            return len(files)

        def copy_file(self, file: File, other: File | None) -> File:
            if other is not None:
                other.close()
            with file:
                try:
                    content = os.pread(file.fileno(), 4096, 0)
                except OSError as error:
                    raise HandlerError(error.strerror or "unreadable") from error
            copy = File(os.memfd_create("copy", os.MFD_CLOEXEC))
            os.write(copy.fileno(), content)
            return copy

        def forget_files(self, files: list[File]) -> None:
            pass

        def fetch(self, size: int) -> bytes:
            if size > LARGEST_FETCH:
                raise HandlerError("too much")
            return b"\xa5" * size

        def later(self, ms: int) -> Promise[int]:
            promise: Promise[int] = Promise()
            timer = Timer.create_single_shot(min(ms, LONGEST_WAIT_MS), lambda: promise.resolve(ms))
            promise.on_cancel = timer.stop
            timer.start()
            return promise

        def fail(self, on_purpose: bool) -> None:
            raise HandlerError("as asked") if on_purpose else ZeroDivisionError("not for the peer's eyes")

        def tell(self, text: str) -> None:
            self.count += 1

        def told(self) -> int:
            return self.count

        def subscribe(self, count: int, size: int) -> None:
            data = b"\xa5" * min(size, LARGEST_POST)
            for number in range(min(count, MOST_POSTS)):
                self.async_post(number, data)

        def ask_back(self, value: int) -> int:
            answer: int = self.ask(value, timeout=1.0)
            return answer

    def echo(_self: Abused, value: Any) -> Any:
        return value

    for message in abuse.AbuseServer._messages:
        handler = getattr(message, "_handler", "")
        if handler.startswith("echo_"):
            setattr(Abused, handler, echo)
    return Abused


def limits(options: dict[str, Any]) -> Limits:
    """Those among the options."""
    fields = {name: value for name, value in options.items() if name not in ("descriptors", "anyone")}
    if "rate" in fields:
        fields["rate"] = Rate(**fields["rate"])
    return Limits(**fields)


def main() -> int:
    path, options = sys.argv[1], json.loads(sys.argv[2])
    # A File that is forgotten is closed by its last reference, which is what is tried here.
    warnings.simplefilter("ignore", ResourceWarning)
    with EventLoop() as loop:
        server = MultiServer(handlers(load()), path, limits=limits(options))
        if options.get("anyone"):
            os.chmod(path, 0o666)
        print("ready", flush=True)
        if "descriptors" in options:
            resource.setrlimit(resource.RLIMIT_NOFILE, (options["descriptors"],) * 2)
        code = loop.exec()
        server.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
