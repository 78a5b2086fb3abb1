"""Owns the tests on interfaces as large as those of a desktop: they compile, format and are typed.

Must not know what is in the interfaces, only that it is a lot.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from ipcc.cli import main
from ipcc.compiler import compile_files, model_of

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DESKTOP = HERE / "desktop"
INTERFACES = sorted(DESKTOP.glob("*.ipc"))
REPOSITORY = sorted(path for name in ("tests", "demos") for path in (ROOT / name).rglob("*.ipc"))
TYPES = {"Gold.ipc": ["gold_types.py"], "Entering.ipc": ["entering_types.py"]}
"""Interfaces whose types are given with `--types`, and the files next to them that hold the types."""

needs_mypy = pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
needs_pyright = pytest.mark.skipif(find_spec("pyright") is None, reason="pyright is not installed")


def compiled(path: Path) -> str:
    return compile_files([str(path)], types=[str(path.parent / name) for name in TYPES.get(path.name, [])])


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the modules of all interfaces, with the Python files that they include."""
    folder = tmp_path_factory.mktemp("desktop")
    for path in INTERFACES:
        (folder / f"{path.stem.lower()}_ipc.py").write_text(compiled(path))
    for path in DESKTOP.glob("*.py"):
        shutil.copy(path, folder)
    return folder


def run(*command: str, folder: Path, **environment: str) -> str:
    """The output of a command that fails; empty if it succeeds."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


# --- the files themselves ---


def test_the_interfaces_are_as_large_as_those_of_a_desktop() -> None:
    counts = {path.name: sum(len(e.messages) for e in model_of([str(path)]).endpoints) for path in INTERFACES}
    assert len(counts) == 11
    assert len([count for count in counts.values() if 60 <= count <= 150]) == 3, counts
    assert not (DESKTOP / "Lookup.ipc").read_bytes().endswith(b"\n")
    assert (DESKTOP / "Launch.ipc").read_bytes().count(b"\r\n") > 10


# --- compiling ---


@pytest.mark.parametrize(
    "path",
    [*INTERFACES[:3], *(pytest.param(path, marks=pytest.mark.slow) for path in INTERFACES[3:])],
    ids=lambda path: path.stem,
)
def test_output_is_deterministic(path: Path) -> None:
    assert compiled(path) == compiled(path)


@pytest.mark.slow
def test_output_does_not_depend_on_hashes(modules: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from ipcc.compiler import compile_files
for path in sys.argv[1:]:
    module = Path(Path(path).stem.lower() + "_ipc.py")
    assert module.read_text() == compile_files([path]), path
"""
    for seed in ("1", "2"):
        assert run("-c", script, *map(str, INTERFACES), folder=modules, PYTHONHASHSEED=seed) == ""


@pytest.mark.slow
def test_all_modules_can_be_imported_together(modules: Path) -> None:
    names = sorted(path.stem for path in modules.glob("*_ipc.py"))
    assert len(names) == len(INTERFACES)
    assert run("-c", f"import {', '.join(names)}", folder=modules, PYTHONPATH=str(ROOT)) == ""


@pytest.mark.slow
@needs_mypy
def test_mypy_accepts_all_modules_in_strict_mode(modules: Path, tmp_path: Path) -> None:
    command = ["--strict", "--follow-imports=silent", "--python-version=3.11", "--config-file="]
    files = sorted(str(path) for path in modules.glob("*.py"))
    assert (
        run("-m", "mypy", *command, f"--cache-dir={tmp_path}", *files, folder=ROOT, MYPYPATH=str(modules))
        == ""
    )


@pytest.mark.slow
@needs_pyright
def test_pyright_accepts_all_modules_in_strict_mode(modules: Path) -> None:
    for name in ("Atlas", "Awkward", "GoldenClock"):
        (modules / f"{name.lower()}_ipc.py").write_text(compiled(HERE / f"{name}.ipc"))
    config = f'{{"extraPaths": ["{ROOT}"], "pythonVersion": "3.11", "typeCheckingMode": "strict"}}'
    (modules / "pyrightconfig.json").write_text(config)
    assert run("-m", "pyright", "--pythonpath", sys.executable, folder=modules) == ""


# --- formatting ---


def comments_of(path: Path) -> list[str]:
    return [comment.rstrip() for comment in re.findall(r"//.*", path.read_text())]


def words(comments: list[str]) -> Counter[str]:
    """The words of comments: two comments at the end of a line may be joined into one."""
    return Counter(" ".join(comments).split())


@pytest.mark.parametrize(
    "path",
    [path if path.parent == HERE else pytest.param(path, marks=pytest.mark.slow) for path in REPOSITORY],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_a_second_format_changes_nothing(path: Path, tmp_path: Path) -> None:
    for beside in (*path.parent.glob("*.ipc"), *path.parent.glob("*.py")):
        shutil.copy(beside, tmp_path)
    copy = tmp_path / path.name
    module, comments = compiled(copy), comments_of(copy)
    assert main(["format", str(copy)]) == 0
    once = copy.read_bytes()
    assert compiled(copy) == module
    assert words(comments_of(copy)) == words(comments)
    assert [comment for comment in comments if comment not in once.decode()] == []
    assert main(["format", str(copy)]) == 0
    assert copy.read_bytes() == once


@pytest.mark.slow
def test_interfaces_formatted_together_compile_to_the_same(tmp_path: Path) -> None:
    """Interfaces and what they include, formatted together, still compile to the same."""
    before = {path.name: compiled(path) for path in INTERFACES}
    copies = [Path(shutil.copy(path, tmp_path)) for path in DESKTOP.iterdir() if path.is_file()]
    assert main(["format", *(str(copy) for copy in copies if copy.suffix == ".ipc")]) == 0
    assert {name: compiled(tmp_path / name) for name in before} == before
