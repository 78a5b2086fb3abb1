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

import ipclib
import ipclib.generated
from ipcc import compile_files, reserved

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "corelib": {"attrs"},
    "ipclib": {"attrs", "corelib"},
    "ipcc": {"attrs"},
    "demos": {"attrs", "corelib", "ipclib", "demos"},
}
SANS_IO = ("errors.py", "file.py", "gfx.py", "limits.py", "protocol", "rate.py", "values")
"""The lower storey of ipclib, without input or output."""
OF_SHARED_MEMORY = {"corelib.AnonymousBuffer", "corelib.BufferRefused"}
"""The only names of corelib there: shared memory is a corelib class."""


@cache
def _imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
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
        for name in _imports(file) - OF_SHARED_MEMORY:
            assert name.partition(".")[0] not in upper, (file, name)
            assert not name.startswith("ipclib") or name.startswith(storey), (file, name)


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
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"eval", "exec", "compile", "__import__"}, file


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
