"""Owns an interpreter of grammars: whether a sequence of tokens can be derived from the rules of a text.

Must not know the parser that it is compared with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ipcc.tokens import Kind, Token

Item = tuple[str, str]
"""The name of a terminal, or `text` for a fixed text; then the text itself."""
Matcher = Callable[[int], frozenset[int]]
"""Maps a place in the items to the places after each possible match."""


class Grammar:
    """A grammar in the notation of docs/grammar.md."""

    def __init__(self, text: str) -> None:
        self._rules = {
            name: re.findall(r"\"[^\"]*\"|'[^']*'|[\w-]+|[][(){}|,]", body)
            for name, body in re.findall(r"^(\S+) = (.*) ;$", text, re.MULTILINE)
        }

    def accepts(self, tokens: Sequence[Token]) -> bool:
        """Whether the tokens are a `file`."""
        items = [item for token in tokens for item in _items(token)]
        return len(items) in _Matching(self._rules, items).rule("file")(0)


def _items(token: Token) -> list[Item]:
    if token.kind is Kind.INCLUDE:
        first, last = token.text[0], token.text[-1]
        return [("text", "#include"), ("text", first), ("path", token.text[1:-1]), ("text", last)]
    names = {Kind.NAME: "name", Kind.NUMBER: "number"}
    return [] if token.kind is Kind.END else [(names.get(token.kind, "text"), token.text)]


class _Matching:
    """The rules as functions over one sequence of items."""

    def __init__(self, rules: dict[str, list[str]], items: Sequence[Item]) -> None:
        self._rules = rules
        self._items = items
        self._found: dict[tuple[str, int], frozenset[int]] = {}

    def rule(self, name: str) -> Matcher:
        if name not in self._rules:
            return lambda at: self._step(at, lambda item: item[0] == name)

        def match(at: int) -> frozenset[int]:
            if (name, at) not in self._found:
                self._found[name, at] = self._alternatives(list(self._rules[name]))(at)
            return self._found[name, at]

        return match

    def _step(self, at: int, fits: Callable[[Item], bool]) -> frozenset[int]:
        return frozenset({at + 1} if at < len(self._items) and fits(self._items[at]) else ())

    def _alternatives(self, words: list[str]) -> Matcher:
        """Remove alternatives from the front of the words, up to a closing bracket or the end."""
        choices = [self._sequence(words)]
        while words and words[0] == "|":
            words.pop(0)
            choices.append(self._sequence(words))
        if len(choices) == 1:
            return choices[0]

        def match(at: int) -> frozenset[int]:
            found: set[int] = set()
            for choice in choices:
                found |= choice(at)
            return frozenset(found)

        return match

    def _sequence(self, words: list[str]) -> Matcher:
        parts: list[Matcher] = []
        while words and words[0] not in ("|", ")", "]", "}"):
            parts.append(self._part(words))

        def match(start: int) -> frozenset[int]:
            places = {start}
            for part in parts:
                found: set[int] = set()
                for place in places:
                    found |= part(place)
                places = found
            return frozenset(places)

        return match

    def _part(self, words: list[str]) -> Matcher:
        word = words.pop(0)
        if word[0] in "\"'":
            return lambda at: self._step(at, lambda item: item[1] == word[1:-1] and item[0] != "path")
        if word not in ("(", "[", "{"):
            return self.rule(word)
        inside = self._alternatives(words)
        words.pop(0)
        if word == "(":
            return inside
        if word == "[":
            return lambda at: inside(at) | {at}
        return lambda at: _repeated(inside, at)


def _repeated(inside: Matcher, at: int) -> frozenset[int]:
    found, new = {at}, [at]
    while new:
        places = inside(new.pop()) - found
        found |= places
        new += places
    return frozenset(found)
