"""`ipcc.load`: a module from memory, and its errors as an exception."""

from __future__ import annotations

import inspect
import random
from pathlib import Path
from typing import Any

import pytest

import ipcc
from ipclib.values.codecs import Frame

HERE = Path(__file__).parent


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def round_trip(message: Any, *values: object) -> object:
    """The values through the message's own encoder and decoder."""
    payload = message._encode([], *values)
    data = payload if isinstance(payload, bytes) else b"".join(payload)
    frame = Frame()
    frame.end = len(data)
    decoded, end = message._decode(memoryview(data), 0, frame)
    assert end == len(data)
    return decoded


def test_a_module_to_use() -> None:
    clock = ipcc.load(HERE / "GoldenClock.ipc")
    add = clock.ClockServer.Add(2, 40)
    assert (add.a, add.b) == (2, 40)
    assert add == clock.ClockServer.Add(2, 40)
    assert round_trip(clock.ClockServer.Add, 2, 40) == (2, 40)
    assert round_trip(clock.ClockServer.Log, 1, "größe") == (1, "größe")
    assert round_trip(clock.ClockServer.Watch, 7, True) == (7, True)
    assert round_trip(clock.ClockServer.EchoBytes, bytearray(b"x" * 1000)) == (b"x" * 1000,)
    assert round_trip(clock.ClockServer.Ping) == ()


def test_a_debugger_sees_its_text() -> None:
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


def test_random_runs(tmp_path: Path) -> None:
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


def test_errors_are_one_exception(tmp_path: Path) -> None:
    path = write(tmp_path / "Bad.ipc", "endpoint A { a(Strng x) =| b(i32 x) }")
    with pytest.raises(ipcc.CompileError, match="unknown type 'Strng'") as caught:
        ipcc.load(path)
    assert [diagnostic.message for diagnostic in caught.value.diagnostics] == [
        "unknown type 'Strng'",
        "message 'b' has neither '=>' nor '=|'",
    ]


def test_a_path_that_cannot_be() -> None:
    with pytest.raises(ipcc.CompileError, match="cannot read: embedded null byte"):
        ipcc.load("a\0b")
