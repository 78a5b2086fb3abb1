"""Owns the tests that nobody can change what a stage of the compiler hands on.

Must not know how the stages make it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from ipcc.compiler import model_of
from ipcc.definitions import Definitions, Facts, Opaque, PythonClass, Struct
from ipcc.diagnostics import Report
from ipcc.model import Compilation, Endpoint, Field, Message, Pair, Parameter, Payload, Run
from ipcc.nodes import Enum, File, Include
from ipcc.parser import parse
from ipcc.source import Source, Span, read_source
from ipcc.tokens import Comment, Token, tokenize
from ipcc.types import Type

HERE = Path(__file__).parent
DESKTOP = HERE / "desktop"


def attributes(value: Any) -> list[str]:
    """The names of an attrs object's attributes, the private ones too: they must not change either."""
    return [field.name for field in attrs.fields(type(value))]


def reachable(root: object) -> Iterator[object]:
    """The object and all that its attributes, elements and items lead to, each once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if attrs.has(type(value)):
            waiting += [getattr(value, name) for name in attributes(value)]
        elif isinstance(value, tuple | frozenset):
            waiting += value
        elif isinstance(value, MappingProxyType):
            waiting += [*value, *value.values()]


def check_immutable(root: object) -> set[type]:
    """Try to change everything that an object leads to; return the classes that were found."""
    found: set[type] = set()
    for value in reachable(root):
        found.add(type(value))
        if attrs.has(type(value)):
            for name in attributes(value):
                with pytest.raises(attrs.exceptions.FrozenInstanceError):
                    setattr(value, name, getattr(value, name))
            assert not hasattr(value, "__dict__"), f"{type(value)} takes any attribute"
        else:
            constants = (str, int, bool, type(None), enum.Enum, tuple, frozenset, MappingProxyType)
            assert isinstance(value, constants), f"{type(value)} may be mutable"
    return found


@pytest.mark.parametrize("path", [HERE / "Atlas.ipc", HERE / "Awkward.ipc"], ids=lambda path: path.stem)
def test_tokens_and_nodes_are_immutable(path: Path) -> None:
    report = Report()
    source = read_source(str(path))
    tokens = tokenize(source, report)
    assert check_immutable(tokens) >= {tuple, Token, Comment, Span, Source}
    assert check_immutable(parse(source, tokens, report)) >= {File}


def test_nodes_of_every_kind_are_immutable() -> None:
    report = Report()
    source = Source("x.ipc", '#include "y.h"\nenum A : u8 { B = 1 } endpoint C {}')
    assert check_immutable(parse(source, tokenize(source, report), report)) >= {File, Include, Enum}


def test_model_of_recursive_types_is_immutable() -> None:
    compilation = model_of([str(HERE / "Atlas.ipc")])
    assert any(definition.facts.is_recursive for definition in compilation.definitions)
    assert check_immutable(compilation) >= {
        *(Compilation, Endpoint, Pair, Message, Payload, Run, Field, Parameter),
        *(Definitions, Struct, Facts, Type),
    }
    assert check_immutable(compilation.codecs)


def test_model_of_registered_classes_is_immutable(tmp_path: Path) -> None:
    (tmp_path / "blobs.py").write_text(
        "from ipclib import ipc_type\n\n"
        '@ipc_type("Blob")\nclass Blob:\n'
        "    def encode(self, encoder): ...\n    def decode(cls, decoder): ...\n"
    )
    (tmp_path / "A.ipc").write_text('#include "blobs.py"\nendpoint A { f(Blob blob) =| }')
    assert check_immutable(model_of([str(tmp_path / "A.ipc")])) >= {Opaque, PythonClass}


@pytest.mark.parametrize("path", sorted(DESKTOP.glob("*.ipc")), ids=lambda path: path.stem)
def test_models_of_a_desktop_are_immutable(path: Path) -> None:
    assert Compilation in check_immutable(model_of([str(path)]))
