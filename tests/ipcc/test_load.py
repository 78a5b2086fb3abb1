"""Owns the tests of `ipcc.load`: a module in memory that works, and mistakes as one exception.

Must not know the text of the module.
"""

from __future__ import annotations

import inspect
import random
from pathlib import Path

import pytest

import ipcc
from tests.ipcc.compiling import encode, round_trip, write
from tests.ipcc.golden_clock_ipc import ClockServer

HERE = Path(__file__).parent


def test_the_golden_module_encodes_and_decodes() -> None:
    add = ClockServer.Add(2, 40)
    assert (add.a, add.b) == (2, 40)
    assert add == ClockServer.Add(2, 40)
    assert round_trip(ClockServer.Add, 2, 40) == (2, 40)
    assert round_trip(ClockServer.Log, 1, "größe") == (1, "größe")
    assert round_trip(ClockServer.Watch, 7, True) == (7, True)
    assert round_trip(ClockServer.EchoBytes, bytearray(b"x" * 1000)) == (b"x" * 1000,)
    assert round_trip(ClockServer.Ping) == ()


def test_a_loaded_module_encodes_as_the_written_one_does() -> None:
    loaded = ipcc.load(HERE / "GoldenClock.ipc").ClockServer
    assert loaded.Add(2, 40) == loaded.Add(2, 40)
    assert encode(loaded.Log, 1, "größe") == encode(ClockServer.Log, 1, "größe")
    assert round_trip(loaded.Watch, 7, True) == (7, True)


def test_a_debugger_sees_the_text_of_a_loaded_module() -> None:
    clock = ipcc.load(str(HERE / "GoldenClock.ipc"))
    assert inspect.getsource(clock.ClockServerStub.log).startswith("    def log(self, id: int, text: str)")


def test_awkward_names_work() -> None:
    awkward = ipcc.load(HERE / "Awkward.ipc")
    server = awkward.AwkwardServer
    assert round_trip(server.Staticmethod, "x") == ("x",)
    assert round_trip(server.DictResponse, b"abc", 1.5) == (b"abc", 1.5)
    assert round_trip(server.None_, True) == (True,)
    assert server.Connect(1, 2, 3).class_ == 3
    assert server.AwkwardServer_.__name__ == "AwkwardServer_"
    assert issubclass(awkward.AloneConnectionToServer, awkward.AloneProxy)
    assert issubclass(awkward.LonelyConnectionFromClient, awkward.LonelyClientProxy)


def test_values_of_random_messages_survive_a_round_trip(tmp_path: Path) -> None:
    """Fixed-size fields, strings and byte strings in any order keep their values."""
    dice = random.Random(20)
    values: dict[str, list[object]] = {
        "i8": [-128, 127],
        "u16": [0, 65535],
        "i64": [-(2**63), 5],
        "u64": [2**64 - 1],
        "double": [0.1],
        "bool": [True, False],
        "String": ["", "日本", "x" * 300],
        "ByteString": [b"", b"\0\xff"],
        "Vector<u8>": [b"raw"],
    }
    shapes = [[dice.choice(list(values)) for _ in range(dice.randrange(9))] for _ in range(60)]
    lines = [
        f"m{i}({', '.join(f'{type} p{n}' for n, type in enumerate(shape))}) =|"
        for i, shape in enumerate(shapes)
    ]
    path = write(tmp_path / "Runs.ipc", "endpoint Runs { " + "\n".join(lines) + " }")
    endpoint = ipcc.load(path).Runs
    for number, shape in enumerate(shapes):
        chosen = tuple(dice.choice(values[type]) for type in shape)
        assert round_trip(getattr(endpoint, f"M{number}"), *chosen) == chosen


def test_all_mistakes_are_in_one_exception(tmp_path: Path) -> None:
    path = write(tmp_path / "Bad.ipc", "endpoint A { a(Strng x) =| b(i32 x) }")
    with pytest.raises(ipcc.CompileError, match="unknown type 'Strng'") as caught:
        ipcc.load(path)
    assert [diagnostic.message for diagnostic in caught.value.diagnostics] == [
        "unknown type 'Strng'",
        "message 'b' has neither '=>' nor '=|'",
    ]


def test_an_impossible_path_is_reported() -> None:
    with pytest.raises(ipcc.CompileError, match="cannot read: embedded null byte"):
        ipcc.load("a\0b")
