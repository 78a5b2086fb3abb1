"""Owns the tests that docs/grammar.md is the grammar of the parser, and that its examples parse.

Must not know what the rules mean.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ipcc.diagnostics import Report
from ipcc.parser import parse
from ipcc.source import Source
from ipcc.tokens import TERMINALS, tokenize

ROOT = Path(__file__).parent.parent.parent
BLOCKS = dict(
    re.findall(
        r"^```\w+ file=(\S+)\n(.*?)^```$",
        (ROOT / "docs" / "grammar.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
EXAMPLES = [name for name in BLOCKS if name.endswith(".ipc")]
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
def test_text_that_fits_no_rule_is_refused(text: str) -> None:
    report = Report()
    source = Source("A.ipc", text)
    parse(source, tokenize(source, report), report)
    assert report


def test_a_comma_may_follow_the_last_argument_of_a_type() -> None:
    report = Report()
    source = Source("A.ipc", "endpoint A { a(Vector<i32,> b) =| }")
    parse(source, tokenize(source, report), report)
    assert not report
