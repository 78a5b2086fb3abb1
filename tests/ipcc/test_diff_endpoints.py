"""Owns the tests of `ipcc diff` for endpoints: each kind of change, its verdict, and what it breaks.

Must not know how a change is tried out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ipclib import ProtocolViolation, UnknownMessage
from tests.ipcc.changed_interfaces import (
    BOTH,
    FINE,
    SOURCE,
    SUB,
    SUBTRACT,
    WIRE,
    Case,
    Program,
    check,
    endpoint,
)

CASES = {
    "endpoint added": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint(SUBTRACT) + " endpoint T { ping() => () }",
        (
            f"{SOURCE}: S has other connection classes:"
            " ConnectionToServer, ConnectionFromClient -> SConnectionToServer, SConnectionFromClient",
            f"{FINE}: T was added",
        ),
        source=AttributeError,
        service_class="SConnectionFromClient",
    ),
    "partner added": Case(
        SUB,
        "endpoint SServer { sub(i32 a, i32 b) => (i32 r) }",
        "endpoint SServer { sub(i32 a, i32 b) => (i32 r) } endpoint SClient { tick() =| }",
        (
            f"{WIRE}: SClient was added beside SServer:"
            " an old peer closes the connection at its first message",
        ),
        wire=ProtocolViolation,
        service={"sub": lambda self, a, b: (self.async_tick(), a - b)[1]},
    ),
    "empty partner added": Case(
        SUB,
        "endpoint SServer { sub(i32 a, i32 b) => (i32 r) }",
        "endpoint SServer { sub(i32 a, i32 b) => (i32 r) } endpoint SClient {}",
        (f"{FINE}: SClient was added",),
    ),
    "endpoint removed": Case(
        SUB,
        "endpoint SServer { sub(i32 a, i32 b) => (i32 r) } endpoint SClient { ping() =| }",
        "endpoint SClient { ping() =| }",
        (f"{BOTH}: SServer was removed",),
        UnknownMessage,
        AttributeError,
    ),
    "endpoint renamed": Case(
        Program(lambda module, c: module.S.Sub and c.sub(5, 3), SUB.handlers),
        endpoint(SUBTRACT),
        f"endpoint T {{ {SUBTRACT} }}",
        (f"{BOTH}: S was renamed to T, which has another magic",),
        UnknownMessage,
        AttributeError,
    ),
    "endpoints reordered": Case(
        SUB,
        f"endpoint SServer {{ {SUBTRACT} }} endpoint SClient {{}}",
        f"endpoint SClient {{}} endpoint SServer {{ {SUBTRACT} }}",
    ),
    "endpoint took a message's name": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint(SUBTRACT) + " endpoint sub {}",
        (
            f"{SOURCE}: S has other connection classes:"
            " ConnectionToServer, ConnectionFromClient -> SConnectionToServer, SConnectionFromClient",
            f"{SOURCE}: S.sub has another name in Python: sub -> sub_",
            f"{FINE}: sub was added",
        ),
        source=AttributeError,
        service={"sub_": lambda self, a, b: a - b},
        service_class="SConnectionFromClient",
    ),
    "documentation": Case(
        SUB,
        f"/// Old.\nendpoint S {{\n/// Old.\n{SUBTRACT} }}",
        f"endpoint S {{\n/// New.\n{SUBTRACT} }}",
        (f"{FINE}: S is documented differently", f"{FINE}: S.sub is documented differently"),
    ),
}


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("name", CASES)
def test_a_change_of_endpoints_breaks_what_the_compiler_says(name: str, tmp_path: Path) -> None:
    check(CASES[name], tmp_path)
