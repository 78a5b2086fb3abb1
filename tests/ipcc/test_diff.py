"""Owns the tests of `ipcc diff` as a command, and of the promise that it overlooks nothing.

Must not know the kinds of changes: those are in the files named for what changes.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from ipcc.cli import main
from ipcc.compiler import model_of
from ipcc.diff import Breaks
from tests.ipcc import test_diff_endpoints, test_diff_messages, test_diff_types
from tests.ipcc.changed_interfaces import changes, endpoint


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
