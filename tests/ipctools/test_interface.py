"""Owns the tests of interfaces that another process describes: nothing in their text is run or included.
Must not know connections.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipctools.failures import Failure
from ipctools.interface import Interface

_TEXT = """\
/// {0}
struct S
{{
    /// {0}
    i32 x;
}}

/// {0}
endpoint AServer
{{
    /// {0}
    put(S s) => ()
}}
"""
_HOSTILE = [
    '"""; raise SystemExit',
    '\\"""',
    "\\",
    "\\N{BELL}",
    "'''",
    "{0}",
    "%s",
    '""""',
    "\\x00",
    "é\u2028x",
]


@pytest.mark.parametrize("line", _HOSTILE)
def test_documentation_of_a_described_interface_is_no_code(line: str) -> None:
    interface = Interface.described(_TEXT.format(line), "here")
    documentation = interface.module.AServer.Put.__doc__
    assert line in documentation
    assert interface.message("put").documentation == (line,)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=20))
def test_any_documentation_of_a_described_interface_is_read_or_refused(line: str) -> None:
    with suppress(Failure):
        Interface.described(_TEXT.format(line), "here")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('#include "/etc/passwd"\nendpoint A { }', "a service's interface cannot include files"),
        ('#include "evil.py"\nendpoint A { }', "a service's interface cannot include files"),
        ("endpoint A { a(Unknown x) =| }", "unknown type 'Unknown'"),
        ("endpoint A", "no '{' after 'endpoint A'"),
        ("\udcff", ""),
        ("struct S { i32 x; }\nstruct S { i64 x; }\nendpoint A { a(S s) =| }", ""),
    ],
)
def test_a_description_that_is_no_interface_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(Failure) as caught:
        Interface.described(text, "here")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("the interface that the service describes cannot be read (here")
    assert "\n" not in str(caught.value)


def test_a_service_without_endpoint_has_no_messages() -> None:
    interface = Interface.described("", "here")
    with pytest.raises(Failure, match="the service has no message 'x': there are none"):
        interface.message("x")
    with pytest.raises(Failure, match="the service has no endpoint"):
        interface.pair_of([])
