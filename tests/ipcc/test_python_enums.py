"""Owns the tests that the compiler reads an enum's members as Python has them, or refuses the enum.

Must not know how it reads them: each enum is run, and compared with what was read.
"""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ipcc.compiler import model_of
from ipcc.definitions import Enumeration
from ipcc.diagnostics import CompileError
from tests.ipcc.compiling import errors, write

HEAD = """\
import abc, enum, enum as e, functools
from enum import Enum, Enum as E, IntEnum, IntFlag, Flag, auto, member, nonmember, property as enum_property
from ipclib import ipc_type, i32, u8

class Named:
    def label(self):
        return self.name.title()

class Counted(enum.Enum):
    def count(self): ...

class Shifted:
    def __new__(cls, number):
        made = object.__new__(cls)
        made._value_ = number + 1
        return made

def also(method):
    return 7

"""


def declared(body: str, bases: str, decorators: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    return f"{HEAD}{decorators}@ipc_type('Pen')\nclass Pen({bases}):\n{lines}"


def members_in_python(text: str) -> dict[str, object]:
    module = ModuleType("pens")
    exec(text, module.__dict__)
    return {name: value.value for name, value in module.Pen.__members__.items()}


def members_read(folder: Path, text: str) -> dict[str, object]:
    write(folder / "pens.py", text)
    write(folder / "P.ipc", '#include "pens.py"\nendpoint P { draw(Pen pen) =| }')
    (pen,) = model_of([str(folder / "P.ipc")]).definitions
    assert isinstance(pen, Enumeration)
    return {enumerator.name: enumerator.number for enumerator in pen.enumerators}


READ = {
    "one in each line": ("A = 1\nB = 2", "enum.Enum"),
    "several by a tuple": ("A, B = 1, 2\n[C, D] = [3, 4]\n(E, (F, G)) = (5, (6, 7))", "enum.Enum"),
    "several targets": ("A = B = 1", "enum.Enum"),
    "annotated": ("A: int = 1\nB: 'str' = 2\nC: int", "enum.Enum"),
    "aliases by number": ("A = 1\nB = 1\nC = 2", "enum.Enum"),
    "aliases by name": ("A = 1\nB = A\nC: int = B", "enum.Enum"),
    "ignored by a list": ("_ignore_ = ['B', 'C']\nA = 1\nB = 2\nC = 'x'", "enum.Enum"),
    "ignored by a text": ("_ignore_ = 'B, C'\nA = 1\nB = 2", "enum.Enum"),
    "underscores": ("_A = 1\n__B = 2\n__c__ = 3\n_Pen__D = 4\nE_ = 5\n_order_ = '_A E_'", "enum.Enum"),
    "methods": (
        "A = 1\ndef f(self): ...\n@property\ndef g(self): ...\n@staticmethod\ndef h(): ...\nB = 2",
        "enum.Enum",
    ),
    "functions": ("A = 1\nf = lambda self: 2", "enum.Enum"),
    "nonmember": ("A = 1\nB = nonmember(2)", "enum.Enum"),
    "texts and pass": ("'''A doc.'''\nA = 1\n'''The A.'''\npass\n...", "enum.Enum"),
    "semicolons": ("A = 1; B = 2", "enum.Enum"),
    "numbers as they are written": ("A = 0x10\nB = -3\nC = 1_000\nD = +4", "enum.Enum"),
    "IntEnum": ("A = 1", "IntEnum"),
    "Flag": ("A = 1\nB = 2\nAB = 3", "Flag"),
    "IntFlag with a boundary": ("A = 1", "IntFlag, boundary=enum.KEEP"),
    "int and Enum": ("A = 1", "int, enum.Enum"),
    "imported under another name": ("A = 1", "E"),
    "by way of a module's other name": ("A = 1", "e.Enum"),
    "a base class of methods": ("A = 1", "Named, enum.Enum"),
    "an enum as base class": ("A = 1", "Counted"),
}


@pytest.mark.parametrize("case", READ)
def test_the_members_of_an_enum_are_those_that_python_has(case: str, tmp_path: Path) -> None:
    text = declared(*READ[case])
    assert members_read(tmp_path, text) == members_in_python(text)


@pytest.mark.parametrize("decorator", ["enum.unique", "functools.total_ordering"])
def test_a_decorator_leaves_the_members_as_they_are(decorator: str, tmp_path: Path) -> None:
    text = declared("A = 1\ndef __lt__(self, other): ...", "enum.Enum", f"@{decorator}\n")
    assert members_read(tmp_path, text) == members_in_python(text)


REFUSED = {
    "auto": ("A = auto()", "enum.Enum"),
    "computed": ("A = 1 << 2", "enum.Enum"),
    "of another class": ("A = Counted", "enum.Enum"),
    "in an if": ("C = 9\nif True:\n    A = 1", "enum.Enum"),
    "in a for": ("C = 9\nfor x in ():\n    pass", "enum.Enum"),
    "in a try": ("C = 9\ntry:\n    A = 1\nexcept KeyError:\n    pass", "enum.Enum"),
    "in a with": ("C = 9\nwith open('/dev/null'):\n    A = 1", "enum.Enum"),
    "by vars()": ("C = 9\nvars()['A'] = 1", "enum.Enum"),
    "by a call": ("C = 9\nvars().update(A=1)", "enum.Enum"),
    "by an import": ("C = 9\nfrom os import sep", "enum.Enum"),
    "by a class": ("C = 9\nclass A: pass", "enum.Enum"),
    "by a walrus": ("C = (A := 1)", "enum.Enum"),
    "by +=": ("A = 1\nA += 1", "enum.Enum"),
    "deleted": ("A = 1\nB = 2\ndel B", "enum.Enum"),
    "by a call that is unpacked": ("A, B = range(2)", "enum.Enum"),
    "by a star": ("A, *B = 1, 2", "enum.Enum"),
    "by a decorated method": ("C = 9\n@also\ndef A(self): ...", "enum.Enum"),
    "by member()": ("C = 9\n@member\ndef A(self): ...", "enum.Enum"),
    "ignored by a call": ("_ignore_ = list('A')\nA = 1", "enum.Enum"),
    "changed by __new__": ("A = 1\ndef __new__(cls, n): ...", "enum.Enum"),
    "changed by __init__": ("A = 1\ndef __init__(self, n):\n    self._value_ = 4", "enum.Enum"),
    "hidden by a property": ("A = 1\n@property\ndef value(self): ...", "enum.Enum"),
    "changed by a base class": ("A = 1", "Shifted, enum.Enum"),
    "changed by float": ("A = 1", "float, enum.Enum"),
    "changed by str": ("A = 1", "str, enum.Enum"),
    "of an unknown base class": ("A = 1", "abc.ABC, enum.Enum"),
    "with a metaclass": ("A = 1", "enum.Enum, metaclass=enum.EnumMeta"),
    "a negative flag": ("A = 1\nB = -1", "Flag"),
    "a reserved name": ("_a_ = 1", "enum.Enum"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_enum_whose_text_does_not_tell_its_members_is_refused(case: str, folder: Path) -> None:
    write("pens.py", declared(*REFUSED[case]))
    write("P.ipc", '#include "pens.py"\nendpoint P { draw(Pen pen) =| }')
    assert errors("P.ipc").startswith("pens.py:")


@pytest.mark.parametrize(
    "lines",
    [
        "from os import curdir as Enum",
        "import enum as enum\nenum = e",
        "for enum in (e,): pass",
        "def Enum(): ...",
        "def f():\n    global Enum\n    Enum = 1",
        "try:\n    from enum import Enum\nexcept ImportError as Enum:\n    pass",
    ],
)
def test_a_name_that_is_bound_again_is_not_taken_for_what_was_imported(folder: Path, lines: str) -> None:
    base = "enum.Enum" if "enum =" in lines or "for enum" in lines else "Enum"
    write("pens.py", declared("A = 1", base).replace("class Named", f"{lines}\nclass Named"))
    write("P.ipc", '#include "pens.py"\nendpoint P { draw(Pen pen) =| }')
    assert errors("P.ipc").startswith("pens.py:")


def test_an_import_inside_of_a_function_means_nothing_outside(folder: Path) -> None:
    text = declared("A = 1", "enum.Enum") + "\ndef f():\n    from ipclib import u8 as u16\n"
    write("pens.py", text.replace("@ipc_type('Pen')", "@ipc_type('Pen', underlying=u16)"))
    write("P.ipc", '#include "pens.py"\nendpoint P { draw(Pen pen) =| }')
    assert "'u16' cannot be the type of an enum" in errors("P.ipc")


def test_the_type_of_an_enum_is_one_of_ipclib_s_integers(folder: Path) -> None:
    text = declared("A = 1", "enum.Enum").replace("u8\n", "u8\nfrom elsewhere import u64\n")
    write("P.ipc", '#include "pens.py"\nendpoint P { draw(Pen pen) =| }')
    for number in ("u64", "int", "str", "7", "u8 | None"):
        write("pens.py", text.replace("@ipc_type('Pen')", f"@ipc_type('Pen', underlying={number})"))
        assert f"'{number}' cannot be the type of an enum" in errors("P.ipc")


def test_the_rules_of_this_python_are_those_that_are_read() -> None:
    """If a later Python makes members of other names, this test says so first."""

    class Kind(enum.Enum):
        _A = 1
        __private = 2
        __dunder__ = 3
        B_ = 4

    assert list(Kind.__members__) == ["_A", "B_"], sys.version


def test_no_enum_is_read_in_part(tmp_path: Path) -> None:
    for case in REFUSED:
        with pytest.raises(CompileError):
            members_read(tmp_path, declared(*REFUSED[case]))
