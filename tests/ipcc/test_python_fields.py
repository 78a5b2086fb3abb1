"""Owns the tests that the compiler reads a class's fields as attrs has them, or refuses the class.

Must not know how it reads them: each class is run, and compared with what was read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import attrs
import pytest

import ipcc
from ipcc.compiler import model_of
from ipcc.definitions import Opaque, Struct
from ipclib import BadDeclaration
from tests.ipcc.compiling import errors, write

HEAD = """\
import attr, attrs, datetime, typing, typing as tp
from attrs import define, field, frozen as cold
from typing import ClassVar, Optional
from ipclib import ipc_type, i32, u8, double
import ipclib.gfx

"""
FUTURE = "from __future__ import annotations\n"


def declared(body: str, decorator: str = "attrs.frozen") -> str:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    return f"{HEAD}@ipc_type('P')\n@{decorator}\nclass P:\n{lines}"


def fields_in_python(text: str) -> list[str]:
    module = ModuleType("shapes")
    exec(text, module.__dict__)
    return [field.name for field in attrs.fields(module.P)]


def fields_read(folder: Path, text: str) -> list[str]:
    write(folder / "shapes.py", text)
    write(folder / "A.ipc", '#include "shapes.py"\nendpoint A { f(P p) =| }')
    (found,) = model_of([str(folder / "A.ipc")]).definitions
    assert isinstance(found, Struct)
    return [field.name for field in found.fields]


READ = {
    "plain": ("a: i32\nb: 'double'", "attrs.frozen"),
    "with defaults": ("a: i32\nb: i32 = 3\nc: i32 = field(default=4)", "define"),
    "under other names": ("a: i32", "cold"),
    "classic": ("a: i32", "attr.s(auto_attribs=True)"),
    "keyword only": ("a: i32 = 1\nb: i32", "attrs.frozen(kw_only=True)"),
    "class variables": (
        "a: i32\nb: ClassVar[int] = 1\nc: typing.ClassVar = 2\nd: 'ClassVar[int]' = 3",
        "attrs.frozen",
    ),
    "a class whose name only contains the word": ("a: 'Optional[NotAClassVar]'", "attrs.frozen"),
    "constants, methods and classes": ("LIMIT = 3\na: i32\ndef b(self): ...\nclass C: pass", "attrs.frozen"),
    "validators": ("a: i32 = field()\n@a.validator\ndef _check(self, at, value): ...", "attrs.define"),
}


@pytest.mark.parametrize("future", ["", FUTURE], ids=["evaluated", "postponed"])
@pytest.mark.parametrize("case", READ)
def test_the_fields_of_a_class_are_those_that_attrs_has(case: str, future: str, tmp_path: Path) -> None:
    text = future + declared(*READ[case])
    if "NotAClassVar" in text:
        text = text.replace(
            "@ipc_type('P')", "@ipc_type('N')\n@attrs.frozen\nclass NotAClassVar:\n    x: i32\n@ipc_type('P')"
        )
        write(tmp_path / "shapes.py", text)
        write(tmp_path / "A.ipc", '#include "shapes.py"\nendpoint A { f(P p) =| }')
        assert [d.name for d in model_of([str(tmp_path / "A.ipc")]).definitions] == ["N", "P"]
    else:
        assert fields_read(tmp_path, text) == fields_in_python(text)


REFUSED = {
    "class variable that attrs does not see in a postponed annotation": (
        "a: i32\nb: tp.ClassVar[int] = 1",
        "attrs.frozen",
    ),
    "field that attrs takes for a class variable": ("a: i32\nb: 'ClassVarious'", "attrs.frozen"),
    "in an if": ("a: i32\nif True:\n    b: i32", "attrs.frozen"),
    "field without an annotation": ("a: i32\nb = field()", "attrs.frozen"),
    "by way of __annotations__": ("a: i32\n__annotations__['b'] = i32", "attrs.frozen"),
    "by a call": ("a: i32\n__annotations__.update(b=i32)", "attrs.frozen"),
    "deleted": ("a: i32\nb: i32\ndel __annotations__['b']", "attrs.frozen"),
    "by auto_attribs": ("a: i32\nb: i32 = field()", "attrs.frozen(auto_attribs=False)"),
    "by the classic default": ("a: i32\nb: i32 = attr.ib()", "attr.s"),
    "by these": ("a: i32", "attrs.frozen(these={})"),
    "by a transformer": ("a: i32", "attrs.frozen(field_transformer=print)"),
    "by unpacked arguments": ("a: i32", "attrs.frozen(**{'these': {}})"),
    "a name that the class binds": ("i32 = u8\na: i32", "attrs.frozen"),
    "a method that hides a type": ("a: double\ndef double(self): ...", "attrs.frozen"),
    "encode alone": ("a: i32\ndef encode(self, encoder): ...", "attrs.frozen"),
    "attrs of somebody else": ("a: i32", "tp.frozen"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_class_whose_text_does_not_tell_its_fields_is_refused(case: str, folder: Path) -> None:
    write("shapes.py", declared(*REFUSED[case]))
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(P p) =| }')
    assert errors("A.ipc").startswith("shapes.py:")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("i32 = u8", "the module gives 'i32' several meanings"),
        ("from elsewhere import i32", "the module gives 'i32' several meanings"),
        ("class i32: pass", "the module gives 'i32' several meanings"),
        ("for i32 in (): pass", "the module gives 'i32' several meanings"),
        ("str = i32", "'str' is not a type that can be sent"),
        ("def list(): ...", "'list[i32]' is not a type that can be sent"),
        ("class Optional: pass", "'Optional[i32]' is not a type that can be sent"),
    ],
)
def test_an_annotation_is_read_by_what_its_names_mean(folder: Path, line: str, reason: str) -> None:
    write(
        "shapes.py",
        declared("a: i32\nb: str\nc: list[i32]\nd: Optional[i32]").replace("\n\n", f"\n{line}\n", 1),
    )
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(P p) =| }')
    assert reason in errors("A.ipc")


@pytest.mark.parametrize(
    "body",
    [
        "encode = decode = print",
        "def encode(self, e): ...\ndecode = classmethod(print)",
        "def encode(self, e): ...\nif True:\n    def decode(self): ...",
        "from os import getcwd as encode, getcwd as decode",
    ],
)
def test_a_class_that_has_encode_and_decode_in_any_way_has_a_codec_of_its_own(
    tmp_path: Path, body: str
) -> None:
    write(tmp_path / "shapes.py", declared(f"a: i32\n{body}"))
    write(tmp_path / "A.ipc", '#include "shapes.py"\nendpoint A { f(P p) =| }')
    assert isinstance(model_of([str(tmp_path / "A.ipc")]).definitions.all[0], Opaque)


def test_a_field_may_be_named_encode(tmp_path: Path) -> None:
    assert fields_read(tmp_path, declared("encode: i32\ndecode: i32 = 2")) == ["encode", "decode"]


def test_an_optional_of_an_optional_is_one_as_it_is_to_python(tmp_path: Path) -> None:
    annotations = ["Optional[Optional[i32]]", "Optional[i32] | None", "Optional[i32 | None]", "None | i32"]
    body = "\n".join(f"a{n}: {annotation}" for n, annotation in enumerate(annotations))
    write(tmp_path / "shapes.py", declared(body))
    write(tmp_path / "A.ipc", '#include "shapes.py"\nendpoint A { f(P p) =| }')
    (found,) = model_of([str(tmp_path / "A.ipc")]).definitions
    assert [type.canonical for type in found.types] == ["Optional<i32>"] * 4


@pytest.mark.parametrize(
    "text",
    [
        "if True:\n    @ipc_type('P')\n    @attrs.frozen\n    class P:\n        a: i32\n",
        "try:\n    @ipc_type('P')\n    class P: pass\nexcept KeyError: ...\n",
        "@ipc_type('P')\n@attrs.frozen\nclass P:\n    a: i32\n@attrs.frozen\nclass P:\n    b: i32\n",
        "@ipc_type('P')\n@attrs.frozen\nclass P:\n    a: i32\nP = print\n",
        "@ipc_type('P')\n@ipc_type('Q')\n@attrs.frozen\nclass P:\n    a: i32\n",
        "import enum\n@ipc_type('P', **{'underlying': u8})\nclass P(enum.Enum):\n    A = 1\n",
    ],
)
def test_a_class_of_which_the_text_does_not_tell_that_it_is_registered_is_refused(
    folder: Path, text: str
) -> None:
    write("shapes.py", HEAD + text)
    write("A.ipc", '#include "shapes.py"\nendpoint A { f(i32 p) =| }')
    assert errors("A.ipc").startswith("shapes.py:")


# --- what no text tells is noticed when the generated module is imported ---


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, runs: str) -> None:
    """Compile for a module, then import what was generated with another one in its place."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "shapes_at_import", raising=False)
    write("shapes_at_import.py", text)
    write("A.ipc", '#include "shapes_at_import.py"\nendpoint A { f(P p) =| }')
    module = ModuleType("shapes_at_import")
    exec(runs, module.__dict__)
    monkeypatch.setitem(sys.modules, "shapes_at_import", module)
    ipcc.load("A.ipc")


