"""Owns the tests of the words of a line at the prompt, and of what Tab offers.
Must not know services or terminals.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ipctools.completion import completions
from ipctools.failures import Failure
from ipctools.interface import Interface
from ipctools.words import split

EVERYTHING = Interface.of_files([str(Path(__file__).parent / "Everything.ipc")], (), ())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  add  a=1\tb=2 ", ["add", "a=1", "b=2"]),
        ('say text="two words"', ["say", 'text="two words"']),
        (r'say text="a \" b" x', ["say", r'text="a \" b"', "x"]),
        (r'say text="a \\" x', ["say", r'text="a \\"', "x"]),
        ("say text='two words'", ["say", "text=two words"]),
        ("""say text='["a", "b"]' x""", ["say", 'text=["a", "b"]', "x"]),
        ('put list=["a b", {"c": [1, 2]}] x=1', ["put", 'list=["a b", {"c": [1, 2]}]', "x=1"]),
        ("""put list=["it's", "]"] x""", ["put", """list=["it's", "]"]""", "x"]),
        ("say text=", ["say", "text="]),
        ("''", [""]),
    ],
)
def test_a_line_is_split_into_words(line: str, words: list[str]) -> None:
    assert split(line) == words


@pytest.mark.parametrize(
    ("line", "what"),
    [("a='x", "quote"), ('a="x', "quote"), ("a=[1, 2", "bracket"), ('a={"b": [}', "bracket")],
)
def test_what_is_not_closed_is_refused(line: str, what: str) -> None:
    with pytest.raises(Failure, match=f"a {what} is not closed"):
        split(line)


@pytest.mark.parametrize(
    ("before", "word", "offered"),
    [
        ("", "ma", ["maps "]),
        ("", "he", ["help "]),
        ("", "EverythingServer.t", ["EverythingServer.texts ", "EverythingServer.times "]),
        ("help ", "ti", ["times "]),
        ("texts ", "", ["a=", "b=", "c=", "d=", "e=", "f="]),
        ("texts a=1 c=2 ", "", ["b=", "d=", "e=", "f="]),
        ("numbers ", "l=", ["l=false ", "l=true "]),
        ("numbers ", "l=t", ["l=true "]),
        ("places ", "b=", ["b=CITY ", "b=HAMLET "]),
        ("optionals ", "a=", ["a=null "]),
        ("texts a=1 times ", "", ["a=", "b=", "c="]),
        ("nonsense ", "", []),
        ("texts ", "z=", []),
    ],
)
def test_tab_offers_what_may_follow(before: str, word: str, offered: list[str]) -> None:
    assert completions(EVERYTHING, ["exit", "help", "watch"], before, word) == offered
