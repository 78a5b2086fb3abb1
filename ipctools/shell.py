"""Owns the command `ipcc shell`: a prompt for calls to one service.
Must not know how a service is reached, or how calls are written.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from corelib import EventLoop, WaitMode
from ipcc.diagnostics import CommandError
from ipcc.terminal import complain, print_text
from ipctools.attachments import Inputs
from ipctools.call import print_incoming, shown_result, watch
from ipctools.completion import completions
from ipctools.display import printable
from ipctools.options import add_socket, opening
from ipctools.service import Opening, Service
from ipctools.words import calls_in, split

try:
    import readline
except ImportError:  # Python can be built without it.
    readline = None  # type: ignore[assignment]

_COMMANDS = {
    "help": "list the messages, or explain one: help MESSAGE",
    "watch": "print what the service sends, until Ctrl-C",
    "exit": "leave, as Ctrl-D does",
}
_LONGEST_HISTORY = 1000
_INTERRUPTED = 130


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command to argparse."""
    parser.description = "Call messages of a running service at a prompt, with history and completion."
    parser.epilog = "At the prompt: [ENDPOINT.]MESSAGE [NAME=VALUE...] as for 'ipcc call'; help; watch; exit."
    add_socket(parser)


def run(options: Namespace) -> int:
    """Read lines and do what they say, until the input ends."""
    with EventLoop():
        shell = _Shell(opening(options), as_json=options.json)
        try:
            if sys.stdin is not None and sys.stdin.isatty():
                with _line_editing(shell):
                    shell.converse()
                return 0
            return shell.read_all()
        finally:
            shell.close()


class _Shell:
    def __init__(self, opening: Opening, *, as_json: bool) -> None:
        self._opening = opening
        self._as_json = as_json
        self._service = Service(opening)

    def converse(self) -> None:
        """Prompt for lines on a terminal."""
        names = ", ".join(endpoint.name for endpoint in self._service.interface.called)
        print_text(f"{names or 'no endpoint'} at {self._service.path}; 'help' lists the messages\n")
        while True:
            try:
                line = input("ipcc> ")
            except EOFError:
                print_text("\n")
                return
            except KeyboardInterrupt:
                print_text("\n")
                continue
            try:
                if line.strip() == "exit":
                    return
                self._do_reporting(line)
            except KeyboardInterrupt:
                print_text("\n")

    def read_all(self) -> int:
        """Do each line of the standard input; return the exit code of the last that failed."""
        code = 0
        for line in sys.stdin or ():
            if line.strip() == "exit":
                break
            code = self._do_reporting(line) or code
        return code

    def _do_reporting(self, line: str) -> int:
        try:
            self._do(line)
        except CommandError as error:
            complain(f"error: {error}")
            return error.code
        return 0

    def _do(self, line: str) -> None:
        words = split(line)
        match words:
            case []:
                self._service.pump(WaitMode.POLL_FOR_EVENTS)
            case ["help", *names]:
                print_text(self._help(names))
            case ["watch"]:
                self._reopen_if_closed()
                watch(self._service, as_json=self._as_json)
            case _:
                self._call(words)
        print_incoming(self._service, shown=True, as_json=self._as_json)

    def _call(self, words: list[str]) -> None:
        self._reopen_if_closed()
        inputs = Inputs()
        try:
            for call in calls_in(words, self._service.interface, inputs):
                print_text(shown_result(self._service.perform(call), as_json=self._as_json))
        finally:
            inputs.close()

    def _reopen_if_closed(self) -> None:
        self._service.pump(WaitMode.POLL_FOR_EVENTS)
        if not self._service.is_open:
            self._service.close()
            self._service = Service(self._opening)
            complain("the service had closed the connection: this is another one")

    def _help(self, names: list[str]) -> str:
        interface = self._service.interface
        if names:
            message = interface.message(names[0])
            return printable("".join(f"{line}\n" for line in (message.text, *message.documentation)))
        messages = [message for endpoint in interface.called for message in endpoint.messages]
        lines = [f"  {message.text}\n" for message in messages]
        width = max(map(len, _COMMANDS))
        lines += [f"{name.ljust(width)}  {text}\n" for name, text in _COMMANDS.items()]
        return printable("".join(lines))

    def offered(self, before: str, word: str) -> list[str]:
        """What Tab offers in place of a word."""
        return completions(self._service.interface, _COMMANDS, before, word)

    def close(self) -> None:
        """Close the connection."""
        self._service.close()


@contextmanager
def _line_editing(shell: _Shell) -> Iterator[None]:
    """Edit lines with readline: Tab completes, and the history is kept in a file of the user's."""
    if readline is None:
        yield
        return
    offered: list[str] = []

    def complete(word: str, number: int) -> str | None:
        if number == 0:
            offered[:] = shell.offered(readline.get_line_buffer()[: readline.get_begidx()], word)
        return offered[number] if number < len(offered) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" ")
    readline.set_auto_history(True)
    is_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
    path = _history_path()
    try:
        if os.path.exists(path):
            readline.read_history_file(path)
    except OSError as error:
        complain(f"the history cannot be read from {path}: {error.strerror}")
    try:
        yield
    finally:
        _keep_history(path)


def _history_path() -> str:
    folder = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(folder, "ipcc_history")


def _keep_history(path: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))  # Values may be private.
        readline.set_history_length(_LONGEST_HISTORY)
        readline.write_history_file(path)
    except OSError as error:
        complain(f"the history cannot be written to {path}: {error.strerror}")
