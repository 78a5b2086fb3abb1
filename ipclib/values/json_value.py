"""Owns JsonValue: JSON text on the wire, checked for size and depth before anything is built of it. Knows
codecs only.
"""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeAlias

from ipclib.errors import ProtocolViolation
from ipclib.values.codecs import Buffer, Codec, Files, Frame, byte_string

MAX_DEPTH = 64
"""Of arrays and objects inside each other, both ways."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = frozenset(b"[{")


class JsonValue(Codec[Any]):
    name = "JsonValue"
    smallest = 5

    def encode(self, value: Any, files: Files) -> bytes:
        _check(value, 0)
        return byte_string.encode(_ENCODER.encode(value).encode(), files)

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[Any, int]:
        raw, at = byte_string.decode(data, at, frame)
        frame.spend(_nodes(raw, frame.elements))
        try:
            value = _DECODER.decode(str(raw, "utf-8"))
            if b"\\u" in raw:
                _ENCODER.encode(
                    value
                ).encode()  # Refuses halves of surrogate pairs, which no str should hold.
        except RecursionError:
            raise ProtocolViolation("JSON nested too deep for this stack") from None
        return value, at

    def python_types(self) -> frozenset[type]:
        return frozenset((type(None), bool, int, float, str, list, dict))


def _check(value: Any, depth: int) -> None:
    """Raise TypeError or ValueError when a value is none that JSON gives back as it was."""
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
            _check(element, depth + 1)
    elif not (value is None or isinstance(value, (bool, int, str))):
        raise TypeError(
            f"{type(value).__name__} is not JSON, which has None, bool, int, float, str, list and dict"
        )


def _check_keys(value: dict[Any, Any]) -> None:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"the key {key!r} of a JSON object is not a str")


def _nodes(raw: bytes, most: int) -> int:
    """How many values a text has, or a few more. ProtocolViolation when they are more than `most` or nested
    too deep: found in linear time, with nothing built but a copy of the text in which each string is a 0."""
    if raw.count(b'"') > 4 * most and any(True for _ in islice(_STRING.finditer(raw), 2 * most, None)):
        raise ProtocolViolation("JSON with more strings than max_elements allows")
    skeleton = _STRING.sub(b"0", raw)
    opened = skeleton.count(b"[") + skeleton.count(b"{")
    nodes = 1 + skeleton.count(b",") + opened - skeleton.count(b"[]") - skeleton.count(b"{}")
    if nodes > most:
        raise ProtocolViolation("JSON with more values than max_elements allows")
    if opened > MAX_DEPTH:
        _check_depth(skeleton.translate(None, _NOT_BRACKETS), opened)
    return nodes


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
    """What JSON can say."""
else:
    Json = Annotated[object, json_value]
