"""Owns the command `ipcc fake`: a service at a path that answers as it is told or at random, with faults.
Must not know how values are made up, or how faults are carried out.
"""

from __future__ import annotations

import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

from corelib import CorelibError, EventLoop, UsageError
from ipcc.model import Message, Pair
from ipcc.terminal import print_text
from ipclib import ConnectionFromClient, MultiServer
from ipclib.protocol.message import Message as MessageObject
from ipclib.testing import FAULTS, FakePeer, Fault, WithFaults
from ipctools.attachments import Inputs, Outputs
from ipctools.call import shown_incoming
from ipctools.failures import nearest, wrong
from ipctools.interface import Interface
from ipctools.misfit import Misfit
from ipctools.service import Incoming
from ipctools.words import Call, answer_in, split

_EPILOG = f"""\
Requests without an --answer are answered with random values of the right types. A line is printed for each
message that comes. A fault is written NAME [message=MESSAGE] [nth=NUMBER] [to=client|service]
[amount=NUMBER]; docs/testing.md says what each does: {", ".join(FAULTS)}."""
_PARAMETERS = ("message", "nth", "to", "amount")


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command to argparse."""
    parser.description = "Serve an interface without a program: a fake service for tests of its clients."
    parser.epilog = _EPILOG
    parser.add_argument("files", nargs="+", metavar="FILE", help="the interface files")
    parser.add_argument("--socket", required=True, metavar="PATH", help="where to serve; %%sid: the session")
    parser.add_argument("-I", dest="include", action="append", default=[], metavar="DIR", help="for includes")
    parser.add_argument("--types", action="append", default=[], metavar="FILE.py", help="registered types")
    parser.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="'MESSAGE NAME=VALUE...'",
        help="how to answer a request, by the names of its outputs",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="'NAME [message=MESSAGE]...'",
        help="a fault; see below",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random values (default: 0)")
    parser.add_argument("--json", action="store_true", help="print each message as JSON")


def run(options: Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    interface = Interface.of_files(options.files, options.include, options.types)
    answers = [_answer(text, interface) for text in options.answer]
    pair = interface.pair_of([call.message for call in answers])
    faults = [_fault(text, pair) for text in options.fault]
    kind: type[ConnectionFromClient] = getattr(interface.module, pair.from_client)
    given = {
        call.message.qualified_name: _again(text, interface)
        for call, text in zip(answers, options.answer, strict=True)
    }
    fake = FakePeer(kind, given, seed=options.seed)
    with EventLoop() as loop:
        loop.register_signal(signal.SIGTERM, lambda: loop.quit())
        try:
            server = MultiServer(WithFaults(fake, *faults), options.socket)
        except (CorelibError, OSError) as error:
            raise wrong(f"cannot serve at {options.socket}: {error}") from error
        try:
            print_text(f"serving at {options.socket}\n")
            while not loop.was_exit_requested():
                loop.pump()
                _print_received(fake, interface, pair, as_json=options.json)
        finally:
            server.close()
    return 0


def _answer(text: str, interface: Interface) -> Call:
    """An answer, checked: its files are opened and closed again."""
    inputs = Inputs()
    try:
        return answer_in(text, interface, inputs, of_client=False)
    finally:
        inputs.close()


def _again(text: str, interface: Interface) -> Callable[..., object]:
    """A function that makes the answer anew for each request, because a File can be sent once."""

    def answer(*_values: object) -> object:
        call = answer_in(text, interface, Inputs(), of_client=False)
        return call.values[0] if len(call.values) == 1 else call.values or None

    return answer


def _fault(text: str, pair: Pair) -> Fault:
    """A fault in words.

    Raises:
        Failure: there is no such fault, message or number.
    """
    name, *words = split(text) or [""]
    given: dict[str, Any] = {}
    for word in words:
        key, mark, value = word.partition("=")
        if not mark or key not in _PARAMETERS:
            raise wrong(f"--fault {name}: there is no '{key}': {nearest(key, _PARAMETERS)}")
        given[key] = _number(name, key, value) if key in ("nth", "amount") else value
    _check_message(given.get("message"), pair)
    try:
        return Fault(name, **given)
    except UsageError as error:
        raise wrong(f"--fault: {error}") from error


def _number(name: str, key: str, value: str) -> float | int:
    try:
        return int(value) if key == "nth" or value.isdigit() else float(value)
    except ValueError:
        raise wrong(f"--fault {name}: {key}='{value}' is no number") from None


def _check_message(name: str | None, pair: Pair) -> None:
    messages = [
        message for endpoint in (pair.server, pair.client) if endpoint for message in endpoint.messages
    ]
    if name is not None and all(name not in (one.name, one.qualified_name) for one in messages):
        raise wrong(f"--fault: there is no message '{name}': {nearest(name, [one.name for one in messages])}")


def _print_received(
    fake: FakePeer[ConnectionFromClient], interface: Interface, pair: Pair, *, as_json: bool
) -> None:
    if not fake.received:
        return
    messages = {message.qualified_name: message for message in pair.server.messages} if pair.server else {}
    for received in fake.received:
        message = messages[received.__ipc__.name]
        values = _shown(received, message, interface)
        print_text(shown_incoming(Incoming(message, values), as_json=as_json))
    fake.clear()


def _shown(received: MessageObject, message: Message, interface: Interface) -> dict[str, Any]:
    outputs = Outputs()
    shown: dict[str, Any] = {}
    for each in message.inputs.parameters:
        try:
            shown[each.name] = interface.values.show(
                each.type, getattr(received, each.python), outputs, each.name
            )
        except (Misfit, ValueError) as error:  # A File that an answer has taken cannot be shown.
            shown[each.name] = f"({error})"
    return shown
