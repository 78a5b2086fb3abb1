"""Owns the tests that a generated module and the runtime agree on their version, or fail clearly.

Must not know what else the two agree on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ipclib.generated
from ipcc.compiler import compile_sources
from ipcc.runtime import GENERATED_CODE_VERSION
from ipcc.source import Source

ROOT = Path(__file__).parent.parent.parent


def test_the_runtime_accepts_the_version_that_the_compiler_writes() -> None:
    ipclib.generated.require("clock_ipc", GENERATED_CODE_VERSION)


@pytest.mark.parametrize("version", [0, GENERATED_CODE_VERSION + 1])
def test_importing_a_module_of_another_version_says_which_and_what_to_do(
    tmp_path: Path, version: int
) -> None:
    text = compile_sources([Source("A.ipc", "endpoint A { f() =| }")])
    line = f"_ipc.require(__name__, {GENERATED_CODE_VERSION})"
    assert text.count(line) == 1
    (tmp_path / "a_ipc.py").write_text(text.replace(line, f"_ipc.require(__name__, {version})"))
    done = subprocess.run(
        [sys.executable, "-c", "import a_ipc"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: a_ipc was generated for version {version} of ipclib.generated, and the installed"
        f" ipclib has version {GENERATED_CODE_VERSION}: run ipcc again, or install the ipclib that fits"
        " the module"
    )


def test_a_module_checks_the_version_before_it_imports_registered_classes(tmp_path: Path) -> None:
    """A registered class may need the right ipclib, too, and its error would say less."""
    (tmp_path / "blobs.py").write_text(
        "from ipclib import i32, ipc_type\nimport attrs\n\n"
        "@ipc_type('P')\n@attrs.frozen\nclass P:\n    x: i32\n"
    )
    path = str(tmp_path / "A.ipc")
    text = compile_sources([Source(path, '#include "blobs.py"\nendpoint A { f(P p) =| }')])
    assert text.index("from ipclib import") < text.index("_ipc.require(") < text.index("from blobs import P")


def test_a_module_without_runtime_needs_no_version() -> None:
    assert "_ipc" not in compile_sources([Source("A.ipc", "struct A { i32 x; }")])
