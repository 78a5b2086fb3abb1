"""Owns the tests that docs/grammar.md is the grammar of the parser: its rules, its examples, what it accepts.

Must not know what the rules mean.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipcc import nodes
from ipcc.diagnostics import Report
from ipcc.parser import parse
from ipcc.source import Source, read_source
from ipcc.tokens import TERMINALS, tokenize
from tests.ipcc.ebnf import Grammar

ROOT = Path(__file__).parent.parent.parent
BLOCKS = dict(
    re.findall(
        r"^```\w+ file=(\S+)\n(.*?)^```$",
        (ROOT / "docs" / "grammar.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
EXAMPLES = [name for name in BLOCKS if name.endswith(".ipc")]
INTERFACES = sorted(path for name in ("tests", "demos") for path in (ROOT / name).rglob("*.ipc"))
BAD = sorted((ROOT / "tests" / "ipcc" / "bad").glob("*.txt"))
WORDS = (
    *("a", "b", "i32", "Vector", "endpoint", "struct", "enum", "7", "-1"),
    *("(", ")", "[", "]", "<", ">", "{", "}", ",", ";", ":", "::", "=", "=>", "=|"),
)
PARSER = (ROOT / "ipcc" / "parser.py").read_text()


def rules_of(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\S+) = (.*) ;$", text, re.MULTILINE))


def words_of(rule: str) -> set[str]:
    """The rules and terminals that a rule mentions."""
    return set(re.findall(r"[a-z-]+", re.sub(r"'[^']*'|\"[^\"]*\"", "", rule)))


def test_the_document_has_the_rules_that_stand_above_the_parser_s_methods() -> None:
    above = re.findall(r"^    # (\S+ = .* ;)\n    def (\w+)\(", PARSER, re.MULTILINE)
    assert len(above) == PARSER.count(" ;\n    def "), "a rule of the parser was not found"
    assert rules_of("\n".join(rule for rule, _ in above)) == rules_of(BLOCKS["rules.ebnf"])


def test_the_parser_s_methods_have_the_names_of_their_rules() -> None:
    methods = dict(re.findall(r"^    # (\S+) = .* ;\n    def (\w+)\(", PARSER, re.MULTILINE))
    assert methods.pop("file") == "declarations"
    assert methods == {rule: rule.replace("-", "_") for rule in methods}


def test_the_document_has_the_terminals_of_the_tokenizer() -> None:
    shown = {
        name: regex[1:-1].replace("\\/", "/") for name, regex in rules_of(BLOCKS["terminals.ebnf"]).items()
    }
    assert shown == TERMINALS


def test_every_word_of_the_grammar_is_a_rule_or_a_terminal() -> None:
    rules = rules_of(BLOCKS["rules.ebnf"])
    used = set().union(*map(words_of, rules.values()))
    assert used <= rules.keys() | TERMINALS.keys()
    assert rules.keys() - used == {"file"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_parses(name: str) -> None:
    report = Report()
    source = Source(name, BLOCKS[name])
    parse(source, tokenize(source, report), report)
    assert not report, list(report)


def test_the_examples_use_every_word_and_sign_of_the_grammar() -> None:
    fixed = re.findall(r'"([^"]+)"', BLOCKS["rules.ebnf"].replace("'\"'", ""))
    assert len(fixed) > 20
    examples = "".join(BLOCKS[name] for name in EXAMPLES)
    assert [word for word in fixed if word not in examples] == []


# --- the grammar and the parser accept the same ---

GRAMMAR = Grammar(BLOCKS["rules.ebnf"])
BESIDE_THE_RULES = ("types nest deeper", "malformed number")
"""Refusals of text that fits the rules; the document states them in prose."""


def check_agreement(text: str) -> bool:
    """Compare grammar and parser on a text; return whether they accept it."""
    report = Report()
    source = Source("x.ipc", text)
    tokens = tokenize(source, report)
    if report:  # the text is not a sequence of tokens
        return False
    file = parse(source, tokens, report)
    messages = [diagnostic.message for diagnostic in report]
    if any(message.startswith(BESIDE_THE_RULES) for message in messages):
        return False
    is_accepted = not messages and is_complete(file)
    assert GRAMMAR.accepts(tokens) == is_accepted, messages
    return is_accepted


def is_complete(file: nodes.File) -> bool:
    """Whether every parameter has a name, and every argument list an argument.

    The parser lets both pass, since the resolver knows better what to suggest.
    """
    messages = [message for endpoint in file.endpoints for message in endpoint.messages]
    parameters = [p for message in messages for p in (*message.inputs, *(message.outputs or ()))]
    types = [p.type for p in parameters] + [field.type for struct in file.structs for field in struct.fields]
    types += [enum.underlying for enum in file.enums]
    return all(p.name for p in parameters) and all(type is None or has_arguments(type) for type in types)


def has_arguments(type: nodes.Type) -> bool:
    if type.arguments is None:
        return True
    inner = [argument for argument in type.arguments if isinstance(argument, nodes.Type)]
    return type.arguments != () and all(map(has_arguments, inner))


def without_each_token(text: str) -> list[str]:
    spans = [token.span for token in tokenize(Source("x.ipc", text), Report())]
    return [text[: span.start] + text[span.end :] for span in spans]


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_grammar_accepts_every_interface_of_the_repository(path: Path) -> None:
    assert check_agreement(read_source(str(path)).text)


@pytest.mark.parametrize(
    "path",
    [
        path if place % 4 == 0 else pytest.param(path, marks=pytest.mark.slow)
        for place, path in enumerate(BAD)
    ],
    ids=lambda path: path.stem,
)
def test_the_grammar_and_the_parser_agree_on_every_mistake(path: Path) -> None:
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    check_agreement(text.partition("\n~~~~\n")[0])


@pytest.mark.parametrize(
    "name", [*EXAMPLES[:1], *(pytest.param(name, marks=pytest.mark.slow) for name in EXAMPLES[1:])]
)
def test_the_grammar_and_the_parser_agree_when_a_token_is_missing(name: str) -> None:
    outcomes = [check_agreement(text) for text in without_each_token(BLOCKS[name])]
    assert {True, False} == set(outcomes)


@pytest.mark.slow
@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_the_grammar_and_the_parser_agree_on_random_bodies(words: list[str]) -> None:
    text = " ".join(words)
    for frame in (
        "{}",
        "endpoint A {{ {} }}",
        "endpoint A {{ f({}) =| }}",
        "struct A {{ {} }}",
        "enum A {{ {} }}",
    ):
        check_agreement(frame.format(text))


@pytest.mark.parametrize(
    "text",
    [
        "endpoint A { a(Vector<i32,> b) =| }",
        "endpoint endpoint { struct(i32 enum) =| }",
        "enum A { B, }",
        "struct A {} ; struct B {}",
        "",
    ],
)
def test_the_parser_and_the_grammar_accept_unusual_text(text: str) -> None:
    assert check_agreement(text)


@pytest.mark.parametrize(
    "text",
    [
        "endpoint A { a(i32 b,) =| }",
        "endpoint A { a(), b() =| }",
        "endpoint A { a() =| };",
        "struct A { i32 b }",
        "struct ::A { i32 b; }",
        "enum A {}",
        "enum A { , }",
        "enum A { B; }",
        "A {}",
    ],
)
def test_the_parser_and_the_grammar_refuse_text_that_fits_no_rule(text: str) -> None:
    assert not check_agreement(text)
