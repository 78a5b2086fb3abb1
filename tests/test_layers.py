"""Owns the tests of the arrows in docs/architecture.md, and of the names that ipcc knows only as text.
Must not know anything else about the files."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from functools import cache
from pathlib import Path

import pytest

import corelib
import corelib.turn
import ipclib
import ipclib.generated
from ipcc import compile_files, reserved

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "corelib": {"attrs"},
    "ipclib": {"attrs", "corelib"},
    "ipcc": {"attrs"},
    "pytest_ipclib": {"corelib", "ipclib", "pytest"},
    "ipctools": {"attrs", "corelib", "ipcc", "ipclib"},
    "demos": {"attrs", "corelib", "ipclib", "demos"},
}
# The lower storey of ipclib. Shared memory is made of a corelib class; NotCopied does no input or output.
SANS_IO = ("errors.py", "gfx.py", "limits.py", "protocol", "rate.py", "showing.py", "values")
OF_CORELIB = {
    "corelib.AnonymousBuffer",
    "corelib.BufferRefused",
    "corelib.TimedOut",
    "corelib.WrongThread",
} | {"corelib.turn.NotCopied"}
# Of corelib's ThreadLoop, for ipclib; ThreadLoop's docstring lists the same.
PUBLIC_IN_A_THREAD_LOOP = {
    "instruments",
    "closed",
    "depth",
    "ident",
    "now_ns",
    "queue.post",
    "turn",
    "turn_end.append",
}


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def _imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            is_folder = (ROOT / node.module.replace(".", "/")).is_dir()
            found.update(f"{node.module}.{alias.name}" if is_folder else node.module for alias in node.names)
    return found


def _files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_arrows_point_one_way(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package} | sys.stdlib_module_names
    for file in _files(package):
        strangers = {name for name in _imports(file) if name.partition(".")[0] not in allowed}
        assert not strangers, f"{file.relative_to(ROOT)} imports {', '.join(sorted(strangers))}"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_file_depends_on_itself(package: str) -> None:
    files = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in _files(package)}
    graph = {name: _imports(file) & files.keys() for name, file in files.items() if not name.endswith("__")}
    graphlib.TopologicalSorter(graph).prepare()


def test_the_turn_imports_nothing_that_hangs_on_the_loop() -> None:
    for file in _files("corelib/turn"):
        ours = {name for name in _imports(file) if name.startswith("corelib")}
        assert all(name.startswith(("corelib.turn.", "corelib.errors")) for name in ours), file


@pytest.mark.parametrize("part", SANS_IO)
def test_the_lower_storey_of_ipclib_has_no_input_or_output(part: str) -> None:
    upper = {"corelib", "socket", "select", "selectors", "asyncio"}
    storey = tuple(f"ipclib.{name.removesuffix('.py')}" for name in SANS_IO)
    for file in _files(f"ipclib/{part}") or [ROOT / "ipclib" / part]:
        for name in _imports(file) - OF_CORELIB:
            assert name.partition(".")[0] not in upper, (file, name)
            assert not name.startswith("ipclib") or name.startswith(storey), (file, name)


def test_corelib_names_no_package_above_it() -> None:
    for file in (ROOT / "corelib").rglob("*.py"):
        assert not re.search("ipclib|ipcc|LibIPC", file.read_text()), file


@pytest.mark.parametrize("folder", ["corelib", "tests/corelib"])
def test_each_file_of_corelib_says_what_it_owns_and_what_it_must_not_know(folder: str) -> None:
    for file in _files(folder):
        header = " ".join((ast.get_docstring(_tree(file)) or "").split())
        assert re.match(r"Owns \S", header), file
        assert re.search(r"\. Must not know \S", header), file
        assert "#:" not in file.read_text(), f"{file}: an attribute is explained by a string below it"


def test_the_packages_above_corelib_come_to_it_by_its_two_doors() -> None:
    """The names of `corelib.__all__` and `corelib.turn.__all__`, and of a ThreadLoop what is public there."""
    doors = {"corelib": set(corelib.__all__), "corelib.turn": set(corelib.turn.__all__)}
    for file in _files("ipclib") + _files("ipctools"):
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.Import):
                assert not any(alias.name.partition(".")[0] == "corelib" for alias in node.names), file
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "corelib":
                assert node.module in doors, f"{file} imports {node.module}"
                strangers = {alias.name for alias in node.names} - doors[node.module]
                assert not strangers, f"{file} imports {strangers} from {node.module}"


@pytest.mark.parametrize("file", _files("ipclib"), ids=str)
def test_ipclib_reads_only_the_public_part_of_a_thread_loop(file: Path) -> None:
    assert corelib.turn.ThreadLoop.__doc__
    assert all(f"`{name}`" in corelib.turn.ThreadLoop.__doc__ for name in PUBLIC_IN_A_THREAD_LOOP)
    strangers = _read_of_thread_loops(_tree(file)) - PUBLIC_IN_A_THREAD_LOOP
    assert not strangers, f"{file} reads {strangers} of a ThreadLoop"


def test_the_check_of_thread_loops_sees_fields_parameters_locals_and_calls() -> None:
    source = """
class A:
    def __init__(self, given: ThreadLoop) -> None:
        self._thread = current_thread_loop()
        given.poller
    def b(self) -> None:
        thread = self._thread
        thread.timers
        self._thread.queue.items.clear()
        other._thread.depth
        current_thread_loop().wakeup.wake()
