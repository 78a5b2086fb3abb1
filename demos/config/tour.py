"""Owns the tour: a service and two apps as real processes, with the name of its process before each line.
Must not know what the processes do, only how to start, follow and end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from corelib import EventLoop, Notifier

_CHECKOUT = Path(__file__).parents[2]
_TIMEOUT_S = 10.0
_NAME_WIDTH = len("watcher")


def run_tour() -> int:
    """Play the tour in a temporary folder; return 0 if the apps and the service ended well."""
    with tempfile.TemporaryDirectory(prefix="config-tour-") as folder, EventLoop():
        socket, directory = f"{folder}/config", Path(folder, "settings")
        try:
            code = max(_play(socket, directory))
        except TimeoutError as error:
            print(f"config: {error}", file=sys.stderr)
            return 1
        if code == 0:
            _show(f"\nEditor.ini, as it is on disk:\n\n{(directory / 'Editor.ini').read_text()}", end="")
        return code


def _play(socket: str, directory: Path) -> tuple[int, int]:
    serve = ("demos.config", "serve", "--socket", socket, "--directory", str(directory))
    watch = ("demos.config", "watch", "--socket", socket, "Editor")
    with _player("service", *serve) as service:
        service.wait_for_a_line()
        with _player("watcher", *watch) as watcher:
            watcher.wait_for_a_line()
            with _player("editor", "demos.config.editor", socket) as editor:
                editor.wait_for_the_end()
            service.ask_to_end()
            service.wait_for_the_end()
            # The watcher still shows what the service sent before it ended, and then ends by itself.
            watcher.wait_for_the_end()
    return editor.exit_code, service.exit_code


class _Player:
    """One process, whose output the event loop shows line by line."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "the output is a pipe"
        self._name = name
        self._process = process
        self._fd = process.stdout.fileno()
        self._notifier = Notifier(self._fd, Notifier.Type.READ, self._show)
        self._unfinished = b""
        self._has_spoken = False
        self._has_ended = False

    @property
    def exit_code(self) -> int:
        return abs(self._process.wait())

    def ask_to_end(self) -> None:
        self._process.terminate()

    def wait_for_a_line(self) -> None:
        """Show output until there is a line.

        Raises:
            TimeoutError: there was none for ten seconds.
        """
        if not EventLoop.current().spin_until(lambda: self._has_spoken or self._has_ended, _TIMEOUT_S):
            raise TimeoutError(f"the {self._name} printed nothing for {_TIMEOUT_S:g} s")

    def wait_for_the_end(self) -> None:
        """Show output until the process ends.

        Raises:
            TimeoutError: it did not end within ten seconds.
        """
        if not EventLoop.current().spin_until(lambda: self._has_ended, _TIMEOUT_S):
            raise TimeoutError(f"the {self._name} did not end within {_TIMEOUT_S:g} s")

    def close(self) -> None:
        self._notifier.close()

    def _show(self) -> None:
        received = os.read(self._fd, 65536)
        if not received:
            self._has_ended = True
            self._notifier.close()
        *lines, self._unfinished = (self._unfinished + received).split(b"\n")
        for line in lines:
            _show(f"{self._name:>{_NAME_WIDTH}} | {line.decode(errors='replace')}")
            self._has_spoken = True


def _show(text: str, end: str = "\n") -> None:
    """Print a text; end the tour, with its processes, if nobody reads it any more."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        # What is buffered would raise again at the end of the interpreter.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None


@contextmanager
def _player(name: str, module: str, *arguments: str) -> Iterator[_Player]:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=_CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process, closing(_Player(name, process)) as player:
        try:
            yield player
        finally:
            process.kill()  # Harmless if it has ended.
