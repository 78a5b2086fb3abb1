"""Owns the tests of every diagnostic: its exact wording and place, from the files in `bad/`.

Must not know which stage finds a mistake. A file holds a source, a line `~~~~`, and what the command shows.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ipcc.cli import main
from ipcc.compiler import compile_sources
from ipcc.diagnostics import CompileError
from ipcc.source import Source

BAD = sorted((Path(__file__).parent / "bad").glob("*.txt"))


def diagnostics(*texts: str) -> str:
    sources = [Source(f"{name}.ipc", text) for name, text in zip(("Bad", "Other"), texts, strict=False)]
    with pytest.raises(CompileError) as caught:
        compile_sources(sources)
    return str(caught.value)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_each_mistake_has_its_exact_diagnostic(path: Path) -> None:
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    source, expected = text.removesuffix("\n").split("\n~~~~\n")
    assert diagnostics(source) == expected


@pytest.mark.parametrize(
    "path",
    [
        path if place % 8 == 0 else pytest.param(path, marks=pytest.mark.slow)
        for place, path in enumerate(BAD)
    ],
    ids=lambda path: path.stem,
)
def test_the_command_shows_each_mistake_and_writes_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source, expected = path.read_bytes().removesuffix(b"\n").split(b"\n~~~~\n")
    Path("Bad.ipc").write_bytes(source)
    assert main(["Bad.ipc", "-o", "out.py"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.removesuffix("\n")) == ("", expected.decode())
    assert [file.name for file in tmp_path.iterdir()] == ["Bad.ipc"]


def test_there_are_many_mistakes() -> None:
    assert len(BAD) >= 80


def test_a_place_in_another_file_is_named_with_the_file() -> None:
    assert diagnostics("endpoint Clock {}", "\nendpoint Clock {}") == (
        "Other.ipc:2:10: error: duplicate endpoint 'Clock'\n"
        "    2 | endpoint Clock {}\n"
        "      |          ^^^^^ first declared in Bad.ipc, line 1"
    )


def test_errors_of_all_files_are_shown_in_order() -> None:
    shown = diagnostics("endpoint A { a(Strng x) =| @ }", "endpoint B { b(i32 x) c(u9 y) =| }")
    places = [line.partition(": error")[0] for line in shown.splitlines() if ": error" in line]
    assert places == ["Bad.ipc:1:16", "Bad.ipc:1:28", "Other.ipc:1:14", "Other.ipc:1:25"]
