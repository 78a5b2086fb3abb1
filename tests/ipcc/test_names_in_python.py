"""Owns the tests that a name or a text of an interface means in Python what it means in the interface.

Must not know how a name is changed, only that each scope of a generated module stays its own.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import typing
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ipcc
from ipcc.compiler import compile_sources, model_of
from ipcc.reserved import CLASS_NAMES, MODULE_NAMES
from ipcc.source import Source
from tests.ipcc.compiling import round_trip, write

ROOT = Path(__file__).parent.parent.parent

RESERVED = (*CLASS_NAMES, *MODULE_NAMES)


def loaded(text: str) -> Any:
    module = ModuleType("names_ipc")
    exec(compile_sources([Source("x.ipc", text)]), module.__dict__)
    return module


def interface(name: str) -> str:
    """An interface that uses a type and an endpoint of a name wherever a module refers to one."""
    return f"""
struct {name} {{ i32 a; }}
endpoint XServer
{{
    get() => ({name} v)
    maybe({name} v) => (Optional<{name}> v)
    both(Vector<{name}> v) => ({name} v, {name} w)
    set(HashMap<String, {name}> v) =|
}}
endpoint XClient {{ got({name} v) => (Vector<{name}> v) }}
endpoint Y{name} {{ get() => (i32 a, i32 b) }}
"""


@pytest.mark.parametrize("name", [*RESERVED, "Endpoint", "Get", "GetResponse", "async_get", "XServerProxy_"])
def test_a_type_may_have_the_name_of_what_an_endpoint_class_has(name: str) -> None:
    module = loaded(interface(name))
    python = next(
        c
        for c in vars(module).values()
        if isinstance(c, type) and c.__name__.startswith(name) and "a" in c.__annotations__
    )
    server = module.XServer
    assert isinstance(server.MAGIC, int)
    assert server.SCHEMA.startswith(f"struct {name}\n")
    maybe = next(c for c in vars(server).values() if getattr(c, "__name__", "").startswith("MaybeResponse"))
    assert round_trip(maybe, python(3)) == (python(3),)
    for side in (module.XServerProxy, module.XServerStub, module.XClientProxy, module.XClientStub):
        for method in vars(side).values():
            if callable(method):
                assert (
                    python.__name__ in str(typing.get_type_hints(method, vars(module)))
                    or not method.__annotations__
                )


@pytest.mark.parametrize("name", RESERVED)
def test_an_endpoint_may_have_the_name_of_what_its_class_has(name: str) -> None:
    module = loaded(f"endpoint {name} {{ get() => (i32 a, i32 b) ping() =| }}")
    python = getattr(module, f"{name}_")
    assert python.SCHEMA.startswith(f"endpoint {name}\n")
    assert round_trip(python.GetResponse, 1, 2) == (1, 2)


def names_that_an_annotation_finds_in_its_class(tree: ast.Module) -> list[str]:
    """Names in the annotations and bases of a class's members that the class itself binds.

    A type checker looks them up there first, and so does Python for a base class.
    """
    found: list[str] = []
    for owner in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        bound = {n.name for n in owner.body if isinstance(n, (ast.ClassDef, ast.FunctionDef))}
        bound |= {
            t.id
            for n in owner.body
            if isinstance(n, ast.Assign)
            for t in n.targets
            if isinstance(t, ast.Name)
        }
        bound |= {
            n.target.id for n in owner.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
        }
        for member in owner.body:
            looked_up: list[ast.AST | None] = []
            if isinstance(member, ast.ClassDef):
                looked_up += member.bases
            elif isinstance(member, ast.FunctionDef):
                looked_up += [
                    member.returns,
                    *(a.annotation for a in (*member.args.args, *member.args.kwonlyargs)),
                ]
            elif isinstance(member, ast.AnnAssign):
                looked_up.append(member.annotation)
            names = [n for part in looked_up if part for n in ast.walk(part)]
            texts = [n.value for n in names if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            used = {n.id for n in names if isinstance(n, ast.Name)}
            used |= {word for text in texts for word in re.findall(r"^\w+", text)}
            found += [f"{owner.name}.{name}" for name in sorted(used & bound)]
    return found


@pytest.mark.parametrize(
    "name",
    [*RESERVED, "get", "Get", "GetResponse", "async_get", "async_set", "Maybe", "v", "w", "list", "a"],
)
def test_no_scope_of_a_module_hides_a_class_that_it_refers_to(name: str) -> None:
    text = interface(name) + f"struct Holder {{ {name} {name}; Vector<{name}> u; }}\n"
    tree = ast.parse(compile_sources([Source("x.ipc", text)]))
    assert names_that_an_annotation_finds_in_its_class(tree) == []


def test_the_search_for_hidden_names_finds_one() -> None:
    tree = ast.parse("class A:\n    S = 1\n    class B(P[S]): ...\n    def f(self) -> S: ...\n")
    assert names_that_an_annotation_finds_in_its_class(tree) == ["A.S", "A.S"]


@pytest.mark.skipif(find_spec("pyright") is None, reason="pyright is not installed")
@pytest.mark.slow
def test_pyright_accepts_a_module_whose_types_have_reserved_names(tmp_path: Path) -> None:
    for name in (*RESERVED, "async_get", "Get"):
        (tmp_path / f"{name.lower()}_ipc.py").write_text(compile_sources([Source("x.ipc", interface(name))]))
    config = f'{{"extraPaths": ["{ROOT}"], "pythonVersion": "3.11", "typeCheckingMode": "strict"}}'
    (tmp_path / "pyrightconfig.json").write_text(config)
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["_K", "__K", "_ipc", "_", "__", "_Struct", "_attrs"])
def test_a_registered_class_with_a_private_name_gets_another_in_the_module(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "private_kinds", raising=False)
    write(
        "private_kinds.py",
        f"import enum\nfrom ipclib import ipc_type\n@ipc_type('K')\nclass {name}(enum.Enum):\n    A = 1\n",
    )
    write("A.ipc", '#include "private_kinds.py"\nstruct S { K k; }\nendpoint A { f(K k, S s) => (K k) }')
    module = ipcc.load("A.ipc")
    kind = getattr(sys.modules["private_kinds"], name)
    assert round_trip(module.A.F, kind.A, module.S(kind.A)) == (kind.A, module.S(kind.A))
    hints = typing.get_type_hints(module.AStub.f, vars(module))
    assert hints["k"] is kind
    monkeypatch.delitem(sys.modules, "private_kinds")


# --- texts ---

LINE_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What str.splitlines takes for the end of a line, and no file of ours does."""


