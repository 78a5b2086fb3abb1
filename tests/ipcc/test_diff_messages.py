"""Owns the tests of `ipcc diff` for messages: each kind of change, its verdict, and what it breaks.

Must not know how a change is tried out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ipclib import EncodeError, RemoteError, SchemaMismatch, UnknownMessage
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

SPLIT = Program(
    lambda module, c: (lambda answer: (answer.q, answer.r))(c.split(7, 2)),
    {"split": lambda self, a, b: divmod(a, b)},
)
CONCAT = Program(lambda module, c: c.concat(5, "x"), {"concat": lambda self, a, b: f"{a}{b}"})
LOG = Program(
    lambda module, c: (c.async_log(7), c.logged())[1],
    {
        "log": lambda self, a: setattr(self, "seen", a),
        "logged": lambda self: getattr(self, "seen", -1),
    },
)

CASES = {
    # messages
    "nothing": Case(SUB, endpoint(SUBTRACT), endpoint(SUBTRACT)),
    "white space and comments": Case(SUB, endpoint(SUBTRACT), endpoint("// why", f"\n{SUBTRACT}  ")),
    "message added at the end": Case(
        SUB, endpoint(SUBTRACT), endpoint(SUBTRACT, "more() =|"), (f"{FINE}: S.more was added",)
    ),
    "message added at the beginning": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("more() =|", SUBTRACT),
        (f"{WIRE}: S.sub moved from id 1 to 2", f"{FINE}: S.more was added"),
        wire=SchemaMismatch,
    ),
    "message removed at the end": Case(
        SUB,
        endpoint("ping() => ()", SUBTRACT),
        endpoint("ping() => ()"),
        (f"{BOTH}: S.sub was removed",),
        UnknownMessage,
        AttributeError,
    ),
    "message removed before another": Case(
        Program(lambda module, c: (c.ping(), c.sub(5, 3))[1], {**SUB.handlers, "ping": lambda self: None}),
        endpoint("ping() => ()", SUBTRACT),
        endpoint(SUBTRACT),
        (f"{WIRE}: S.sub moved from id 3 to 1", f"{BOTH}: S.ping was removed"),
        SchemaMismatch,
        AttributeError,
    ),
    "message renamed": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("minus(i32 a, i32 b) => (i32 r)"),
        (f"{BOTH}: S.sub was renamed to minus",),
        SchemaMismatch,
        AttributeError,
    ),
    "messages reordered": Case(
        SUB,
        endpoint(SUBTRACT, "ping() => ()"),
        endpoint("ping() => ()", SUBTRACT),
        (f"{WIRE}: S.sub moved from id 1 to 3", f"{WIRE}: S.ping moved from id 3 to 1"),
        wire=SchemaMismatch,
    ),
    "synchronous message became one-way": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("sub(i32 a, i32 b) =|"),
        (f"{BOTH}: S.sub became one-way",),
        SchemaMismatch,
        AttributeError,
    ),
    "one-way message became synchronous": Case(
        LOG,
        endpoint("logged() => (i32 a)", "log(i32 a) =|"),
        endpoint("logged() => (i32 a)", "log(i32 a) => ()"),
        (f"{WIRE}: S.log became synchronous",),
        wire=-1,
    ),
    "one-way message got an answer": Case(
        LOG,
        endpoint("logged() => (i32 a)", "log(i32 a) =|"),
        endpoint("logged() => (i32 a)", "log(i32 a) => (i32 b)"),
        (f"{BOTH}: S.log became synchronous",),
        wire=-1,
        only_types=True,
    ),
    "one-way message's parameter retyped": Case(
        LOG,
        endpoint("logged() => (i32 a)", "log(i32 a) =|"),
        endpoint("logged() => (i32 a)", "log(i64 a) =|"),
        (f"{WIRE}: S.log parameter 'a' has another type: i32 -> i64",),
        wire=-1,
    ),
    "one-way message removed": Case(
        LOG,
        endpoint("logged() => (i32 a)", "log(i32 a) =|"),
        endpoint("logged() => (i32 a)"),
        (f"{BOTH}: S.log was removed",),
        -1,
        AttributeError,
    ),
    # parameters
    "parameter added": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("sub(i32 a, i32 b, i32 c) => (i32 r)"),
        (f"{BOTH}: S.sub parameter 'c' was added",),
        SchemaMismatch,
        TypeError,
    ),
    "parameter removed": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("sub(i32 a) => (i32 r)"),
        (f"{BOTH}: S.sub parameter 'b' was removed",),
        SchemaMismatch,
        TypeError,
    ),
    "parameter renamed": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("sub(i32 a, i32 c) => (i32 r)"),
        (f"{SOURCE}: S.sub parameter 'b' was renamed to 'c'",),
        source=TypeError,
    ),
    "parameter retyped, the same in Python": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("sub(i32 a, i64 b) => (i32 r)"),
        (f"{WIRE}: S.sub parameter 'b' has another type: i32 -> i64",),
        wire=SchemaMismatch,
    ),
    "parameter retyped": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("sub(i32 a, String b) => (i32 r)"),
        (f"{BOTH}: S.sub parameter 'b' has another type: i32 -> String",),
        SchemaMismatch,
        EncodeError,
    ),
    "parameter made optional": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("sub(i32 a, Optional<i32> b) => (i32 r)"),
        (f"{BOTH}: S.sub parameter 'b' has another type: i32 -> Optional<i32>",),
        wire=SchemaMismatch,
        only_types=True,
    ),
    "parameters of one type reordered": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("sub(i32 b, i32 a) => (i32 r)"),
        (f"{BOTH}: S.sub parameters have another order: a, b -> b, a",),
        -2,
        -2,
        {"sub": lambda self, b, a: a - b},
    ),
    "parameters of several types reordered": Case(
        CONCAT,
        endpoint("concat(i32 a, String b) => (String r)"),
        endpoint("concat(String b, i32 a) => (String r)"),
        (f"{BOTH}: S.concat parameters have another order: a, b -> b, a",),
        SchemaMismatch,
        EncodeError,
    ),
    "attribute added": Case(
        Program(lambda module, c: c.size(b"abc"), {"size": lambda self, a: len(a)}),
        endpoint("size(ByteString a) => (i32 r)"),
        endpoint("size([UTF8] ByteString a) => (i32 r)"),
        (f"{BOTH}: S.size parameter 'a' has another type: ByteString -> [UTF8] ByteString",),
        SchemaMismatch,
        EncodeError,
    ),
    "alias spelt out": Case(
        SUB,
        endpoint("sub(int a, int b) => (int r)"),
        endpoint(SUBTRACT),
        (f"{FINE}: S.sub spells the same types differently",),
    ),
    "qualifier left out": Case(
        CONCAT,
        endpoint("concat(i32 a, ::AK::String b) => (String r)"),
        endpoint("concat(i32 a, StringView b) => (String r)"),
        (f"{FINE}: S.concat spells the same types differently",),
    ),
    # outputs
    "first output added": Case(
        Program(lambda module, c: c.ping(), {"ping": lambda self: None}),
        endpoint("ping() => ()"),
        endpoint("ping() => (i32 r)"),
        (f"{BOTH}: S.ping output 'r' was added",),
        SchemaMismatch,
        RemoteError,
    ),
    "second output added": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("sub(i32 a, i32 b) => (i32 r, i32 q)"),
        (f"{BOTH}: S.sub output 'q' was added",),
        SchemaMismatch,
        RemoteError,
    ),
    "output removed": Case(
        SPLIT,
        endpoint("split(i32 a, i32 b) => (i32 q, i32 r)"),
        endpoint("split(i32 a, i32 b) => (i32 q)"),
        (f"{BOTH}: S.split output 'r' was removed",),
        SchemaMismatch,
        RemoteError,
    ),
    "output renamed": Case(
        SPLIT,
        endpoint("split(i32 a, i32 b) => (i32 q, i32 r)"),
        endpoint("split(i32 a, i32 b) => (i32 q, i32 rest)"),
        (f"{SOURCE}: S.split output 'r' was renamed to 'rest'",),
        source=AttributeError,
    ),
    "only output renamed": Case(
        Program(
            lambda module, c: module.S.SubResponse(r=c.sub(5, 3)).r,
            SUB.handlers,
        ),
        endpoint(SUBTRACT),
        endpoint("sub(i32 a, i32 b) => (i32 difference)"),
        (f"{SOURCE}: S.sub output 'r' was renamed to 'difference'",),
        source=TypeError,
    ),
    "output retyped": Case(
        SUB,
        endpoint(SUBTRACT),
        endpoint("sub(i32 a, i32 b) => (String r)"),
        (f"{BOTH}: S.sub output 'r' has another type: i32 -> String",),
        SchemaMismatch,
        RemoteError,
    ),
    "outputs of one type reordered": Case(
        SPLIT,
        endpoint("split(i32 a, i32 b) => (i32 q, i32 r)"),
        endpoint("split(i32 a, i32 b) => (i32 r, i32 q)"),
        (f"{BOTH}: S.split outputs have another order: q, r -> r, q",),
        (1, 3),
        (1, 3),
        {"split": lambda self, a, b: divmod(a, b)[::-1]},
    ),
}


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("name", CASES)
def test_a_change_of_messages_breaks_what_the_compiler_says(name: str, tmp_path: Path) -> None:
    check(CASES[name], tmp_path)
