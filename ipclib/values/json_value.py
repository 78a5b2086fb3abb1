"""Owns JsonValue: JSON text on the wire, whose size and depth are checked before anything is built of it.
Must not know messages, frames, sockets or loops.
"""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeAlias

from ipclib.errors import ProtocolViolation
from ipclib.values.codecs import Codec, byte_string
from ipclib.values.decoding import Buffer, Decoding, Files

MAX_DEPTH = 64
"""How deep arrays and objects may be nested, sent or received."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = frozenset(b"[{")


class JsonValue(Codec[Any]):
    """The codec of JSON values: None, bool, int, float, str, list and dict."""

    name = "JsonValue"
    smallest = 5

    def encode(self, value: Any, files: Files) -> bytes:
        _check(value, 0)
        return byte_string.encode(_ENCODER.encode(value).encode(), files)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[Any, int]:
        raw, at = byte_string.decode(data, at, decoding)
        decoding.spend(_nodes(raw, decoding.elements))
        value = _DECODER.decode(str(raw, "utf-8"))
        if b"\\u" in raw:
            # Refuses half a surrogate pair, which no str should hold.
            _ENCODER.encode(value).encode()
        return value, at

    def python_types(self) -> frozenset[type]:
        return frozenset((type(None), bool, int, float, str, list, dict))


def _check(value: Any, depth: int) -> None:
    """Raise TypeError or ValueError unless JSON returns a value as it was."""
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
    """How many values a text has, or a few more.

    Takes linear time, and builds only a copy of the text in which each string is a 0.

    Raises:
        ProtocolViolation: there are more than `most`, or they are nested too deep.
    """
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
    """The values that JSON can express."""
else:
    Json = Annotated[object, json_value]
