"""Owns the tests of registered classes: what the compiler reads from a Python module, and what it refuses.

Must not know the runtime's side of registration.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import ipcc
from ipcc.compiler import compile_files, model_of
from ipcc.definitions import Enumeration, Opaque, Struct
from tests.ipcc.compiling import decode, encode, errors, signed_text, write

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
    assert '_Geo_Point = _ipc.registered(Point, "Geo::Point{i32,i32}")\n' in text
    assert '_Geo_Blob = _ipc.registered(Blob, "Geo::Blob")\n' in text
    assert "p: Point, k: list[Kind], l: Line, b: Blob" in text


@pytest.mark.parametrize(
    ("line", "annotation", "type"),
    [
        ("from ipclib import i32 as number", "number", "i32"),
        ("import ipclib", "ipclib.i32", "i32"),
        ("import ipclib as ipc", "ipc.i32", "i32"),
        ("from corelib import AnonymousBuffer", "AnonymousBuffer", "Core::AnonymousBuffer"),
        ("import corelib", "corelib.AnonymousBuffer", "Core::AnonymousBuffer"),
        ("from ipclib.gfx import Color as Paint", "Paint", "Gfx::Color"),
        ("from ipclib import gfx", "gfx.Color", "Gfx::Color"),
        ("from datetime import datetime as moment", "moment", "Core::DateTime"),
        ("import datetime", "datetime.datetime", "Core::DateTime"),
        ("import datetime as dt", "dt.datetime", "Core::DateTime"),
        ("import ipclib.gfx as colors", "colors.Color", "Gfx::Color"),
        ("import ipclib.gfx", "ipclib.gfx.Color", "Gfx::Color"),
        ("from .datetime import datetime", "datetime", None),
        ("from .ipclib import i32", "i32", None),
        ("from other import i32", "i32", None),
    ],
)
def test_annotations_are_read_by_how_their_names_were_imported(
    folder: Path, line: str, annotation: str, type: str | None
) -> None:
    write(
        "shapes.py",
        f"import attrs\nfrom ipclib import ipc_type\n{line}\n\n"
        f"@ipc_type('P')\n@attrs.frozen\nclass P:\n    x: {annotation}\n",
    )
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(P p) =| }')
    if type is None:
        assert f"'{annotation}' is not a type that can be sent" in errors("A.ipc")
    else:
        assert signed_text("A.ipc") == f"A.f(P)=|;P{{{type}}}"


def test_a_generated_module_imports_only_the_classes_that_it_uses(folder: Path) -> None:
    write("shapes.py", GEO)
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(Geo::Kind k) =| }')
    assert "\nfrom shapes import Kind\n" in compile_files(["A.ipc"])


def test_an_output_in_a_package_imports_from_its_own_package(folder: Path) -> None:
    write("shapes.py", GEO)
    write("package/__init__.py", "")
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(Geo::Kind k) =| }')
    assert "\nfrom .shapes import Kind\n" in compile_files(["A.ipc"], output="package/a_ipc.py")
    assert "\nfrom shapes import Kind\n" in compile_files(["A.ipc"], output="a_ipc.py")


def test_types_may_be_given_with_the_command(folder: Path) -> None:
    write("elsewhere/shapes.py", GEO)
    write("A.ipc", USE)
    assert "\nfrom elsewhere.shapes import " in compile_files(["A.ipc"], types=["elsewhere/shapes.py"])
    absolute = str(folder / "elsewhere" / "shapes.py")
    assert "\nfrom shapes import " in compile_files(["A.ipc"], types=[absolute])
    assert errors("A.ipc", types=["missing.py"]).startswith("missing.py: error: cannot read: No such file\n")


def test_classes_of_one_name_get_their_whole_names(folder: Path) -> None:
    write("shapes.py", GEO)
    write(
        "A.ipc",
        '#include "shapes.py"\nstruct Ink::Point { i8 x; }\nendpoint A { f(Geo::Point p, Ink::Point q) =| }',
    )
    text = compile_files(["A.ipc"])
    assert "from shapes import Point as GeoPoint\n" in text
    assert "class InkPoint(_ipc.Struct):" in text


def test_registered_values_are_encoded_as_their_interface_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, "shapes_that_run", ModuleType("gone"))
    del sys.modules["shapes_that_run"]
    write("shapes_that_run.py", GEO.rpartition("raise")[0])
    write("A.ipc", '#include "shapes_that_run.py"\nendpoint A { f(Geo::Point p, Geo::Kind k) =| }')
    module = ipcc.load("A.ipc")
    shapes = sys.modules["shapes_that_run"]
    values = (shapes.Point(1, -2), shapes.Kind.RIVER)
    data = encode(module.A.F, *values)
    assert data == b"\1\0\0\0\xfe\xff\xff\xff\x10"
    assert decode(module.A.F, data) == values


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
            "4:7: error: 'P' is neither an attrs class nor an enum|attrs.frozen",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P(Base):\n    x: i32",
            "5:7: error: 'P' has a base class|declare all fields in the class itself",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    größe: int",
            "6:12: error: 'int' does not say its size|write one of i8 to u64 from ipclib",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: float",
            "6:8: error: 'float' does not say its size|double",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: i32 | str",
            "6:8: error: a union of several types|only 'T | None' can be sent",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: list[u8]",
            "6:8: error: a list of u8 is bytes in Python|write 'bytes'",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: list[Q]",
            "6:13: error: 'Q' is not a type that can be sent|register the class with ipc_type",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: set[i32]",
            "6:8: error: 'set[i32]' is not a type that can be sent|",
        ),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    x: dict[i32]",
            "6:8: error: 'dict[i32]' is not a type that can be sent|",
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
        ("@ipc_type('a b')\nclass P: pass", "3:11: error: 'a b' is not a valid name of a type|'Geo::Point'"),
        (
            "@ipc_type('String')\n@attrs.define\nclass P: pass",
            "3:11: error: 'String' is a built-in type|",
        ),
        ("def f(:", "3:1: error: this cannot be read as Python: invalid syntax|"),
        (
            "@ipc_type('P')\n@attrs.define\nclass P:\n    p: 'P'",
            "6:8: error: struct 'P' contains itself|write 'Optional<P>'",
        ),
    ],
)
def test_a_wrong_registration_is_reported_at_its_place(folder: Path, body: str, expected: str) -> None:
    write("shapes.py", f"{HEAD}{body}\n")
    write("A.ipc", '#include "shapes.py"\nendpoint A {}')
    shown = errors("A.ipc")
    place, _, hint = expected.partition("|")
    assert shown.startswith(f"shapes.py:{place}")
    assert hint in shown
    assert shown.count("error:") == 1


def test_a_mutable_class_cannot_be_a_key(folder: Path) -> None:
    write("shapes.py", f"{HEAD}@ipc_type('P')\n@attrs.define\nclass P:\n    x: i32\n")
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(HashMap<P, i32> m) =| }')
    assert "A.ipc:2:24: error: 'P' cannot be a key" in errors("A.ipc")
    write("shapes.py", f"{HEAD}@ipc_type('P')\n@attrs.define(frozen=True)\nclass P:\n    x: i32\n")
    compile_files(["A.ipc"])


@pytest.mark.parametrize(
    ("decorator", "is_key"),
    [
        ("attrs.frozen", True),
        ("attrs.frozen()", True),
        ("attrs.define", False),
        ("attrs.define(unsafe_hash=True)", True),
        ("attrs.frozen(frozen=False)", False),
        ("attrs.frozen(hash=False)", False),
        ("attrs.frozen(eq=False)", False),
        ("attr.s(auto_attribs=True, frozen=True)", True),
    ],
)
def test_the_arguments_of_a_decorator_decide_whether_values_are_keys(
    folder: Path, decorator: str, is_key: bool
) -> None:
    write("shapes.py", f"import attr\n{HEAD}@ipc_type('P')\n@{decorator}\nclass P:\n    x: i32\n")
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(HashMap<P, i32> m) =| }')
    if is_key:
        compile_files(["A.ipc"])
    else:
        assert "'P' cannot be a key" in errors("A.ipc")


# --- files ---

ENUM = """\
import enum
from ipclib import ipc_type, u8


