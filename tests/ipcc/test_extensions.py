"""Owns the tests that `ipcc` finds the commands of other packages, and says so if one of them is broken.

Must not know the commands that this distribution adds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
GREET = """
from ipcc import CommandError

def add_arguments(parser):
    parser.description = "Greet."
    parser.add_argument("names", nargs="*")
    parser.add_argument("--loud", action="store_true")

def run(options):
    if not options.names:
        raise CommandError("nobody to greet: give a name", 9)
    print("HELLO" if options.loud else "hello", *options.names)
    return 5
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a package that is installed, and adds three commands."""
    package = tmp_path / "greeting-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[ipcc.commands]\ngreet = greeting\nbroken = greeting_broken\nabsent = greeting:nothing\n"
    )
    (tmp_path / "greeting.py").write_text(GREET)
    (tmp_path / "greeting_broken.py").write_text("raise RuntimeError('no\\nluck')\n")
    return tmp_path


def run(site: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ipcc", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=site,
        env={**os.environ, "PYTHONPATH": f"{site}:{ROOT}"},
    )
    return done.returncode, done.stdout, done.stderr


def test_a_command_of_another_package_runs(site: Path) -> None:
    assert run(site, "greet", "Ada", "--loud", "Alan") == (5, "HELLO Ada Alan\n", "")


@pytest.mark.slow
def test_an_error_of_a_command_is_one_line_and_its_code(site: Path) -> None:
    assert run(site, "greet") == (9, "", "ipcc: error: nobody to greet: give a name\n")


@pytest.mark.slow
def test_a_command_has_its_help_and_is_named_in_that_of_ipcc(site: Path) -> None:
    code, output, _ = run(site, "greet", "--help")
    assert (code, output.startswith("usage: ipcc greet")) == (0, True)
    assert "absent, broken, call, fake, greet" in " ".join(run(site, "--help")[1].split())


@pytest.mark.slow
def test_a_misspelt_command_of_another_package_is_suggested(site: Path) -> None:
    text = "there is no command and no file 'gret': did you mean 'ipcc greet'?"
    assert run(site, "gret") == (2, "", f"ipcc: error: {text}\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken", "RuntimeError: no"),
        ("absent", "AttributeError: module 'greeting' has no attribute 'nothing'"),
    ],
)
def test_a_command_that_cannot_be_loaded_is_one_line(site: Path, name: str, reason: str) -> None:
    hint = "reinstall or uninstall that package"
    text = f"the command '{name}' of greeting cannot be loaded ({reason}): {hint}"
    assert run(site, name) == (2, "", f"ipcc: error: {text}\n")


@pytest.mark.slow
def test_a_command_of_two_packages_is_refused(site: Path) -> None:
    package = site / "other-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[ipcc.commands]\ngreet = other\n")
    text = "the command 'greet' is in greeting and other: uninstall one of them"
    assert run(site, "greet", "Ada") == (2, "", f"ipcc: error: {text}\n")


def test_entry_points_are_not_read_for_files_and_the_compiler_s_own_commands(tmp_path: Path) -> None:
    (tmp_path / "A.ipc").write_text("endpoint A\n{\n    ping() =|\n}\n")
    program = (
        "import sys; from ipcc.cli import main\n"
        "main(['A.ipc']); main(['check', 'A.ipc']); main(['format', 'A.ipc']); main(['describe', 'A.ipc'])\n"
        "assert 'importlib.metadata' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )
    assert (done.returncode, done.stderr) == (0, "")
