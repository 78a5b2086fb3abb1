"""Owns the tests that `ipcc call` brings the values of each message of Gold.ipc to the service and back.
Must not know how values are written, beside a few examples.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ipcc.model import Message
from ipctools.attachments import Outputs
from ipctools.display import compact
from ipctools.interface import Interface
from tests.ipctools.running import command, environment, ipcc, running
from tests.wire.gold_service import shown_message
from tests.wire.golden_values import VECTORS, arguments, files_of, load

WIRE = Path(__file__).parent.parent / "wire"
INTERFACE_FILE = ("--ipc", str(WIRE / "Gold.ipc"), "--types", str(WIRE / "gold_types.py"))
GOLD = Interface.of_files([INTERFACE_FILE[1]], (), [INTERFACE_FILE[3]])
MESSAGES = {message.name: message for message in GOLD.called[0].messages}

BY_HAND = {
    "add": ["a=2", "b=40"],
    "read_buffer": ["buffer=@{folder}/content"],
    "make_buffer": ["data=abc"],
    "echo_buffer": ["buffer=abc"],
    "echo_bitmap": [
        'value={"width": 1, "height": 1, "scale": 1, "format": "RGBA8888", "pixels": {"base64": "AP8AAA=="}}'
    ],
    "read_file": ["file=@{folder}/content"],
    "make_file": ["data=abc"],
    "maybe_read_file": ["file=@{folder}/content"],
    "maybe_make_file": [],
    "concat_files": ["first=@{folder}/content", "separator=--", "second=@{folder}/content"],
    "no_arguments": [],
    "no_result": ["value=6"],
    "nothing": [],
    "log": ["id=1", "text=a line"],
    "poke": [],
    "start_notifications": ["count=2"],
    "get_log_count": [],
    "echo_float": ["value=nan"],
    "echo_duration": ["value=1.5s"],
    "echo_shade": ["value=Blue"],
    "echo_variant": ['value={"Vector<u8>": "x"}'],
}
"""The messages without echo, and some others: their arguments as a user writes them."""
RESULTS: dict[str, Any] = {
    "add": {"sum": 42},
    "read_buffer": {"data": "the content"},
    "make_buffer": {"buffer": "abc"},
    "echo_buffer": {"buffer": "abc"},
    "echo_bitmap": {
        "value": {"width": 1, "height": 1, "scale": 1, "format": "RGBA8888", "pixels": {"base64": "AP8AAA=="}}
    },
    "read_file": {"data": "the content"},
    "make_file": {"file": {"file": "regular file", "size": 3}},
    "maybe_read_file": {"data": "the content"},
    "maybe_make_file": {"file": None},
    "concat_files": {"data": "the content--the content"},
    "no_arguments": {"answer": 42},
    "no_result": {},
    "nothing": {},
    "log": {},
    "poke": {},
    "start_notifications": {},
    "get_log_count": {"count": 1},
    "echo_float": {"value": "nan"},
    "echo_duration": {"value": "1.5s"},
    "echo_shade": {"value": "Blue"},
    "echo_variant": {"value": {"Vector<u8>": "x"}},
}
ASKED = {
    "no_result": '{"endpoint": "GoldClient", "message": "ask_client", "values": {"question": 6}}',
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    folder = tmp_path_factory.mktemp("gold")
    (folder / "content").write_bytes(b"the content")
    with running([WIRE / "gold_service.py", folder / "gold"]) as process:
        yield folder / "gold", process


def _documents(text: str) -> list[Any]:
    """The JSON documents that stand one after the other in a text."""
    decoder = json.JSONDecoder()
    found = []
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


@cache
def _module() -> Any:
    return load()


def _golden(message: Message) -> Iterator[tuple[list[str], dict[str, Any], str]]:
    """The arguments of each golden request of an echo, its results, and what its handler gets."""
    module = _module()
    for vector in VECTORS:
        if (vector["endpoint"], vector["idl_name"], vector["kind"]) == (
            "GoldServer",
            message.name,
            "request",
        ):
            files = files_of(vector)
            values = arguments(vector, files, module)
            got = shown_message(message.name, values)
            nodes = {
                each.name: GOLD.values.show(each.type, value, Outputs())
                for each, value in zip(message.inputs.parameters, values, strict=True)
            }
            for file in files:
                file.close()
            yield [f"{name}={compact(node)}" for name, node in nodes.items()], nodes, got


def _is_echo(name: str) -> bool:
    return name.startswith("echo_") or name == "two_results"


def test_each_message_is_called_by_one_of_these_tests() -> None:
    assert set(BY_HAND) == set(RESULTS)
    assert set(MESSAGES) == set(BY_HAND) | set(filter(_is_echo, MESSAGES))


@pytest.mark.slow
@pytest.mark.parametrize("interface", [(), INTERFACE_FILE], ids=["from the service", "from a file"])
def test_golden_values_arrive_and_come_back(
    service: tuple[Path, subprocess.Popen[str]], interface: tuple[str, ...]
) -> None:
    socket, process = service
    words: list[str] = []
    expected: list[tuple[str, Any, str]] = []
    for name, message in MESSAGES.items():
        for values, results, got in _golden(message) if _is_echo(name) else ():
            words += [name, *values]
            expected.append((name, dict(zip(_outputs(message), results.values(), strict=True)), got))
    assert {name for name, _results, _got in expected} == set(filter(_is_echo, MESSAGES))
    done = ipcc("call", socket, *interface, "--json", *words)
    assert (done.code, done.errors) == (0, "")
    assert _documents(done.output) == [results for _name, results, _got in expected]
    assert process.stdout is not None
    for _name, _results, got in expected:
        assert process.stdout.readline() == f"{got}\n"


def _outputs(message: Message) -> list[str]:
    return [each.name for each in message.outputs.parameters] if message.outputs else []


@pytest.mark.slow
def test_messages_by_hand_have_their_results(service: tuple[Path, subprocess.Popen[str]]) -> None:
    socket, process = service
    words = [
        word.replace("{folder}", str(socket.parent)) for name in BY_HAND for word in (name, *BY_HAND[name])
    ]
    done = ipcc("call", socket, "--json", "--answer", "ask_client answer=42", *words)
    assert (done.code, done.errors) == (0, "")
    assert _documents(done.output) == list(RESULTS.values())
    assert process.stdout is not None
    heard = [process.stdout.readline() for _ in BY_HAND]
    assert [line.partition("(")[0] for line in heard] == list(BY_HAND)


@pytest.mark.slow
def test_what_the_service_sends_is_printed(service: tuple[Path, subprocess.Popen[str]]) -> None:
    socket, process = service
    watching = subprocess.Popen(
        command("call", socket, "--watch", "start_notifications", "count=2"),
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(3)]
    watching.send_signal(2)
    assert watching.wait() == 130
    assert watching.stdout.read() == ""
    watching.stdout.close()
    assert lines == [
        'GoldClient.notify seq=0 text="ding 0"\n',
        'GoldClient.notify seq=1 text="ding 1"\n',
        "GoldClient.finished\n",
    ]
    assert process.stdout is not None
    assert process.stdout.readline() == "start_notifications(2)\n"


@pytest.mark.slow
def test_contents_of_results_are_saved(service: tuple[Path, subprocess.Popen[str]], tmp_path: Path) -> None:
    socket, process = service
    done = ipcc("call", socket, "--save", tmp_path, "make_file", "data=abc", "make_buffer", "data=def")
    assert done.output == f'file = "@{tmp_path}/file"\nbuffer = "@{tmp_path}/buffer"\n'
    assert ((tmp_path / "file").read_text(), (tmp_path / "buffer").read_text()) == ("abc", "def")
    assert process.stdout is not None
    for _ in range(2):
        process.stdout.readline()


@pytest.mark.slow
def test_a_request_of_the_service_without_answer_is_an_error(
    service: tuple[Path, subprocess.Popen[str]],
) -> None:
    socket, process = service
    done = ipcc("call", socket, "no_result", "value=6")
    assert (done.code, done.output) == (8, "")
    assert done.errors.startswith("ipcc: error: GoldServer.no_result: RemoteError")
    assert process.stdout is not None
    assert process.stdout.readline() == "no_result(6)\n"
