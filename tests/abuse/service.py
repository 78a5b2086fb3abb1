"""Owns the service under attack, `python -m tests.abuse.service SOCKET OPTIONS`.
Must not know the attacks. OPTIONS is JSON: fields of Limits, with `rate` as fields of one Rate; `descriptors`
for RLIMIT_NOFILE; `uid` for the user that the service becomes; `anyone` to open the socket to other users,
whom the service itself must refuse then."""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

import ipcc
from corelib import EventLoop, Promise, Timer, sleep_ms
from ipclib import File, HandlerError, Limits, MultiServer, Rate, Wait

INTERFACE = Path(__file__).parent / "Abuse.ipc"
LARGEST_FETCH = 32 << 20
LONGEST_WAIT_MS = 10_000
MOST_POSTS = 4096
LARGEST_POST = 64 << 10


def load() -> Any:
    """Compile Abuse.ipc and return its module."""
    return ipcc.load(INTERFACE)


class Handlers:
    """The handlers of AbuseServer, except not_handled and those that echo their value."""

    async_post: Any
    """Posts to the client; the connection class brings it."""
    ask: Any
    """Calls the client; the connection class brings it."""
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

    async def fetch_later(self, ms: int, size: int) -> bytes:
        await sleep_ms(min(ms, LONGEST_WAIT_MS))
        return self.fetch(size)

    def give_file(self) -> File:
        return File(os.memfd_create("given", os.MFD_CLOEXEC))

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

    def ask_back_blocking(self, value: int) -> int:
        answer: int = self.ask(value, timeout=1.0, wait=Wait.BLOCK)
        return answer


def _echo(_self: Handlers, value: Any) -> Any:
    return value


def connection_class() -> Any:
    """Return a ConnectionFromClient that serves every message of AbuseServer except not_handled."""
    abuse = load()
    echoes = {name: _echo for name in vars(abuse.AbuseServerStub) if name.startswith("echo_")}
    return type("Abused", (Handlers, abuse.ConnectionFromClient), echoes)


def limits(options: dict[str, Any]) -> Limits:
    """Return the limits among the options."""
    fields = {name: value for name, value in options.items() if name not in ("descriptors", "uid", "anyone")}
    if "rate" in fields:
        fields["rate"] = Rate(**fields["rate"])
    return Limits(**fields)


def main() -> int:
    path, options = sys.argv[1], json.loads(sys.argv[2])
    # forget_files tests that a dropped File is closed by its last reference, which warns.
    warnings.simplefilter("ignore", ResourceWarning)
    with EventLoop() as loop:
        server = MultiServer(connection_class(), path, limits=limits(options))
        if options.get("anyone"):
            os.chmod(path, 0o666)
        if "uid" in options:
            os.setgroups([])
            os.setgid(options["uid"])
            os.setuid(options["uid"])
        print("ready", flush=True)
        if "descriptors" in options:
            resource.setrlimit(resource.RLIMIT_NOFILE, (options["descriptors"],) * 2)
        code = loop.exec()
        server.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