@ipc_type("K", underlying=u8)
class K(enum.Enum):
    '''caf\u00e9'''

    A = 1
"""


@pytest.mark.parametrize(
    "data",
    [
        ENUM.encode(),
        b"\xef\xbb\xbf" + ENUM.encode(),
        b"\xef\xbb\xbf# coding: utf-8\n" + ENUM.encode(),
        b"# -*- coding: latin-1 -*-\n" + ENUM.encode("latin-1"),
        b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n" + ENUM.encode("cp1252"),
        ENUM.replace("\n", "\r\n").encode(),
        ENUM.replace("\n", "\r").encode(),
        ENUM.replace("\n\n\n", "\n\f\n").encode(),
    ],
    ids=["plain", "mark", "mark and coding", "latin-1", "second line", "CR LF", "CR", "form feed"],
)
def test_a_file_is_decoded_as_python_decodes_it(folder: Path, data: bytes) -> None:
    Path("kinds.py").write_bytes(data)
    compile(data, "kinds.py", "exec")
    write("A.ipc", '#include "kinds.py"\nendpoint A { f(K k) =| }')
    (kind,) = model_of(["A.ipc"]).definitions
    assert isinstance(kind, Enumeration)
    assert kind.documentation == ("caf\u00e9",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"# coding: nonsense\nx = 1\n", "unknown encoding: nonsense"),
        (b"\xef\xbb\xbf# coding: latin-1\nx = 1\n", "encoding problem"),
        (b"# coding: ascii\nx = '\xe9'\n", "the file is not ascii"),
        (b"x = '\xe9'\n", "kinds.py:1:6: error: the file is not UTF-8: byte 0xe9"),
        (b"# coding: utf-8\nx = 1\nx = '\xe9'\n", "kinds.py:3:6: error: the file is not UTF-8"),
        (b"# coding: rot13\nx = 1\n", "the file is not rot"),
        (b"x = '\0'\n", "this cannot be read as Python"),
    ],
)
def test_a_file_that_python_cannot_decode_is_refused(folder: Path, data: bytes, reason: str) -> None:
    Path("kinds.py").write_bytes(data)
    with pytest.raises((SyntaxError, ValueError, LookupError)):
        compile(data, "kinds.py", "exec")
    write("A.ipc", '#include "kinds.py"\nendpoint A {}')
    assert reason in errors("A.ipc")


@pytest.mark.parametrize(
    "path", ["class.py", "None.py", "a/if.py", "a.b.py", "my-types.py", "2d.py", "\ufb01le.py", "import/a.py"]
)
def test_a_module_that_no_import_statement_can_name_is_refused(folder: Path, path: str) -> None:
    write(path, ENUM)
    for include in (f'"{path}"', f"<{path}>"):
        write("A.ipc", f"#include {include}\nendpoint A {{ f(K k) =| }}")
        assert "is not a valid name of a Python module" in errors("A.ipc")
    assert "is not a valid name of a Python module" in errors("A.ipc", types=[path])


def test_the_file_of_a_package_has_the_name_of_the_package(folder: Path) -> None:
    write("kinds/__init__.py", ENUM)
    write("A.ipc", "#include <kinds/__init__.py>\nendpoint A { f(K k) =| }")
    assert "\nfrom kinds import K\n" in compile_files(["A.ipc"])
    write("kinds/A.ipc", '#include "__init__.py"\nendpoint A { f(K k) =| }')
    assert "\nfrom . import K\n" in compile_files(["kinds/A.ipc"], output="kinds/a_ipc.py")


def test_a_class_whose_name_python_normalizes_is_found(folder: Path) -> None:
    write("shapes.py", f"{HEAD}@ipc_type('P')\nclass \ufb01le: pass\n")
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(P p) =| }')
    assert errors("A.ipc").startswith("shapes.py:4:1: error: 'file' is neither an attrs class nor an enum")


def test_an_escape_that_python_warns_of_is_not_shown(folder: Path, recwarn: pytest.WarningsRecorder) -> None:
    write("shapes.py", ENUM + "x = '\\d'\n")
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(K k) =| }')
    compile_files(["A.ipc"])
    assert not recwarn.list
