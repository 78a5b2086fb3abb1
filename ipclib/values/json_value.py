"""Owns JsonValue: JSON text on the wire, whose size and depth are checked before anything is built of it.
Must not know messages, frames, sockets or loops.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeAlias

from ipclib.errors import ProtocolViolation
from ipclib.showing import value_shown
from ipclib.values.codecs import Codec, byte_string
from ipclib.values.decoding import Buffer, Decoding, Files, Outgoing, Unrepresentable

if TYPE_CHECKING:
    from ipclib.values.samples import Dice

MAX_DEPTH = 64
"""How deep arrays and objects may be nested, sent or received."""

# The CPU time of decoding, and of encoding again. That of an integer grows with the square of its digits:
# 4,300 of them, which is Python's limit, take 180 us.
_NS_PER_BYTE = 8
_NS_PER_ESCAPE = 50
_LONG_INTEGER = re.compile(rb"[0-9]{100,}+")
_DIGITS_SQUARED_PER_NS = 100
_DIGITS_PER_BIT = math.log10(2)
_LONG_BITS = int(99 / _DIGITS_PER_BIT)

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = frozenset(b"[{")
# The JSON decoder would make half a surrogate pair a str that cannot be encoded again.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


class JsonValue(Codec[Any]):
    """The codec of JSON values: None, bool, int, float, str, list and dict."""

    name = "JsonValue"
    smallest = 5
    counts = True

    def encode(self, value: Any, files: Files) -> bytes:
        long_integers: list[int] = []
        nodes = _check(value, 0, long_integers)
        raw = _ENCODER.encode(value).encode()
        if type(files) is Outgoing:
            files.elements += nodes
            files.work += _text_cost(raw, raw.count(b"\\")) + _digits(long_integers)
        return byte_string.encode(raw, files)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[Any, int]:
        raw, at = byte_string.decode(data, at, decoding)
        escapes = raw.count(b"\\")
        decoding.spend_work(_text_cost(raw, escapes), "JSON that is too long, or has too many escapes")
        # Without escaped quotes and backslashes: each quote begins or ends a string.
        bare = raw.replace(rb"\\", b"").replace(rb"\"", b"") if escapes else raw
        nodes, digits = _cost(bare, decoding.elements)
        decoding.spend(nodes)
        decoding.spend_work(digits, "JSON with too many long integers")
        if escapes and _HALF.search(bare) and _HALF.search(_PAIR.sub(b"0", bare)):
            raise Unrepresentable("JSON with half a surrogate pair, which no str should hold")
        try:
            return _DECODER.decode(str(raw, "utf-8")), at
        except UnicodeDecodeError as error:
            raise Unrepresentable(f"JSON that is not UTF-8: {error}") from None
        except RecursionError:
            raise Unrepresentable("JSON nested too deep for this stack") from None

    def python_types(self) -> frozenset[type]:
        return frozenset((type(None), bool, int, float, str, list, dict))

    def sample(self, dice: Dice) -> Any:
        match dice.random.randrange(4):
            case 0:
                return dice.several(self.sample)
            case 1:
                return dict(dice.several(lambda dice: (dice.text(), self.sample(dice))))
            case 2:
                return dice.text()
        return dice.random.choice((None, True, False, 1.5, dice.integer(-(1 << 53), 1 << 53)))


def _check(value: Any, depth: int, long_integers: list[int]) -> int:
    """Count the values in a value, and collect the digits of its long integers.

    Raises:
        TypeError, ValueError: JSON would not return the value as it was.
    """
    nodes = 1
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"JSON has no {value}")
    elif isinstance(value, (list, dict)):
        if depth == MAX_DEPTH:
            raise ValueError(f"JSON nested deeper than {MAX_DEPTH}")
        if isinstance(value, dict):
            _check_keys(value)
            value = value.values()
        for element in value:
            nodes += _check(element, depth + 1, long_integers)
    elif isinstance(value, int):
        if value.bit_length() > _LONG_BITS:
            long_integers.append(int(value.bit_length() * _DIGITS_PER_BIT) + 1)
    elif not (value is None or isinstance(value, str)):
        raise TypeError(
            f"{type(value).__name__} is not JSON, which has None, bool, int, float, str, list and dict"
        )
    return nodes


def _check_keys(value: dict[Any, Any]) -> None:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"the key {value_shown(key)} of a JSON object is not a str")
    if len({str.__str__(key) for key in value}) != len(value):
        raise ValueError("two keys of a JSON object are the same text")


def _text_cost(raw: bytes, escapes: int) -> int:
    """The cost of a text with so many escapes, in nanoseconds."""
    return len(raw) * _NS_PER_BYTE + escapes * _NS_PER_ESCAPE


def _digits(lengths: list[int]) -> int:
    """The cost of long integers with so many digits, in nanoseconds."""
    return sum([length * length // _DIGITS_SQUARED_PER_NS for length in lengths])


def _cost(bare: bytes, most: int) -> tuple[int, int]:
    """How many values a text without escapes has, and the cost of its long integers in nanoseconds.

    Takes linear time, and builds only a copy of the text without spaces in which each string is a 0.

    Raises:
        ProtocolViolation: there are more values than `most`, or they are nested too deep.
    """
    if bare.count(b'"') > 4 * most:
        raise ProtocolViolation("JSON with more strings than max_elements allows")
    skeleton = b"0".join(bare.split(b'"')[::2]).translate(None, b" \t\r\n")
    opened = skeleton.count(b"[") + skeleton.count(b"{")
    nodes = 1 + skeleton.count(b",") + opened - skeleton.count(b"[]") - skeleton.count(b"{}")
    if nodes > most:
        raise ProtocolViolation("JSON with more values than max_elements allows")
    if opened > nodes:
        raise ProtocolViolation("JSON with several values side by side")
    if opened > MAX_DEPTH:
        _check_depth(skeleton.translate(None, _NOT_BRACKETS), opened)
    return nodes, _digits([len(digits) for digits in _LONG_INTEGER.findall(skeleton)])


def _check_depth(brackets: bytes, opened: int) -> None:
    if len(brackets) != 2 * opened:
        raise ProtocolViolation("JSON with brackets that do not match")
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in _OPENING else -1
        if depth > MAX_DEPTH:
            raise ProtocolViolation(f"JSON nested deeper than {MAX_DEPTH}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is beyond a double")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False)
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)

json_value: Codec[Any] = JsonValue()

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
    """The values that JSON can express."""
else:
    Json = Annotated[object, json_value]
