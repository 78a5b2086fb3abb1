"""Owns how a change of an interface is tried out: with programs for the old version, and both versions.

Must not know which changes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

import ipcc
from corelib import LocalSocket
from ipcc.compiler import model_of
from ipcc.diff import Breaks, Change, compare

Client = Callable[[Any, Any], object]
Handlers = Mapping[str, Callable[..., object]]


@attrs.frozen
class Program:
    """A client, which gets its module and its connection; and the handlers of a service."""

    client: Client
    handlers: Handlers


@attrs.frozen
class Case:
    """A change, what the compiler says of it, and what happens to a program written for the old version.

    The program runs with the old version on both sides, which gives the right outcome; then its client runs
    against a service of the new version (the wire); then all of it runs with the new version (the source). An
    outcome is a value, or the class of an exception.
    """

    program: Program
    old: str
    new: str
    changes: tuple[str, ...] = ()
    wire: object = None
    """The outcome of the client against a new service, where that is not the right one."""
    source: object = None
    """The outcome with the new version, where that is not the right one."""
    service: Handlers = attrs.field(factory=dict)
    """Handlers written for the new version, where the old ones do not fit."""
    service_class: str = "ConnectionFromClient"
    only_types: bool = False
    """Whether the break of the source shows in a type checker alone."""


SUB = Program(lambda module, c: c.sub(a=5, b=3), {"sub": lambda self, a, b: a - b})

SUBTRACT = "sub(i32 a, i32 b) => (i32 r)"


def endpoint(*messages: str) -> str:
    """An endpoint of these messages."""
    return f"endpoint S {{ {' '.join(messages)} }}"


BOTH, WIRE, SOURCE, FINE = "breaks the wire and source", "breaks the wire", "breaks source", "compatible"


def talk(module: Any, program: Program, service: Any, handlers: Handlers, service_class: str) -> object:
    """The outcome of a client and a service: a value, or the class of the client's exception."""
    here, there = LocalSocket.pair()
    ends: list[Any] = []
    try:
        ends.append(type("Service", (getattr(service, service_class),), dict(handlers))(there))
        ends.append(module.ConnectionToServer(here))
        return program.client(module, ends[1])
    except Exception as error:
        return type(error)
    finally:
        for end in ends:
            end.shutdown()


def changes(old: Path, new: Path) -> tuple[Change, ...]:
    """What the compiler says of the change from one file to another."""
    return compare(model_of([str(old)]), model_of([str(new)]))


def check(case: Case, folder: Path) -> None:
    """Compare what the compiler says of a change with what happens when its two versions talk."""
    old, new = folder / "old.ipc", folder / "new.ipc"
    old.write_text(case.old)
    new.write_text(case.new)
    found = changes(old, new)
    assert tuple(map(str, found)) == case.changes

    before, after = ipcc.load(old), ipcc.load(new)
    program, ours = case.program, "ConnectionFromClient"
    right = talk(before, program, before, program.handlers, ours)
    assert not isinstance(right, type)
    wire = talk(before, program, after, {**program.handlers, **case.service}, case.service_class)
    source = talk(after, program, after, program.handlers, ours)

    broken = Breaks.NOTHING
    for change in found:
        broken |= change.breaks
    assert wire == (case.wire if Breaks.WIRE in broken else right)
    assert (wire != right) == (Breaks.WIRE in broken)
    assert source == (case.source if Breaks.SOURCE in broken and not case.only_types else right)
    assert (source != right) == (Breaks.SOURCE in broken and not case.only_types)
