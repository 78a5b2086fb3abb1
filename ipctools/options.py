"""Owns the options that the commands share: the socket, the interface, the timeout, answers, and the output.
Must not know what a command does with a service.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from ipctools.attachments import Outputs
from ipctools.interface import Interface
from ipctools.service import Opening

DEFAULT_TIMEOUT = 30.0
"""Seconds for each answer."""


def add_socket(parser: ArgumentParser) -> None:
    """Add the socket of the service, and whatever says how to speak with it."""
    parser.add_argument(
        "socket", metavar="SOCKET", help="the path of the service's socket; %%sid stands for the session"
    )
    parser.add_argument(
        "--ipc",
        action="append",
        default=[],
        metavar="FILE",
        help="an interface file, in place of the interface that the service describes",
    )
    parser.add_argument(
        "-I",
        dest="include",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder to look for includes in",
    )
    parser.add_argument(
        "--types",
        action="append",
        default=[],
        metavar="FILE.py",
        help="a Python file whose registered types the interface files may use",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long to wait for each answer (default: 30; inf: without end)",
    )
    parser.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="'MESSAGE NAME=VALUE...'",
        help="how to answer a request that the service makes",
    )
    parser.add_argument(
        "--save", metavar="DIR", help="a folder for the contents of files, buffers and bitmaps that come"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def opening(options: Namespace) -> Opening:
    """What the options say about the service.

    Raises:
        CompileError: an interface file is wrong.
        Failure: the interface cannot be used.
    """
    interface = Interface.of_files(options.ipc, options.include, options.types) if options.ipc else None
    return Opening(options.socket, interface, options.timeout, options.answer, Outputs(options.save))


def seconds(text: str) -> float:
    """The number of seconds in an argument, for argparse.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number > 0:
        raise ArgumentTypeError(f"'{text}' is no number of seconds above 0")
    return number