INNER = "@ipc_type('Q')\n@attrs.frozen\nclass Q:\n    a: i32\n"


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("a: i32", "a: u8", r"P is P\{u8\}, and the generated module was made for P\{i32\}"),
        ("a: i32", "a: i32\n    b: i32", r"P is P\{i32,i32\}"),
        ("a: i32", "def encode(self, e): ...\n    def decode(self): ...", "P is P, and"),
        ("a: Q", "a: list[Q]", r"P is P\{Vector<Q>\}"),
        ("a: dict[str, Q]", "a: dict[str, Q | None]", r"P is P\{HashMap<String,Optional<Q>>\}"),
    ],
)
def test_a_class_that_is_another_than_the_compiler_read_is_refused_at_import(
    folder: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, named: str
) -> None:
    text = HEAD + INNER + declared(before).removeprefix(HEAD)
    imported(folder, monkeypatch, text, text)
    with pytest.raises(BadDeclaration, match=f"{named}.*run ipcc again"):
        imported(folder, monkeypatch, text, text.replace(before, after))


def test_a_class_with_fields_named_encode_and_decode_is_encoded_by_its_fields(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = declared("encode: i32\ndecode: u8")
    imported(folder, monkeypatch, text, text)


def test_a_class_that_only_another_class_uses_is_compared_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HEAD + INNER + declared("q: list[Q]").removeprefix(HEAD)
    with pytest.raises(BadDeclaration, match=r"Q is Q\{u8\}"):
        imported(folder, monkeypatch, text, text.replace("a: i32", "a: u8"))


def test_an_enum_that_a_decorator_changes_is_refused_at_import(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HEAD + (
        "import enum\n"
        "def doubled(kind):\n"
        "    return enum.Enum('P', {name: 2 * value.value for name, value in kind.__members__.items()})\n"
        "@ipc_type('P')\n@doubled\nclass P(enum.Enum):\n    A = 1\n    B = A\n"
    )
    with pytest.raises(BadDeclaration, match=r"P is P:i32\{2,2\}, .* P:i32\{1,1\}"):
        imported(folder, monkeypatch, text, text)


def test_every_type_is_spelled_by_the_runtime_as_by_the_compiler(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "unsigned", "size_t", "float_", "double")
    values = ("File", "URL", "Origin", "ProxyData", "OpenMode", "AnonymousBuffer", "Duration", "UnixDateTime")
    pixels = (
        "IntPoint",
        "IntSize",
        "IntRect",
        "FloatPoint",
        "FloatSize",
        "FloatRect",
        "Color",
        "ShareableBitmap",
    )
    annotations = [f"ipclib.{name}" for name in (*numbers, *values)] + [
        f"ipclib.gfx.{name}" for name in pixels
    ]
    annotations += [
        "str",
        "bytes",
        "bool",
        "datetime.datetime",
        "list[str]",
        "dict[str, 'P']",
        "Optional['P']",
    ]
    text = declared("\n".join(f"a{n}: {annotation}" for n, annotation in enumerate(annotations)))
    imported(folder, monkeypatch, text, text)
