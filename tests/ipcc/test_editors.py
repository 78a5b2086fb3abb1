"""Owns the tests of the editors' files: the TextMate grammar scopes words, and Vim's files know the types.

Must not know an editor. `Highlighter` is as much of a TextMate engine as the grammar uses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipcc.builtin_types import BUILTIN_NAMES

ROOT = Path(__file__).parent.parent.parent
EDITORS = ROOT / "editors"
GRAMMAR = json.loads((EDITORS / "vscode" / "ipc.tmLanguage.json").read_text())

Rule = dict[str, Any]


class Highlighter:
    def __init__(self, grammar: Rule) -> None:
        self._grammar = grammar

    def words(self, text: str) -> list[tuple[str, str]]:
        """The pieces of text that have scopes, each with its innermost scope without the suffix `.ipc`."""
        found: list[tuple[str, str]] = []
        open_rules: list[Rule] = [self._grammar]
        for line in text.splitlines():
            at = 0
            while at <= len(line):
                rule, match = self._first(open_rules[-1], line, at)
                if rule is None or match is None:
                    break
                is_end = rule is open_rules[-1]
                found += self._captured(rule, match, "endCaptures" if is_end else "captures")
                if is_end:
                    open_rules.pop()
                elif "begin" in rule:
                    open_rules.append(rule)
                at = match.end() + (match.end() == match.start())
        assert open_rules == [self._grammar], "a rule was never closed"
        return found

    def _first(self, rule: Rule, line: str, at: int) -> tuple[Rule | None, re.Match[str] | None]:
        """The rule whose match begins first: of several, the open rule's end, else the first in the list."""
        candidates = [(rule, rule["end"])] if "end" in rule else []
        candidates += [(inner, inner.get("match") or inner["begin"]) for inner in self._inner(rule)]
        matches = [
            (inner, match) for inner, regex in candidates if (match := re.compile(regex).search(line, at))
        ]
        return min(matches, key=lambda found: found[1].start(), default=(None, None))

    def _inner(self, rule: Rule) -> Iterator[Rule]:
        for inner in rule.get("patterns", ()):
            target = self._grammar["repository"][inner["include"][1:]] if "include" in inner else inner
            if "match" in target or "begin" in target:
                yield target
            else:
                yield from self._inner(target)

    def _captured(self, rule: Rule, match: re.Match[str], key: str) -> Iterator[tuple[str, str]]:
        captures = rule.get("beginCaptures" if key == "captures" and "begin" in rule else key, {})
        for number, capture in captures.items():
            if match[int(number)]:
                yield match[int(number)], capture["name"].removesuffix(".ipc")
        if "name" in rule and "match" in rule:
            yield match.group(), rule["name"].removesuffix(".ipc")


def regexes(rule: object) -> Iterator[str]:
    if isinstance(rule, dict):
        yield from (rule[key] for key in ("match", "begin", "end") if key in rule)
        rule = list(rule.values())
    if isinstance(rule, list):
        for inner in rule:
            yield from regexes(inner)


def test_every_regex_of_the_grammar_compiles() -> None:
    found = list(regexes(GRAMMAR))
    assert len(found) > 20
    for regex in found:
        re.compile(regex)


