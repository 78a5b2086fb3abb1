"""Processes that were built from different interface files: each mismatch is an error, nothing is misread."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import EventLoop
from ipclib import (
    SchemaMismatch,
    UnknownMessage,
)

INTERFACE = Path(__file__).parent / "Clock.ipc"

INTERFACE = Path(__file__).parent / "Clock.ipc"


def _changed(folder: Path, old: str, new: str) -> Path:
    text = INTERFACE.read_text()
    assert old in text
    path = folder / "Changed.ipc"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.slow
def test_a_changed_parameter_type_is_a_schema_mismatch(
    loop: EventLoop, processes: Any, app: Any, tmp_path: Path
) -> None:
    interface = _changed(tmp_path, "log(i32 number, String text)", "log(u32 number, String text)")
    interface.write_text(interface.read_text().replace("add(i32 a, i32 b)", "add(i32 a, u32 b)"))
    path, _process = processes.clock_service(interface)
    client = app.connect(path)
    with pytest.raises(SchemaMismatch, match=r"ClockServer\.add"):
        client.add(1, 2)
    client.async_log(1, "never handled")
    assert client.logged() == []
    assert client.nothing() is None


def test_a_message_inserted_before_the_others_is_noticed_by_every_call(
    loop: EventLoop, processes: Any, app: Any, tmp_path: Path
) -> None:
    interface = _changed(
        tmp_path, "add(i32 a, i32 b)", "subtract(i32 a, i32 b) => (i32 difference)\n add(i32 a, i32 b)"
    )
    path, _process = processes.clock_service(interface)
    client = app.connect(path)
    for call in (lambda: client.add(1, 2), client.nothing, lambda: client.echo_string("x"), client.logged):
        with pytest.raises((SchemaMismatch, UnknownMessage)):
            call()
    client.async_log(1, "never handled")
    newer = ipcc.load(interface).ConnectionToServer.connect(path)
    assert newer.logged() == []


_PAINTER = """
import sys, ipcc
from corelib import EventLoop
from ipclib import take_over_accepted_client
painter = ipcc.load(sys.argv[1])
class Painter(painter.ConnectionFromClient):
    def paint(self, colour):
        assert isinstance(colour, painter.Colour), colour
        return colour.name
    def favourite(self):
        return list(painter.Colour)[-1]
loop = EventLoop()
take_over_accepted_client(Painter)
sys.exit(loop.exec())
"""


def _painter_interface(path: Path, *colours: str) -> Path:
    path.write_text(
        f"enum Colour {{ {', '.join(colours)} }}\n"
        "endpoint Painter { paint(Colour colour) => (String name)  favourite() => (Colour colour) }\n"
    )
    return path


@pytest.mark.slow
def test_an_enumerator_that_one_side_does_not_know_is_a_schema_mismatch_and_nothing_is_misread(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways round: the caller's enum has more, or the service's. The wire has numbers, no names."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    interfaces = [
        _painter_interface(tmp_path / f"{'_'.join(colours)}.ipc", *colours)
        for colours in (("RED", "BLUE"), ("RED", "BLUE", "GREEN"), ("RED", "BLUE = 7"))
    ]
    for theirs in interfaces:
        for ours in interfaces:
            module = ipcc.load(ours)
            client = module.ConnectionToServer.spawn([sys.executable, "-c", _PAINTER, str(theirs)])
            if ours == theirs:
                assert client.paint(module.Colour.BLUE) == "BLUE"
                assert client.favourite() is list(module.Colour)[-1]
            else:
                with pytest.raises(SchemaMismatch, match=r"Painter\.paint"):
                    client.paint(module.Colour.BLUE)
                with pytest.raises(SchemaMismatch, match=r"Painter\.favourite"):
                    client.favourite()
            client.shutdown()