"""
    read = _read_of_thread_loops(ast.parse(source))
    assert read == {"poller", "timers", "queue.items", "depth", "wakeup.wake"}


def _read_of_thread_loops(tree: ast.Module) -> set[str]:
    """What a module reads of ThreadLoops: an attribute, with one of its own for the queues."""
    names = _names_of_thread_loops(tree)
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    read: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_thread_loop(node.value, names):
            outer = parents[node]
            read.add(f"{node.attr}.{outer.attr}" if isinstance(outer, ast.Attribute) else node.attr)
    return read


def _names_of_thread_loops(tree: ast.Module) -> set[str]:
    """The names and fields of a module that are annotated as a ThreadLoop, or to which one is assigned."""
    nodes = list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        annotation = node.annotation if isinstance(node, ast.AnnAssign | ast.arg) else None
        if annotation is not None and "ThreadLoop" in ast.unparse(annotation):
            names |= _name_of(node.target if isinstance(node, ast.AnnAssign) else node)
    assignments = [node for node in nodes if isinstance(node, ast.Assign)]
    before = -1
    while len(names) > before:
        before = len(names)
        for node in assignments:
            if _is_thread_loop(node.value, names):
                names.update(*map(_name_of, node.targets))
    return names


def _is_thread_loop(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is what current_thread_loop() returns, or one of the names of ThreadLoops."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "current_thread_loop"
    return not names.isdisjoint(_name_of(node))


def _name_of(node: ast.expr | ast.arg) -> set[str]:
    """The name of a variable, field or parameter; nothing of another expression."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
            return {name}
    return set()


FOLDERS_OF_IPCLIB = ("values", "protocol", "connection", "service", "testing")


@pytest.mark.parametrize("folder", FOLDERS_OF_IPCLIB)
def test_a_folder_of_ipclib_knows_only_the_folders_below_it(folder: str) -> None:
    above = FOLDERS_OF_IPCLIB[FOLDERS_OF_IPCLIB.index(folder) + 1 :]
    for file in _files(f"ipclib/{folder}"):
        for name in _imports(file):
            assert not name.startswith(tuple(f"ipclib.{upper}" for upper in above)), (file, name)


def test_the_layout_of_frames_has_one_home() -> None:
    """Sizes, offsets and struct formats of a frame stand in wire.py; its neighbours use them by name."""
    for file in _files("ipclib/protocol") + _files("ipclib/connection"):
        if file.name == "wire.py":
            continue
        tree = _tree(file)
        numbers = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert not numbers & {8, 12, 20, 24, -4, 0x4950432B}, file
        assert "struct" not in _imports(file), file


@pytest.mark.parametrize("package", ["corelib", "ipclib", "ipcc", "ipctools", "pytest_ipclib", "demos"])
def test_no_file_reads_a_private_name_of_another(package: str) -> None:
    of_others = {("asyncio_bridge.py", "_get_running_loop")}  # asyncio has no public function for it.
    for file in _files(package):
        if file.name.endswith("_ipc.py"):
            continue
        tree = _tree(file)
        own = _names_defined(tree)
        read = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls")
        }
        imported = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        private = {name for name in read | imported if name.startswith("_") and not name.startswith("__")}
        assert not {name for name in private - own if (file.name, name) not in of_others}, file


def _names_defined(tree: ast.Module) -> set[str]:
    """Functions, classes, and what is assigned to, slots by their texts."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return names


def test_generated_modules_import_only_public_names() -> None:
    for file in (ROOT / "demos").rglob("*_ipc.py"):
        assert {name.partition(".")[0] for name in _imports(file)} <= {
            "__future__",
            "builtins",
            "struct",
            "ipclib",
        }


@pytest.mark.parametrize("package", ["corelib", "ipclib"])
def test_nothing_from_the_wire_is_ever_executed(package: str) -> None:
    for file in _files(package):
        assert not _imports(file) & {"pickle", "marshal", "shelve"}, file
        called = {
            node.func.id
            for node in ast.walk(_tree(file))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"eval", "exec", "compile", "__import__"}, file


def test_one_file_registers_what_a_forked_child_forgets() -> None:
    users = {
        file.relative_to(ROOT)
        for package in ("corelib", "ipclib")
        for file in _files(package)
        if "register_at_fork(" in file.read_text()
    }
    assert users == {Path("corelib/turn/forked.py")}


def test_one_file_polls() -> None:
    users = {
        file.name for file in _files("corelib") + _files("ipclib") if _imports(file) & {"select", "selectors"}
    }
    # The bridge is the second, because asyncio waits on a selector.
    assert users == {"poller.py", "asyncio_bridge.py"}


def test_the_compiler_reserves_every_public_name_of_a_connection() -> None:
    public = {
        name
        for connection in (ipclib.ConnectionToServer, ipclib.ConnectionFromClient)
        for name in dir(connection)
        if not name.startswith("_")
    }
    assert public <= set(reserved.CONNECTION_NAMES)


def test_the_runtime_lists_every_name_that_generated_code_uses() -> None:
    golden = ROOT / "tests" / "wire"
    text = compile_files([str(golden / "Gold.ipc")], types=[str(golden / "gold_types.py")])
    text += compile_files([str(ROOT / "tests" / "ipcc" / "Atlas.ipc")])
    used = set(re.findall(r"\b_ipc\.(\w+)", text))
    assert len(used) > 40
    assert used <= set(ipclib.generated.__all__)
