"""Owns the tests of `ipcc describe`: it shows what the generated module has.

Must not know how the text is laid out beyond one example.
"""

from __future__ import annotations

import datetime
import json
import zlib
from pathlib import Path

import pytest

import ipcc
import ipclib
from ipcc.builtin_types import BUILTIN_TYPES
from ipcc.cli import main

MAP = """
struct Geo::Point { i32 x; i32 y; }
enum Geo::Kind : u8 { CITY, RIVER }
/// The map.
endpoint MapServer {
    /// Where is it?
    find(String class, Geo::Kind kind) => (Optional<Geo::Point> point)
    move(Geo::Point to) =|
}
endpoint MapClient {}
"""


@pytest.fixture
def map_file(tmp_path: Path) -> Path:
    path = tmp_path / "Map.ipc"
    path.write_text(MAP)
    return path


def test_describe_prints_text_for_people(map_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(map_file)]) == 0
    assert (
        capsys.readouterr().out
        == """\
endpoint MapServer: magic 0x707F24D6 (1887380694)
    1, 2  0x38E8B4B1  find(String class, Geo::Kind kind) => (Optional<Geo::Point> point)
    3     0x2AF2D871  move(Geo::Point to) =|

endpoint MapClient: magic 0xF9D15E2B (4191247915)

struct Geo::Point
{
    i32 x;
    i32 y;
}

enum Geo::Kind : u8
{
    CITY = 0,
    RIVER = 1,
}

types of parameters, and in Python
    Geo::Kind             Kind
    Geo::Point            Point
    Optional<Geo::Point>  Point | None
    String                str
"""
    )


def test_describe_prints_json_that_agrees_with_the_module(
    map_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["describe", "--json", str(map_file)]) == 0
    shown = json.loads(capsys.readouterr().out)
    module = ipcc.load(map_file)
    server, client = shown["endpoints"]
    assert (server["name"], server["documentation"]) == ("MapServer", ["The map."])
    assert server["magic"] == module.MapServer.MAGIC
    assert client["messages"] == []
    find, move = server["messages"]
    assert (find["id"], find["response_id"], move["id"], move["response_id"]) == (1, 2, 3, None)
    assert find["signed"] == (
        "MapServer.find(String,Geo::Kind)=>(Optional<Geo::Point>);Geo::Kind:u8{0,1};Geo::Point{i32,i32}"
    )
    # A generated class shows its signature nowhere else; the runtime puts this one into frames.
    assert find["signature"] == zlib.crc32(find["signed"].encode()) == module.MapServer.Find.__ipc__.signature
    assert find["inputs"][0] == {"name": "class", "python": "class_", "type": "String"}
    assert find["outputs"] == [{"name": "point", "python": "point", "type": "Optional<Geo::Point>"}]
    assert move["outputs"] is None
    assert shown["definitions"] == [
        {
            "kind": "struct",
            "name": "Geo::Point",
            "python": "Point",
            "fields": [
                {"name": "x", "python": "x", "type": "i32"},
                {"name": "y", "python": "y", "type": "i32"},
            ],
        },
        {
            "kind": "enum",
            "name": "Geo::Kind",
            "python": "Kind",
            "underlying": "u8",
            "values": {"CITY": 0, "RIVER": 1},
        },
    ]
    assert shown["types"]["Optional<Geo::Point>"] == "Point | None"


def test_types_in_python_are_spelled_as_programs_spell_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [name for name, row in BUILTIN_TYPES.items() if not row.arguments]
    path = tmp_path / "A.ipc"
    path.write_text(f"endpoint A {{ a({', '.join(f'{n} x{i}' for i, n in enumerate(names))}) =| }}")
    assert main(["describe", "--json", str(path)]) == 0
    for spelling in json.loads(capsys.readouterr().out)["types"].values():
        eval(spelling, {"ipclib": ipclib, "datetime": datetime})


def test_describe_of_a_wrong_file_prints_diagnostics_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "A.ipc"
    path.write_text("endpoint A { a(Strng x) =| }")
    assert main(["describe", str(path), "--json"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"{path}:1:16: error: ")


def test_describe_of_an_empty_file_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "A.ipc"
    path.write_text("")
    assert main(["describe", str(path)]) == 0
    assert capsys.readouterr().out == ""
