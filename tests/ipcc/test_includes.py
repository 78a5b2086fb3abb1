"""Includes of every kind: what they bring, and how each mistake is told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import ipcc
from ipcc.compiler import compile_files, model_of
from ipcc.definitions import Enumeration, Opaque, Struct
from ipcc.diagnostics import CompileError

GEO = """\
import attrs
import enum
import ipclib
from ipclib import ipc_type, i32, u8, double as wide
from ipclib.gfx import Color


@ipc_type("Geo::Point")
@attrs.frozen
class Point:
    \"\"\"A place.\"\"\"

    x: i32
    y: "i32"


@ipclib.ipc_type("Geo::Kind", underlying=u8)
class Kind(enum.Enum):
    CITY = 0
    RIVER = 0x10


@ipc_type("Geo::Line")
@attrs.define
class Line:
    points: list[Point]
    names: dict[str, bytes]
    width: wide | None
    color: Color
    when: ipclib.Duration


@ipc_type("Geo::Blob")
class Blob:
    def encode(self, encoder):
        encoder.u32(1)

    @classmethod
    def decode(cls, decoder):
        decoder.u32()
        return cls()


raise SystemExit("the compiler does not execute this")
"""
USE = "endpoint A { f(Geo::Point p, Vector<Geo::Kind> k, Geo::Line l, Geo::Blob b) =| }"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


def errors(*paths: str, **options: object) -> str:
    with pytest.raises(CompileError) as caught:
        compile_files(list(paths), **options)  # type: ignore[arg-type]
    return str(caught.value)


def canonical(path: str, **options: object) -> str:
    (endpoint,) = model_of([path], **options).endpoints  # type: ignore[arg-type]
    (message,) = endpoint.messages
    return message.signed_text


# --- interface files ---


def test_structs_and_enums_of_another_file(folder: Path) -> None:
    write("types/geo.ipc", "struct Geo::Point { i32 x; Kind kind; } enum Kind { A } endpoint Other {}")
    write("A.ipc", '#include "geo.ipc"\nendpoint A { f(Geo::Point p) =| }')
    assert canonical("A.ipc", folders=["types"]) == "A.f(Geo::Point)=|;Geo::Point{i32,Kind};Kind:i32{0}"
    text = compile_files(["A.ipc"], ["types"])
    assert "class Point:" in text
    assert "class Kind(" in text
    assert "Other" not in text


def test_a_diamond(folder: Path) -> None:
    write("base.ipc", "struct P { i32 x; }")
    write("b.ipc", '#include "base.ipc"\nstruct B { P p; }')
    write("sub/c.ipc", '#include "../base.ipc"\nstruct C { P p; }')
    write("A.ipc", '#include "b.ipc"\n#include "sub/c.ipc"\n#include "b.ipc"\nendpoint A { f(B b, C c) =| }')
    assert canonical("A.ipc") == "A.f(B,C)=|;B{P};C{P};P{i32}"
    assert compile_files(["A.ipc", "base.ipc"]).count("class P:") == 1


def test_a_file_that_includes_itself(folder: Path) -> None:
    write("A.ipc", '#include "A.ipc"\nendpoint A {}')
    assert errors("A.ipc") == (
        "A.ipc:1:1: error: 'A.ipc' includes itself\n"
        '    1 | #include "A.ipc"\n'
        "      | ^^^^^^^^^^^^^^^^ move what both need into a file of its own"
    )


def test_a_circle(folder: Path) -> None:
    write("A.ipc", '#include "b.ipc"\nendpoint A {}')
    write("b.ipc", '// b\n#include "c.ipc"')
    write("c.ipc", '#include "b.ipc"')
    assert errors("A.ipc") == (
        "c.ipc:1:1: error: 'b.ipc' includes itself, by way of 'c.ipc'\n"
        '    1 | #include "b.ipc"\n'
        "      | ^^^^^^^^^^^^^^^^ move what both need into a file of its own"
    )


def test_a_missing_file(folder: Path) -> None:
    write("A.ipc", '#include "b.ipc"\n#include <b.py>\n#include <b.h>\nendpoint A {}')
    assert [line for line in errors("A.ipc").splitlines() if "error" in line] == [
        "A.ipc:1:1: error: cannot find 'b.ipc'",
        "A.ipc:2:1: error: cannot find 'b.py'",
    ]


def test_errors_of_an_included_file_are_in_it(folder: Path) -> None:
    write("b.ipc", "struct B { Strng x; }")
    write("A.ipc", '#include "b.ipc"\nendpoint A { f(B b, C c) =| }')
    assert [line for line in errors("A.ipc").splitlines() if "error" in line] == [
        "A.ipc:2:21: error: unknown type 'C'",
        "b.ipc:1:12: error: unknown type 'Strng'",
    ]


def test_the_same_name_in_two_files(folder: Path) -> None:
    write("b.ipc", "struct P { i32 x; }")
    write("A.ipc", '#include "b.ipc"\nstruct P { i32 y; }')
    assert errors("A.ipc") == (
        "b.ipc:1:8: error: duplicate type 'P'\n"
        "    1 | struct P { i32 x; }\n"
        "      |        ^ first declared in A.ipc, line 2"
    )


def test_a_long_chain(folder: Path) -> None:
    for number in range(1500):
        write(f"f{number}.ipc", f'#include "f{number + 1}.ipc"')
    write("f1500.ipc", "struct P { i32 x; }")
    write("A.ipc", '#include "f0.ipc"\nendpoint A { f(P p) =| }')
    assert canonical("A.ipc") == "A.f(P)=|;P{i32}"


def test_a_long_chain_of_structs(folder: Path) -> None:
    chain = "".join(f"struct S{n} {{ Optional<S{n + 1}> x; }}\n" for n in range(3000))
    write("A.ipc", chain + "struct S3000 {}\nendpoint A { f(S2999 p) =| }")
    assert "types nest deeper than 64" in errors("A.ipc")


def test_a_large_circle_of_structs(folder: Path) -> None:
    circle = "".join(f"struct S{n} {{ Optional<S{(n + 1) % 3000}> x; }}\n" for n in range(3000))
    write("A.ipc", circle + "endpoint A { f(S0 p) =| }")
    assert "error: a circle of 3000 structs that contain each other" in errors("A.ipc")


# --- Python modules ---


def test_registered_types_are_read(folder: Path) -> None:
    write("geo/shapes.py", GEO)
    write("A.ipc", f"#include <geo/shapes.py>\n{USE}")
    model = model_of(["A.ipc"])
    assert [type(definition) for definition in model.definitions] == [Struct, Enumeration, Struct, Opaque]
    assert model.endpoints[0].messages[0].signed_text == (
        "A.f(Geo::Point,Vector<Geo::Kind>,Geo::Line,Geo::Blob)=|;Geo::Point{i32,i32};Geo::Kind:u8{0,16};"
        "Geo::Line{Vector<Geo::Point>,HashMap<String,ByteString>,Optional<double>,Gfx::Color,Duration}"
    )
    text = compile_files(["A.ipc"])
    assert "\nfrom geo.shapes import Blob, Kind, Line, Point\n" in text
    assert "_Geo_Point = _ipc.registered(Point)\n" in text
    assert "p: Point, k: list[Kind], l: Line, b: Blob" in text


def test_only_what_is_used_is_imported(folder: Path) -> None:
    write("shapes.py", GEO)
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(Geo::Kind k) =| }')
    assert "\nfrom shapes import Kind\n" in compile_files(["A.ipc"])


def test_beside_an_output_in_a_package(folder: Path) -> None:
    write("shapes.py", GEO)
    write("package/__init__.py", "")
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(Geo::Kind k) =| }')
    assert "\nfrom .shapes import Kind\n" in compile_files(["A.ipc"], output="package/a_ipc.py")
    assert "\nfrom shapes import Kind\n" in compile_files(["A.ipc"], output="a_ipc.py")


def test_types_given_on_the_command_line(folder: Path) -> None:
    write("elsewhere/shapes.py", GEO)
    write("A.ipc", USE)
    assert "\nfrom elsewhere.shapes import " in compile_files(["A.ipc"], types=["elsewhere/shapes.py"])
    absolute = str(folder / "elsewhere" / "shapes.py")
    assert "\nfrom shapes import " in compile_files(["A.ipc"], types=[absolute])
    assert errors("A.ipc", types=["missing.py"]).startswith("missing.py: error: cannot read: No such file\n")


def test_classes_of_one_name_are_told_apart(folder: Path) -> None:
    write("shapes.py", GEO)
    write(
        "A.ipc",
        '#include "shapes.py"\nstruct Ink::Point { i8 x; }\nendpoint A { f(Geo::Point p, Ink::Point q) =| }',
    )
    text = compile_files(["A.ipc"])
    assert "from shapes import Point as GeoPoint\n" in text
    assert "class InkPoint:" in text


def test_a_module_that_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, "shapes_that_run", ModuleType("gone"))
    del sys.modules["shapes_that_run"]
    write("shapes_that_run.py", GEO.rpartition("raise")[0])
    write("A.ipc", '#include "shapes_that_run.py"\nendpoint A { f(Geo::Point p, Geo::Kind k) =| }')
    module = ipcc.load("A.ipc")
    shapes = sys.modules["shapes_that_run"]
    values = (shapes.Point(1, -2), shapes.Kind.RIVER)
    payload = module.A.F._encode([], *values)
    assert payload == b"\1\0\0\0\xfe\xff\xff\xff\x10"
    assert module.A.F._decode(payload, 0, None) == (values, 9)


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("<types.py>", "'types' is a module of the standard library", "rename the file"),
        ("<json/mine.py>", "'json' is a module of the standard library", "rename the file"),
        ('"my-types.py"', "'my-types' is no name of a Python module", "rename the file, or its folder"),
        ('"../up.py"', "'...up' is no name of a Python module", "rename the file, or its folder"),
    ],
)
def test_a_name_that_cannot_be_imported(folder: Path, path: str, message: str, hint: str) -> None:
    write(f"here/{path[1:-1]}", "")
    write("here/A.ipc", f"#include {path}\nendpoint A {{}}")
    shown = errors("here/A.ipc")
    assert shown.startswith(f"here/A.ipc:1:1: error: {message}\n")
    assert hint in shown
    assert shown.count("error:") == 1


HEAD = "import attrs, enum\nfrom ipclib import ipc_type, i32, u8\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "@ipc_type('K')\nclass K(enum.Enum):\n    A = enum.auto()",
            "5:9: error: the number of 'A' cannot be read\n|write it out, as in 'A = 1'",
        ),
        (
            "@ipc_type('K')\nclass K(enum.Enum):\n    A = 'a'",
            "5:9: error: the number of 'A' cannot be read\n|write it out",
        ),
        (
            "@ipc_type('K', underlying=u8)\nclass K(enum.Enum):\n    A = 300",
            "5:9: error: enumerator 'A' is 300, out of range for u8|u8 holds 0 to 255",
        ),
        (
            "@ipc_type('K', underlying=str)\nclass K(enum.Enum):\n    A = 3",
            "3:27: error: 'str' cannot be the type of an enum|",
        ),
        (
            "@ipc_type('P')\nclass P:\n    x: i32",
            "4:7: error: 'P' is no attrs class and no enum|attrs.frozen",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P(Base):\n    x: i32",
            "5:7: error: 'P' has a base class|declare all fields in the class itself",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    größe: int",
            "6:12: error: 'int' does not say its size|take one of i8 to u64 from ipclib",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: float",
            "6:8: error: 'float' does not say its size|double",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: i32 | str",
            "6:8: error: a union of several types|only 'T | None' has a form on the wire",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: list[u8]",
            "6:8: error: a list of u8 is bytes in Python|write 'bytes'",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: list[Q]",
            "6:13: error: 'Q' stands for no type of the wire|register the class with ipc_type",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: set[i32]",
            "6:8: error: 'set[i32]' stands for no type of the wire|",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: dict[i32]",
            "6:8: error: 'dict[i32]' stands for no type of the wire|",
        ),
        (
            f"@ipc_type('K')\nclass K(enum.Enum):\n    A = 0x{'f' * 5000}",
            "5:9: error: the number of 'A' cannot be read\n|write it out",
        ),
        (
            f"@ipc_type('P')\n@attrs.define\nclass P:\n    x: {'list[' * 90}i32{']' * 90}",
            "6:8: error: types nest deeper than 64|split the type",
        ),
        ("@ipc_type\nclass P: pass", '3:2: error: ipc_type without the name of the type|@ipc_type("P")'),
        ("@ipc_type('a b')\nclass P: pass", "3:11: error: 'a b' is no name of a type|'Geo::Point'"),
        (
            "@ipc_type('String')\n@attrs.define\nclass P: pass",
            "3:11: error: 'String' is a type of the language|",
        ),
        ("def f(:", "3:1: error: this cannot be read as Python: invalid syntax|"),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    p: 'P'",
            "6:8: error: struct 'P' contains itself|write 'Optional<P>'",
        ),
    ],
)
def test_a_registration_that_cannot_be(folder: Path, body: str, expected: str) -> None:
    write("shapes.py", f"{HEAD}{body}\n")
    write("A.ipc", '#include "shapes.py"\nendpoint A {}')
    shown = errors("A.ipc")
    place, _, hint = expected.partition("|")
    assert shown.startswith(f"shapes.py:{place}")
    assert hint in shown
    assert shown.count("error:") == 1


def test_a_mutable_class_is_no_key(folder: Path) -> None:
    write("shapes.py", f"{HEAD}@ipc_type('P')\n@attrs.define\nclass P:\n    x: i32\n")
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(HashMap<P, i32> m) =| }')
    assert "A.ipc:2:24: error: 'P' cannot be a key" in errors("A.ipc")
    write("shapes.py", f"{HEAD}@ipc_type('P')\n@attrs.define(frozen=True)\nclass P:\n    x: i32\n")
    compile_files(["A.ipc"])


def test_one_module_by_two_names(folder: Path) -> None:
    write("geo/shapes.py", GEO)
    write("A.ipc", "#include <geo/shapes.py>\nendpoint A {}")
    shown = errors("A.ipc", types=[str(folder / "geo" / "shapes.py")])
    assert "is included as 'geo.shapes' and as 'shapes'" in shown
