"""Owns the tests that packages with an interface file build with setuptools and hatchling, and can be
imported.
Must not know the compiler: the packages are those that docs/packaging.md shows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import attrs
import pytest

import corelib
import ipcc
import ipclib

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PACKAGES = {"with_setuptools": "setuptools.build_meta", "with_hatchling": "hatchling.build"}
"""The packages, each with its build backend."""

pytestmark = pytest.mark.timeout(300)


@attrs.frozen
class Environment:
    folder: Path

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(self.folder / "bin" / "python"), "-I", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)

    def pip(self, *arguments: str | Path) -> str:
        done = self.run("-m", "pip", "--disable-pip-version-check", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def made(folder: Path) -> Environment:
    venv.create(folder, with_pip=True)
    return Environment(folder)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheels")


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Environment:
    """An environment with the build tools; `wheels` receives this distribution and its dependencies."""
    environment = made(tmp_path_factory.mktemp("builder"))
    tools = ("setuptools>=77", "hatchling", "editables")
    done = environment.run("-m", "pip", "--disable-pip-version-check", "install", "--quiet", *tools)
    if done.returncode:
        pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
    source = tmp_path_factory.mktemp("source") / "corelib-ipc"
    shutil.copytree(ROOT, source, ignore=_not_of_the_distribution)
    environment.pip("wheel", "--quiet", "--no-build-isolation", "--wheel-dir", wheels, source)
    environment.pip("install", "--quiet", "--no-index", "--find-links", wheels, "corelib-ipc")
    return environment


def _not_of_the_distribution(folder: str, names: Sequence[str]) -> list[str]:
    packages = {"corelib", "ipclib", "ipcc", "ipctools", "pytest_ipclib"}
    kept = packages | {"pyproject.toml", "README.md", "LICENSE"}
    return [name for name in names if name == "__pycache__" or (Path(folder) == ROOT and name not in kept)]


def test_the_packages_have_the_version_of_the_distribution() -> None:
    assert {package.__version__ for package in (corelib, ipclib, ipcc)} == {version("corelib-ipc")}


def test_the_version_is_written_in_one_file() -> None:
    assert (ROOT / "ipcc" / "_version.py").resolve() == ROOT / "corelib" / "_version.py"


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_builds_from_its_source_archive_and_imports(
    package: str, builder: Environment, wheels: Path, tmp_path: Path
) -> None:
    source = tmp_path / package
    shutil.copytree(HERE / package, source)
    build = f"from {PACKAGES[package]} import build_sdist; build_sdist({str(tmp_path)!r})"
    assert builder.run("-c", build, cwd=source).returncode == 0
    archive = tmp_path / "clock-1.0.tar.gz"
    builder.pip("wheel", "--quiet", "--no-build-isolation", "--no-deps", "--wheel-dir", tmp_path, archive)
    (wheel,) = tmp_path.glob("clock-1.0-*.whl")
    assert {"clock/clock_ipc.py", "clock/Clock.ipc"} <= set(zipfile.ZipFile(wheel).namelist())

    clean = made(tmp_path / "clean")
    clean.pip("install", "--quiet", "--no-index", "--find-links", wheels, wheel)
    program = "import clock, ipcc; print(clock.ConnectionToServer.add.__doc__, ipcc.__version__)"
    done = clean.run("-c", program, cwd=tmp_path)
    assert (done.stdout, done.stderr) == (f"Adds two numbers. {ipcc.__version__}\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_installs_in_place(package: str, builder: Environment, tmp_path: Path) -> None:
    source = tmp_path / package
    shutil.copytree(HERE / package, source)
    builder.pip("install", "--quiet", "--no-build-isolation", "--no-deps", "--editable", source)
    done = builder.run("-c", "import clock; print(clock.__file__)", cwd=tmp_path)
    assert done.stdout == f"{source}/src/clock/__init__.py\n", done.stderr
    builder.pip("uninstall", "--quiet", "--yes", "clock")


def test_the_document_shows_these_files() -> None:
    shown = dict(re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", _document(), re.MULTILINE | re.DOTALL))
    files = {
        "setup.py": HERE / "with_setuptools" / "setup.py",
        "hatch_build.py": HERE / "with_hatchling" / "hatch_build.py",
    }
    assert {name: path.read_text() for name, path in files.items()} == shown
    for package in PACKAGES:
        lines = (HERE / package / "pyproject.toml").read_text().splitlines()
        settings = "\n".join(f"    {line}".rstrip() for line in lines)
        assert settings in _document()


def test_the_documented_check_finds_a_module_that_is_not_current(tmp_path: Path) -> None:
    shutil.copytree(HERE / "with_setuptools" / "src", tmp_path / "src")
    compile, check = re.findall(r"^ipcc (.*)$", _document(), re.MULTILINE)
    for command, code in ((check, 1), (compile, 0), (check, 0)):
        done = subprocess.run(
            [sys.executable, "-m", "ipcc", *command.split()],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr


def _document() -> str:
    return (ROOT / "docs" / "packaging.md").read_text()
