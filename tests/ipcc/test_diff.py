"""Owns the tests of `ipcc diff` as a command, and of the promise that it overlooks nothing.

Must not know the kinds of changes: those are in the files named for what changes.
"""

from __future__ import annotations

import ast
import json
import random
import re
from pathlib import Path

import pytest

from ipcc.cli import main
from ipcc.compiler import compile_files, model_of
from ipcc.diagnostics import CompileError
from ipcc.diff import Breaks
from tests.ipcc import test_diff_endpoints, test_diff_messages, test_diff_types
from tests.ipcc.changed_interfaces import changes, endpoint
from tests.ipcc.compiling import write


def test_there_are_cases_of_every_kind() -> None:
    cases = [*test_diff_messages.CASES, *test_diff_endpoints.CASES, *test_diff_types.CASES]
    assert len(cases) >= 60


def random_interface(dice: random.Random) -> str:
    """One of few interfaces, so that two are often alike."""

    def parameters() -> str:
        names = dice.sample("abc", dice.randrange(3))
        return ", ".join(f"{dice.choice(['i32', 'i64', 'Size', 'Vector<Kind>'])} {name}" for name in names)

    def message(name: str) -> str:
        return f"{name}({parameters()}) {dice.choice(['=|', f'=> ({parameters()})'])}"

    messages = [message(name) for name in dice.sample(["first", "second", "third"], dice.randrange(4))]
    size = dice.choice(["i32 w; i32 h;", "i32 w; u8 h;", "i32 h;"])
    kind = dice.choice(["CITY, RIVER", "CITY = 0, LAKE = 1", "RIVER"])
    return f"struct Size {{ {size} }} enum Kind {{ {kind} }} {endpoint(*messages)}"


@pytest.mark.slow
def test_diff_notices_every_message_that_peers_would_refuse(tmp_path: Path) -> None:
    dice = random.Random(33)
    old, new = tmp_path / "old.ipc", tmp_path / "new.ipc"
    refusals = 0
    for _ in range(300):
        old.write_text(random_interface(dice))
        new.write_text(random_interface(dice))
        refused = identities(old) - identities(new)
        refusals += bool(refused)
        assert any(Breaks.WIRE in change.breaks for change in changes(old, new)) or not refused
        assert changes(old, old) == ()
    assert refusals < 300


def identities(path: Path) -> set[tuple[int, int, int]]:
    """The numbers by which peers recognize messages: magic, id and signature."""
    endpoints = model_of([str(path)]).endpoints
    return {(endpoint.magic, m.id, m.signature) for endpoint in endpoints for m in endpoint.messages}


def names_in_python(path: Path) -> set[str]:
    """All that a program can name in a generated module: classes, methods, parameters, fields, values."""
    found: set[str] = set()

    def walk(body: list[ast.stmt], inside: str) -> None:
        for node in body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                found.add(f"{inside}{node.name}")
                walk(node.body if isinstance(node, ast.ClassDef) else [], f"{inside}{node.name}.")
            if isinstance(node, ast.FunctionDef) and not inside.endswith("Stub."):
                found.update(
                    f"{inside}{node.name}({a.arg})" for a in (*node.args.args, *node.args.kwonlyargs)
                )
            elif isinstance(node, ast.Assign):
                found.update(f"{inside}{t.id}" for t in node.targets if isinstance(t, ast.Name))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(f"{inside}{node.target.id}")
            elif isinstance(node, ast.ImportFrom):
                found.update(f"{inside}{a.asname or a.name} of {node.module}" for a in node.names)

    walk(ast.parse(compile_files([str(path)])).body, "")
    return {name for name in found if not re.search(r"(^|\.)_", name)}


def crowded_interface(dice: random.Random) -> str:
    """An interface whose declarations often want the same names in Python."""
    names = [
        "get",
        "Get",
        "GetResponse",
        "async_get",
        "list",
        "a",
        "MAGIC",
        "Ink::Dot",
        "Pen::Dot",
        "annotations",
    ]
    types = dice.sample(names, dice.randrange(4))
    includes = dice.choice(["", '#include "kinds.py"\n', "#include <far/kinds.py>\n"])
    kind = ["Kind"] if includes else []
    declared = "".join(f"struct {name} {{ i32 a; i8 {dice.choice(['list', 'Get'])}; }}\n" for name in types)
    used = ", ".join(f"{type} a{number}" for number, type in enumerate([*types, *kind]))
    answer = dice.choice(["=|", "=> ()", "=> (i32 a)", "=> (i32 a, i32 b)"])
    others = dice.choice(["", "endpoint T { get() =| }", "endpoint MAGIC { get() => () }"])
    return f"{includes}{declared}{endpoint(f'get({used}) {answer}', 'list(i32 a, i32 get) =|')}{others}"


