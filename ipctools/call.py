"""Owns the command `ipcc call`: calls of messages on one connection, and --watch.
Must not know how a service is reached, or how values are written.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from corelib import EventLoop, WaitMode
from ipcc.terminal import json_text, print_text
from ipctools.display import shown_values
from ipctools.failures import wrong
from ipctools.options import add_socket, opening
from ipctools.service import Incoming, Service
from ipctools.words import calls_in

_EPILOG = """\
A VALUE is JSON or a plain word: count=3, name=Oslo, on=true, kind=CITY, point='{"x": 1, "y": 2}'. Bytes may
be @PATH, the content of a file, and a File is @PATH. Several messages are called one after the other.
docs/debugging.md has the whole grammar and the exit codes."""


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command to argparse."""
    parser.description = "Call messages of a running service, and print their results."
    parser.epilog = _EPILOG
    add_socket(parser)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[ENDPOINT.]MESSAGE [NAME=VALUE...]",
        help="a message and its arguments, all of which are checked before anything is sent",
    )
    parser.add_argument(
        "--watch", action="store_true", help="afterwards print what the service sends, until Ctrl-C"
    )


def run(options: Namespace) -> int:
    """Make the calls, and print the results of each."""
    if not options.words and not options.watch:
        raise wrong("no message: name one, or print what the service sends with --watch")
    with EventLoop():
        service = Service(
            opening(options), lambda interface, inputs: calls_in(options.words, interface, inputs)
        )
        try:
            for call in service.calls:
                print_text(shown_result(service.perform(call), as_json=options.json))
                print_incoming(service, shown=options.watch, as_json=options.json)
            if options.watch:
                watch(service, as_json=options.json)
        finally:
            service.close()
    return 0


def shown_result(values: dict[str, Any], *, as_json: bool) -> str:
    """The results of a call as they are printed."""
    if as_json:
        return json_text(values)
    return f"{shown_values(values)}\n" if values else ""


def print_incoming(service: Service, *, shown: bool, as_json: bool) -> None:
    """Print the messages that have come from the service, or drop them."""
    for incoming in service.incoming():
        if shown:
            print_text(shown_incoming(incoming, as_json=as_json))


def shown_incoming(incoming: Incoming, *, as_json: bool) -> str:
    """A message of the service in one line."""
    message = incoming.message
    if as_json:
        line = {"endpoint": message.endpoint, "message": message.name, "values": incoming.values}
        return f"{json.dumps(line)}\n"
    return f"{message.qualified_name} {shown_values(incoming.values, ' ', '=')}".rstrip() + "\n"


def watch(service: Service, *, as_json: bool) -> None:
    """Print what the service sends, without end.

    Raises:
        Failure: the service has ended.
    """
    while True:
        print_incoming(service, shown=True, as_json=as_json)
        service.check_open()
        service.pump(WaitMode.WAIT_FOR_EVENTS)
