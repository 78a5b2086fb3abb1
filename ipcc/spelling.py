"""Owns hints for unknown types: the built-in type that a word of another language means, or the nearest name.

Must not know where a name stands. No hint leads to a number type that holds less than the word says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ipcc.builtin_types import INTEGERS
from ipcc.diagnostics import did_you_mean

_WORDS = {
    "String": "str string std::string text unicode qstring path",
    "ByteString": "bytes bytearray memoryview binary blob buffer bytebuffer std::bytes",
    "bool": "boolean std::bool",
    "Vector": "list vec vector std::vector arraylist sequence iterable set frozenset hashset tuple slice",
    "HashMap": "dict map hashmap std::map std::unordered_map unordered_map hashtable mapping",
    "OrderedHashMap": "ordereddict orderedhashmap",
    "Optional": "optional option maybe nullable std::optional",
    "Variant": "union variant oneof either std::variant",
    "Empty": "none void null unit nil",
    "JsonValue": "json any object",
    "Core::DateTime": "datetime date",
    "UnixDateTime": "timestamp time unixtime",
    "Duration": "timedelta duration",
    "IPC::File": "fd filedescriptor",
    "Gfx::ShareableBitmap": "image bitmap",
    "u8": "byte uchar",
    "i16": "short",
    "u16": "ushort",
    "i64": "long longlong long_long bigint isize ssize_t ptrdiff_t off_t",
    "u64": "ulong ulonglong usize uintptr_t",
    "float": "float",
    "double": "double real",
    "int": "int",
    "unsigned": "unsigned",
}
_MEANT = {word: type for type, words in _WORDS.items() for word in words.split()}
_SEVERAL_WORDS = {
    "unsigned char": "u8",
    "signed char": "i8",
    "unsigned short": "u16",
    "unsigned int": "u32",
    "unsigned long": "u64",
    "short int": "i16",
    "long int": "i64",
    "long long": "i64",
    "unsigned long long": "u64",
}
_WIDE = re.compile(
    r"(?:std::)?(?P<unsigned>u|unsigned)?_?(?:signed_?)?(?P<kind>int|integer|i|float|fp|f|double|real)?"
    r"_?(?:fast|least)?(?P<bits>\d{1,9})(?:_t)?",
    re.IGNORECASE,
)
_NO_WIDTH = re.compile(r"u?integer|uint|number|num", re.IGNORECASE)
_ALL_INTEGERS = "i8, i16, i32, i64, u8, u16, u32 and u64"
_NUMBERS = frozenset((*INTEGERS, "float", "double", "float_"))


def meant_by(name: str) -> str:
    """The built-in type that a word of another language means; empty if it means none, or one of several."""
    wide = _WIDE.fullmatch(name)
    if wide:
        return next((type for bits, type in _of_kind(wide) if bits == int(wide["bits"])), "")
    return _MEANT.get(name.removeprefix("::").casefold(), "")


def did_you_mean_type(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown type: the built-in type that it means, or the nearest known name."""
    meant = meant_by(name)
    if meant and meant != name:
        return f"did you mean '{meant}'?"
    wide = _WIDE.fullmatch(name)
    if wide:
        enough = [type for bits, type in _of_kind(wide) if bits >= int(wide["bits"])]
        listed = " or ".join(filter(None, (", ".join(enough[:-1]), *enough[-1:])))
        return f"write {listed}" if enough else "a number has at most 64 bits"
    if _NO_WIDTH.fullmatch(name):
        return f"the integers are {_ALL_INTEGERS}"
    return did_you_mean(name, (other for other in known if not _may_hold_less(other, name)))


def meant_by_words(words: Iterable[str]) -> str:
    """The built-in type that several words mean together in C: `unsigned long`."""
    together = " ".join(words)
    return _SEVERAL_WORDS.get(together) or _SEVERAL_WORDS.get(together.removesuffix(" int"), "")


def _of_kind(match: re.Match[str]) -> list[tuple[int, str]]:
    """The number types of the kind that a word says, by their bits."""
    if (match["kind"] or "i").casefold() in ("float", "fp", "f", "double", "real"):
        return [(32, "float"), (64, "double")]
    return [(bits, f"{'u' if match['unsigned'] else 'i'}{bits}") for bits in (8, 16, 32, 64)]


def _may_hold_less(candidate: str, word: str) -> bool:
    """Whether a number type may hold less than a misspelt word says: it has other digits or is far off."""
    if candidate not in _NUMBERS:
        return False
    digits = re.findall(r"\d+", word), re.findall(r"\d+", candidate)
    return digits[0] != digits[1] or abs(len(word) - len(candidate)) > 2
