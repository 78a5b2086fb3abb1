"""Owns the tests of `ipcc diff` for structs and enums: each kind of change, its verdict, and what it breaks.

Must not know how a change is tried out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ipclib import EncodeError, SchemaMismatch
from tests.ipcc.changed_interfaces import (
    BOTH,
    FINE,
    SOURCE,
    SUB,
    SUBTRACT,
    WIRE,
    Case,
    Program,
    check,
    endpoint,
)

AREA = Program(
    lambda module, c: c.area(module.Size(w=3, h=2)), {"area": lambda self, size: size.w * 10 + size.h}
)
FIRST = Program(lambda module, c: c.first(module.Size(3, 2)), {"first": lambda self, size: size.w})
KIND = Program(lambda module, c: c.kind(module.Kind.CITY), {"kind": lambda self, kind: kind.name})
SIZE = "struct Size { i32 w; i32 h; }"
AREA_S = "endpoint S { area(Size size) => (i32 r) }"
FIRST_S = "endpoint S { first(Size size) => (i32 r) }"
KINDS = "enum Kind : u8 { CITY = 0, RIVER = 1 }"
KIND_S = "endpoint S { kind(Kind kind) => (String name) }"

CASES = {
    # structs
    "field added": Case(
        AREA,
        SIZE + AREA_S,
        "struct Size { i32 w; i32 h; i32 d; }" + AREA_S,
        (f"{BOTH}: Size field 'd' was added",),
        SchemaMismatch,
        TypeError,
    ),
    "field removed": Case(
        AREA,
        SIZE + AREA_S,
        "struct Size { i32 w; }" + AREA_S,
        (f"{BOTH}: Size field 'h' was removed",),
        SchemaMismatch,
        TypeError,
    ),
    "field renamed": Case(
        AREA,
        SIZE + AREA_S,
        "struct Size { i32 w; i32 height; }" + AREA_S,
        (f"{SOURCE}: Size field 'h' was renamed to 'height'",),
        source=TypeError,
        service={"area": lambda self, size: size.w * 10 + size.height},
    ),
    "field retyped, the same in Python": Case(
        AREA,
        SIZE + AREA_S,
        "struct Size { i32 w; u8 h; }" + AREA_S,
        (f"{WIRE}: Size field 'h' has another type: i32 -> u8",),
        wire=SchemaMismatch,
    ),
    "field retyped": Case(
        AREA,
        SIZE + AREA_S,
        "struct Size { i32 w; String h; }" + AREA_S,
        (f"{BOTH}: Size field 'h' has another type: i32 -> String",),
        SchemaMismatch,
        EncodeError,
    ),
    "fields of one type reordered": Case(
        FIRST,
        SIZE + FIRST_S,
        "struct Size { i32 h; i32 w; }" + FIRST_S,
        (f"{BOTH}: Size fields have another order: w, h -> h, w",),
        2,
        2,
    ),
    "fields of several types reordered": Case(
        FIRST,
        "struct Size { i32 w; u8 h; }" + FIRST_S,
        "struct Size { u8 h; i32 w; }" + FIRST_S,
        (f"{BOTH}: Size fields have another order: w, h -> h, w",),
        SchemaMismatch,
        2,
    ),
    "field of a field removed": Case(
        Program(
            lambda module, c: c.area(module.Box([module.Size(3, 2)])),
            {"area": lambda self, box: box.sizes[0].w},
        ),
        SIZE + "struct Box { Vector<Size> sizes; } endpoint S { area(Box box) => (i32 r) }",
        "struct Size { i32 w; } struct Box { Vector<Size> sizes; } endpoint S { area(Box box) => (i32 r) }",
        (f"{BOTH}: Size field 'h' was removed",),
        SchemaMismatch,
        TypeError,
    ),
    "struct renamed": Case(
        AREA,
        SIZE + AREA_S,
        "struct Extent { i32 w; i32 h; } endpoint S { area(Extent size) => (i32 r) }",
        (
            f"{BOTH}: S.area parameter 'size' has another type: Size -> Extent",
            f"{BOTH}: Size was renamed to Extent",
        ),
        SchemaMismatch,
        AttributeError,
    ),
    "struct that no message uses changed": Case(
        Program(lambda module, c: (module.Size(w=1, h=2), c.sub(5, 3))[1], SUB.handlers),
        SIZE + endpoint(SUBTRACT),
        "struct Size { i32 w; }" + endpoint(SUBTRACT),
        (f"{SOURCE}: Size field 'h' was removed",),
        source=TypeError,
    ),
    "struct that no message uses removed": Case(
        Program(lambda module, c: (module.Size, c.sub(5, 3))[1], SUB.handlers),
        SIZE + endpoint(SUBTRACT),
        endpoint(SUBTRACT),
        (f"{SOURCE}: Size was removed",),
        source=AttributeError,
    ),
    "struct added": Case(SUB, endpoint(SUBTRACT), SIZE + endpoint(SUBTRACT), (f"{FINE}: Size was added",)),
    "struct of another namespace took its name": Case(
        AREA,
        "struct A::Size { i32 w; i32 h; } endpoint S { area(A::Size size) => (i32 r) }",
        "struct B::Size {} struct A::Size { i32 w; i32 h; } endpoint S { area(A::Size size) => (i32 r) }",
        (f"{SOURCE}: A::Size has another name in Python: Size -> ASize", f"{FINE}: B::Size was added"),
        source=AttributeError,
    ),
    "documentation of a struct and an enum": Case(
        SUB,
        SIZE + KINDS + endpoint(SUBTRACT),
        f"/// S.\n{SIZE}\n/// K.\n{KINDS}" + endpoint(SUBTRACT),
        (f"{FINE}: Size is documented differently", f"{FINE}: Kind is documented differently"),
    ),
    # enums
    "value added": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u8 { CITY = 0, RIVER = 1, LAKE = 2 }" + KIND_S,
        (f"{WIRE}: Kind value 'LAKE' was added",),
        wire=SchemaMismatch,
    ),
    "value removed": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u8 { RIVER = 1 }" + KIND_S,
        (f"{BOTH}: Kind value 'CITY' was removed",),
        SchemaMismatch,
        AttributeError,
    ),
    "value renumbered": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u8 { CITY = 4, RIVER = 1 }" + KIND_S,
        (f"{WIRE}: Kind value 'CITY' was renumbered: 0 -> 4",),
        wire=SchemaMismatch,
    ),
    "value renamed": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u8 { TOWN = 0, RIVER = 1 }" + KIND_S,
        (f"{SOURCE}: Kind value 'CITY' was renamed to 'TOWN'",),
        source=AttributeError,
        service={"kind": lambda self, kind: {"TOWN": "CITY"}[kind.name]},
    ),
    "values swapped": Case(
        KIND,
        "enum Kind { CITY, RIVER }" + KIND_S,
        "enum Kind { RIVER, CITY }" + KIND_S,
        (
            f"{WIRE}: Kind value 'CITY' was renumbered: 0 -> 1",
            f"{WIRE}: Kind value 'RIVER' was renumbered: 1 -> 0",
        ),
        wire="RIVER",
    ),
    "values declared in another order": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u8 { RIVER = 1, CITY = 0 }" + KIND_S,
        (f"{WIRE}: Kind declares its values in another order",),
        wire=SchemaMismatch,
    ),
    "underlying type": Case(
        KIND,
        KINDS + KIND_S,
        "enum Kind : u16 { CITY = 0, RIVER = 1 }" + KIND_S,
        (f"{WIRE}: Kind has another underlying type: u8 -> u16",),
        wire=SchemaMismatch,
    ),
    "enum renamed": Case(
        KIND,
        KINDS + KIND_S,
        "enum Sort : u8 { CITY = 0, RIVER = 1 } endpoint S { kind(Sort kind) => (String name) }",
        (
            f"{SOURCE}: S.kind has another class of its message in Python: Kind_ -> Kind",
            f"{BOTH}: S.kind parameter 'kind' has another type: Kind -> Sort",
            f"{BOTH}: Kind was renamed to Sort",
        ),
        SchemaMismatch,
        AttributeError,
    ),
    "enum became a struct": Case(
        KIND,
        KINDS + KIND_S,
        "struct Kind { u8 CITY; }" + KIND_S,
        (f"{BOTH}: Kind became a struct",),
        SchemaMismatch,
        EncodeError,
        {"kind": lambda self, kind: "?"},
    ),
    "numbers spelt out": Case(
        KIND, "enum Kind { CITY, RIVER }" + KIND_S, "enum Kind : i32 { CITY = 0, RIVER }" + KIND_S
    ),
}


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("name", CASES)
def test_a_change_of_types_breaks_what_the_compiler_says(name: str, tmp_path: Path) -> None:
    check(CASES[name], tmp_path)