SAMPLES = {
    "#include <a/b.py> // why": [
        ("#include", "keyword.control.include"),
        ("<a/b.py>", "string.quoted.include"),
        ("// why", "comment.line.double-slash"),
    ],
    "/// The time.\nendpoint Clock {\n}": [
        ("/// The time.", "comment.line.documentation"),
        ("endpoint", "keyword.declaration.endpoint"),
        ("Clock", "entity.name.type.endpoint"),
    ],
    "endpoint A { set(Vector<Geo::Point> to, [UTF8] ByteString text) => (bool ok) poke() =| }": [
        ("endpoint", "keyword.declaration.endpoint"),
        ("A", "entity.name.type.endpoint"),
        ("set", "entity.name.function.message"),
        ("(", "punctuation.section.parameters.begin"),
        ("Vector", "support.type"),
        ("<", "punctuation.definition.arguments.begin"),
        ("Geo", "entity.name.type"),
        ("::", "punctuation.separator.namespace"),
        ("Point", "entity.name.type"),
        (">", "punctuation.definition.arguments.end"),
        ("to", "variable.parameter"),
        (",", "punctuation.separator"),
        ("UTF8", "storage.modifier.attribute"),
        ("ByteString", "support.type"),
        ("text", "variable.parameter"),
        (")", "punctuation.section.parameters.end"),
        ("=>", "keyword.operator.synchronous"),
        ("(", "punctuation.section.parameters.begin"),
        ("bool", "support.type"),
        ("ok", "variable.parameter"),
        (")", "punctuation.section.parameters.end"),
        ("poke", "entity.name.function.message"),
        ("(", "punctuation.section.parameters.begin"),
        (")", "punctuation.section.parameters.end"),
        ("=|", "keyword.operator.one-way"),
    ],
    "endpoint A\n{\n    a(\n        Array<u8, 16> x, // y\n        HashMap<String, i32> z\n    ) =|\n}": [
        ("endpoint", "keyword.declaration.endpoint"),
        ("A", "entity.name.type.endpoint"),
        ("a", "entity.name.function.message"),
        ("(", "punctuation.section.parameters.begin"),
        ("Array", "support.type"),
        ("<", "punctuation.definition.arguments.begin"),
        ("u8", "support.type"),
        (",", "punctuation.separator"),
        ("16", "constant.numeric"),
        (">", "punctuation.definition.arguments.end"),
        ("x", "variable.parameter"),
        (",", "punctuation.separator"),
        ("// y", "comment.line.double-slash"),
        ("HashMap", "support.type"),
        ("<", "punctuation.definition.arguments.begin"),
        ("String", "support.type"),
        (",", "punctuation.separator"),
        ("i32", "support.type"),
        (">", "punctuation.definition.arguments.end"),
        ("z", "variable.parameter"),
        (")", "punctuation.section.parameters.end"),
        ("=|", "keyword.operator.one-way"),
    ],
    "struct Geo::Point { i32 x; Optional<Name> name; }": [
        ("struct", "keyword.declaration.struct"),
        ("Geo::Point", "entity.name.type.struct"),
        ("i32", "support.type"),
        ("x", "variable.other.member"),
        (";", "punctuation.terminator"),
        ("Optional", "support.type"),
        ("<", "punctuation.definition.arguments.begin"),
        ("Name", "entity.name.type"),
        (">", "punctuation.definition.arguments.end"),
        ("name", "variable.other.member"),
        (";", "punctuation.terminator"),
    ],
    "enum Geo::Kind:u8 { CITY = -1, RIVER } enum Other { LAST }": [
        ("enum", "keyword.declaration.enum"),
        ("Geo::Kind", "entity.name.type.enum"),
        ("u8", "support.type"),
        ("CITY", "constant.other.enumerator"),
        ("=", "keyword.operator.assignment"),
        ("-1", "constant.numeric"),
        (",", "punctuation.separator"),
        ("RIVER", "constant.other.enumerator"),
        ("enum", "keyword.declaration.enum"),
        ("Other", "entity.name.type.enum"),
        ("LAST", "constant.other.enumerator"),
    ],
}


@pytest.mark.parametrize("text", SAMPLES)
def test_words_get_their_scopes(text: str) -> None:
    assert Highlighter(GRAMMAR).words(text) == SAMPLES[text]


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.ipc")), ids=lambda path: path.name)
def test_every_interface_of_the_repository_is_read_to_its_end(path: Path) -> None:
    assert Highlighter(GRAMMAR).words(path.read_text())


def test_the_types_of_the_language_are_known_to_both_editors() -> None:
    ours = {name for name in BUILTIN_NAMES if "::" not in name}
    (match,) = [rule["match"] for rule in [GRAMMAR["repository"]["builtin"]]]
    vim = (EDITORS / "vim" / "syntax" / "ipc.vim").read_text()
    keywords = {word for line in re.findall(r"syntax keyword ipcType (.*)", vim) for word in line.split()}
    assert ours <= keywords
    assert all(re.fullmatch(match, name) for name in ours)


def test_the_extension_names_its_files() -> None:
    contributes = json.loads((EDITORS / "vscode" / "package.json").read_text())["contributes"]
    for path in (contributes["grammars"][0]["path"], contributes["languages"][0]["configuration"]):
        assert (EDITORS / "vscode" / path).is_file()
    assert contributes["grammars"][0]["scopeName"] == GRAMMAR["scopeName"]


def test_the_task_s_pattern_reads_a_diagnostic() -> None:
    (task,) = json.loads((EDITORS / "vscode" / "tasks.json").read_text())["tasks"]
    pattern = task["problemMatcher"]["pattern"]
    match = re.match(pattern["regexp"], "src/Clock.ipc:7:14: error: unknown type 'Strng'")
    assert match
    assert [match[pattern[key]] for key in ("file", "line", "column", "severity", "message")] == [
        *("src/Clock.ipc", "7", "14", "error", "unknown type 'Strng'"),
    ]