@pytest.mark.parametrize("end", LINE_ENDS, ids=lambda end: f"U+{ord(end):04X}")
def test_a_comment_may_hold_what_some_take_for_the_end_of_a_line(end: str, tmp_path: Path) -> None:
    path = tmp_path / "X.ipc"
    path.write_text(
        f"/// before{end}after\nendpoint X\n{{\n    /// one{end}two {end}\n    get(S s) =|\n}}\n"
        f"/// an{end}other\nstruct S {{ /// fi{end}eld\n i32 a; }}\n"
        f"/// E{end}E\nenum E {{ /// A{end}A\n A }}",
        encoding="utf-8",
        newline="",
    )
    module = ipcc.load(path)
    assert f"/// before{end}after\nendpoint X\n" in module.X.SCHEMA
    assert f"    /// one{end}two" in module.X.SCHEMA
    assert module.X.__doc__ == f"before{end}after"
    assert module.S.__doc__ == f"an{end}other"
    assert round_trip(module.X.Get, module.S(1)) == (module.S(1),)
    again = tmp_path / "Again.ipc"
    again.write_text(module.X.SCHEMA, encoding="utf-8", newline="")
    assert ipcc.load(again).X.SCHEMA == module.X.SCHEMA
    assert model_of([str(again)]).endpoints[0].messages == model_of([str(path)]).endpoints[0].messages
    before = compile_sources([Source("X.ipc", path.read_text())])
    assert all(len(line) < 200 for line in before.split("\n"))
    assert before.splitlines() == before.removesuffix("\n").split("\n")


@pytest.mark.parametrize("end", [*LINE_ENDS, "\\r", "\\r\\n", "\\ud800", "\\0"], ids=ascii)
def test_a_docstring_of_a_registered_class_may_hold_it_too(end: str, folder: Path) -> None:
    write("kinds.py", "")
    Path("kinds.py").write_text(
        "import enum\nfrom ipclib import ipc_type\n@ipc_type('K')\n"
        f"class K(enum.Enum):\n    '''one{end}two'''\n    A = 1\n",
        encoding="utf-8",
        newline="",
    )
    write("A.ipc", '#include "kinds.py"\nendpoint A { f(K k) =| }')
    schema = model_of(["A.ipc"]).endpoints[0].schema
    Path("Again.ipc").write_bytes(schema.encode())
    assert model_of(["Again.ipc"]).endpoints[0].schema == schema


def test_no_line_is_split_as_str_splitlines_splits_it() -> None:
    users = [path.name for path in sorted((ROOT / "ipcc").glob("*.py")) if "splitlines(" in path.read_text()]
    assert users == [], "split at '\\n': a comment may hold U+2028"