@pytest.mark.slow
def test_diff_notices_every_name_in_python_that_goes(folder: Path) -> None:
    enum = (
        "import enum\nfrom ipclib import ipc_type\n\n\n@ipc_type('Kind')\nclass Dot(enum.Enum):\n    A = 1\n"
    )
    for module in ("kinds.py", "far/kinds.py"):
        write(module, enum)
    dice = random.Random(12)
    old, new = Path("old.ipc"), Path("new.ipc")
    losses = 0
    for _ in range(300):
        write(old, crowded_interface(dice))
        write(new, crowded_interface(dice))
        try:
            lost = names_in_python(old) - names_in_python(new)
        except CompileError:
            continue
        losses += bool(lost)
        found = changes(old, new)
        assert any(Breaks.SOURCE in change.breaks for change in found) or not lost, (lost, found)
    assert losses > 100


@pytest.mark.parametrize(
    ("addition", "change"),
    [
        (
            "struct GetResponse { i32 x; }",
            "S.get has another class of its answer in Python: GetResponse -> GetResponse_",
        ),
        ("struct Get { i32 x; }", "S.get has another class of its message in Python: Get -> Get_"),
        ("struct get { i32 x; }", "S.get has another name in Python: get -> get_"),
        ("struct async_get { i32 x; }", "S.get has another name in Python: get -> get_"),
        ("struct b { i32 x; }", "S.get parameter 'b' has another name in Python: b -> b_"),
        ("struct Far::Dot { i32 x; }", "Ink::Dot has another name in Python: Dot -> InkDot"),
    ],
)
def test_a_declaration_may_change_the_python_name_of_another(
    tmp_path: Path, addition: str, change: str
) -> None:
    text = "struct Ink::Dot { i32 x; } " + endpoint("get(i32 b) => (i32 c, i32 d)")
    (tmp_path / "old.ipc").write_text(text)
    (tmp_path / "new.ipc").write_text(addition + text)
    shown = [str(change) for change in changes(tmp_path / "old.ipc", tmp_path / "new.ipc")]
    assert f"breaks source: {change}" in shown


def test_a_class_that_moves_to_another_module_breaks_source(folder: Path) -> None:
    enum = "import enum\nfrom ipclib import ipc_type\n@ipc_type('Kind')\nclass Kind(enum.Enum):\n    A = 1\n"
    write("near.py", enum)
    write("far.py", enum)
    own = "enum Kind { A = 1 }\n"
    for before, after, how in (
        ('#include "near.py"\n', '#include "far.py"\n', "near.Kind -> far.Kind"),
        ('#include "near.py"\n', own, "near.Kind -> the generated module"),
        (own, '#include "far.py"\n', "the generated module -> far.Kind"),
    ):
        write("old.ipc", before + endpoint("get(Kind k) =|"))
        write("new.ipc", after + endpoint("get(Kind k) =|"))
        (change,) = map(str, changes(Path("old.ipc"), Path("new.ipc")))
        assert change == f"breaks source: Kind comes from elsewhere in Python: {how}"


# --- the command ---


def test_the_command_prints_changes_and_exits_with_1_if_one_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.ipc", tmp_path / "new.ipc"
    old.write_text(endpoint("ping() => ()"))
    new.write_text(endpoint("ping() => ()", "more() =|"))
    assert main(["diff", str(old), str(new)]) == 0
    assert capsys.readouterr().out == "compatible: S.more was added\n"
    assert main(["diff", str(new), str(old)]) == 1
    assert capsys.readouterr().out == "breaks the wire and source: S.more was removed\n"
    assert main(["diff", str(new), str(old), "--json"]) == 1
    shown = [{"subject": "S.more", "change": "was removed", "breaks": ["wire", "source"]}]
    assert json.loads(capsys.readouterr().out) == shown
    assert main(["diff", str(old), str(old)]) == 0
    assert capsys.readouterr().out == ""


def test_a_version_that_does_not_compile_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.ipc"
    old.write_text(endpoint("ping() => ()"))
    assert main(["diff", str(old), str(tmp_path / "new.ipc")]) == 1
    assert "new.ipc: error: cannot read" in capsys.readouterr().err
