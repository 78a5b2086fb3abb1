"""Owns how values without parts are written: numbers, texts, times, URLs, colours and the like.
Must not know structs, containers, or where a value stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

import attrs

from ipclib import URL, BlobEntry, Duration, OpenMode, Origin, ProxyData, UnixDateTime, generated, gfx
from ipclib.values.codecs import Codec
from ipclib.values.core_values import ProxyType
from ipctools.attachments import Inputs, Outputs
from ipctools.display import compact
from ipctools.memory import (
    BYTES_OBJECTS,
    parse_bitmap,
    parse_buffer,
    parse_bytes,
    parse_file,
    show_bitmap,
    show_buffer,
    show_bytes,
    show_file,
)
from ipctools.misfit import Misfit, Word, within


@attrs.frozen
class Leaf:
    """A type without parts: a function that makes a value of JSON or a word, and one that does the reverse.

    The second also gets the name under which a content is saved.
    """

    parse: Callable[[Any, Inputs], Any]
    show: Callable[[Any, Outputs, str], Any]
    is_text: bool = False
    """Whether a word is the value itself, even if it looks like a number."""
    objects: tuple[frozenset[str], ...] = ()
    """Of a text: the members of the JSON objects that a word may be instead."""


def _plain(parse: Callable[[Any], Any], show: Callable[[Any], Any], *, is_text: bool = False) -> Leaf:
    return Leaf(lambda node, _inputs: parse(node), lambda value, _outputs, _name: show(value), is_text)


def refused(node: Any, wanted: str) -> Misfit:
    """Make the Misfit for JSON of another kind."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a bool", type(None): "null"}
    kind = f"'{node}'" if isinstance(node, Word) else kinds.get(type(node), str(node))
    return Misfit(f"{kind} where {wanted} is needed")


def members(node: Any, names: tuple[str, ...], wanted: str) -> list[Any]:
    """The members of a JSON object that has all of these and no others.

    Raises:
        Misfit: it has not.
    """
    if not isinstance(node, dict) or set(node) != set(names):
        raise refused(node, f"{wanted}, an object with {', '.join(names)},")
    return [node[name] for name in names]


# --- numbers and texts ---


def _parse_bool(node: Any) -> bool:
    if isinstance(node, bool):
        return node
    if isinstance(node, Word) and node in ("true", "false"):
        return node == "true"
    raise refused(node, "true or false")


def _integer(codec: Codec[int]) -> Leaf:
    def parse(node: Any) -> int:
        if isinstance(node, Word):
            try:
                node = int(node, 0)
            except ValueError:
                raise refused(node, f"a whole number ({codec.name})") from None
        if not isinstance(node, int) or isinstance(node, bool):
            raise refused(node, f"a whole number ({codec.name})")
        _check(codec, node)
        return node

    return _plain(parse, int)


def _check(codec: Codec[Any], value: Any) -> None:
    try:
        codec.encode(value, [])
    except (ValueError, TypeError, OverflowError) as error:
        raise Misfit(f"{compact(value)} does not fit: {error}") from None


_NOT_IN_JSON = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _real(codec: Codec[float]) -> Leaf:
    def parse(node: Any) -> float:
        if isinstance(node, str):
            if node in _NOT_IN_JSON:
                return _NOT_IN_JSON[node]
            try:
                node = float(node) if isinstance(node, Word) else node
            except ValueError:
                raise refused(node, f"a number ({codec.name})") from None
        if not isinstance(node, int | float) or isinstance(node, bool):
            raise refused(node, f"a number ({codec.name})")
        try:
            number = float(node)
        except OverflowError:
            raise Misfit(f"{node} is too large for {codec.name}") from None
        _check(codec, number)
        return number

    return _plain(parse, _show_real)


def _show_real(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _parse_text(node: Any) -> str:
    if not isinstance(node, str):
        raise refused(node, "a text")
    try:
        node.encode()
    except UnicodeEncodeError:
        raise Misfit("the text is not UTF-8") from None
    return str(node)


def _parse_nothing(node: Any) -> None:
    if node is not None:
        raise refused(node, "null")


def _parse_json(node: Any) -> Any:
    if isinstance(node, Word):
        raise Misfit(f"'{node}' is no JSON; a text needs its quotes, as in NAME='\"text\"'")
    _check(generated.json_value, node)
    return node


# --- times ---

_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_LENGTH = re.compile(rf"(-?[0-9]+(?:\.[0-9]+)?) ?({'|'.join(_UNITS)})")


def _parse_duration(node: Any) -> Duration:
    match = _LENGTH.fullmatch(node) if isinstance(node, str) else None
    if match is None:
        raise refused(node, f"a length of time such as 1.5s ({', '.join(_UNITS)})")
    nanoseconds = Decimal(match[1]) * _UNITS[match[2]]
    if nanoseconds != nanoseconds.to_integral_value():
        raise Misfit(f"{node} is no whole number of nanoseconds")
    try:
        return Duration(int(nanoseconds))
    except ValueError as error:
        raise Misfit(str(error)) from None


def _show_duration(value: Duration | timedelta) -> str:
    if isinstance(value, timedelta):
        value = Duration.from_timedelta(value)
    whole, rest = divmod(abs(value.nanoseconds), 10**9)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if value.nanoseconds < 0 else ''}{whole}{fraction}s"


_MOMENT = re.compile(r"(.{10,19}?)(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:?[0-9]{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _seconds_and_nanoseconds(node: Any) -> tuple[int, int]:
    """The seconds since the epoch of a text in the form of ISO 8601, and the nanoseconds after them."""
    match = _MOMENT.fullmatch(node) if isinstance(node, str) else None
    if match is None:
        raise refused(node, "a moment such as 2026-01-31T12:00:00Z, with its time zone,")
    try:
        moment = datetime.fromisoformat(match[1] + match[3])
        seconds = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError) as error:
        raise Misfit(f"'{node}' is no moment: {error}") from None
    return seconds, int((match[2] or "0").ljust(9, "0"))


def _parse_unix_date_time(node: Any) -> UnixDateTime:
    seconds, nanoseconds = _seconds_and_nanoseconds(node)
    try:
        return UnixDateTime(seconds * 10**9 + nanoseconds)
    except ValueError as error:
        raise Misfit(str(error)) from None


def _show_unix_date_time(value: UnixDateTime | datetime) -> str:
    if isinstance(value, datetime):
        value = UnixDateTime.from_datetime(value)
    seconds, rest = divmod(value.nanoseconds, 10**9)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{_seconds_shown(_EPOCH + timedelta(seconds=seconds))}{fraction}Z"


def _parse_date_time(node: Any) -> datetime:
    seconds, nanoseconds = _seconds_and_nanoseconds(node)
    if nanoseconds:
        raise Misfit(f"'{node}' has a fraction, and a Core::DateTime has whole seconds")
    return _EPOCH + timedelta(seconds=seconds)


def _seconds_shown(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat()


# --- URLs and proxies ---


def _parse_host(node: Any) -> Any:
    try:
        match node:
            case None:
                return None
            case str():
                return str(node)
            case {"ipv4": str(text)} if len(node) == 1:
                return IPv4Address(text)
            case {"ipv6": str(text)} if len(node) == 1 and "%" not in text:
                return IPv6Address(text)
    except AddressValueError as error:
        raise Misfit(f"{error}") from None
    raise refused(node, 'null, a name, {"ipv4": "..."} or {"ipv6": "..."}')


def _show_host(host: Any) -> Any:
    match host:
        case IPv4Address():
            return {"ipv4": str(host)}
        case IPv6Address():
            return {"ipv6": str(host)}
    return host


def _parse_origin(node: Any) -> Origin:
    scheme, host, port = members(node, ("scheme", "host", "port"), "an origin")
    with within(".host"):
        parsed = _parse_host(host)
    with within(".port"):
        return Origin(_parse_text(scheme), parsed, None if port is None else _U16.parse(port, Inputs()))


def _show_origin(value: Origin) -> dict[str, Any]:
    return {"scheme": value.scheme, "host": _show_host(value.host), "port": value.port}


def _parse_url(node: Any, inputs: Inputs) -> URL:
    if isinstance(node, str):
        return URL(_parse_text(node))
    text, blob = members(node, ("text", "blob"), "a URL: a text, or")
    kind, data, origin = members(blob, ("type", "data", "origin"), "a blob")
    with within(".blob"):
        entry = BlobEntry(_parse_text(kind), parse_bytes(data, inputs), _parse_origin(origin))
    return URL(_parse_text(text), entry)


def _show_url(value: URL, outputs: Outputs, name: str) -> Any:
    blob = value.blob_entry
    if blob is None:
        return value.text
    data = show_bytes(blob.data, outputs, name)
    return {
        "text": value.text,
        "blob": {"type": blob.type, "data": data, "origin": _show_origin(blob.origin)},
    }


def _parse_proxy(node: Any) -> ProxyData:
    kind, host, port = members(node, ("type", "host", "port"), "a proxy")
    if not isinstance(kind, str) or kind not in ProxyType.__members__:
        raise refused(Word(str(kind)), f"one of {', '.join(ProxyType.__members__)}")
    try:
        address = int(IPv4Address(host))
    except (AddressValueError, TypeError) as error:
        raise Misfit(f".host: {error}") from None
    return ProxyData(ProxyType[kind], address, _I32.parse(port, Inputs()))


def _show_proxy(value: ProxyData) -> dict[str, Any]:
    return {"type": value.type.name, "host": str(IPv4Address(value.host_ipv4)), "port": value.port}


def _parse_open_mode(node: Any) -> OpenMode:
    mode = OpenMode(0)
    if not isinstance(node, str):
        raise refused(node, "a text such as READ_ONLY|APPEND")
    for name in node.split("|"):
        if name in OpenMode.__members__:
            mode |= OpenMode[name]
        elif name.isdecimal():
            _check(generated.u32, int(name))
            mode |= OpenMode(int(name))
        else:
            raise Misfit(f"'{name}' is none of {', '.join(OpenMode.__members__)}")
    return mode


def _show_open_mode(value: OpenMode) -> str:
    left = int(value)
    names = []
    for name, flag in OpenMode.__members__.items():
        if int(flag).bit_count() == 1 and left & flag:
            names.append(name)
            left &= ~int(flag)
    return "|".join([*names, *([str(left)] if left else [])]) or "NOT_OPEN"


# --- gfx ---


def _geometry(python: type[Any], number: Leaf) -> Leaf:
    names = tuple(field.name for field in attrs.fields(python))

    def parse(node: Any, inputs: Inputs) -> Any:
        values = members(node, names, f"a {python.__name__}")
        numbers = []
        for name, value in zip(names, values, strict=True):
            with within(f".{name}"):
                numbers.append(number.parse(value, inputs))
        return python(*numbers)

    def show(value: Any, outputs: Outputs, name: str) -> dict[str, Any]:
        return {field: number.show(getattr(value, field), outputs, name) for field in names}

    return Leaf(parse, show)


_COLOR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})?")


def _parse_color(node: Any) -> gfx.Color:
    match = _COLOR.fullmatch(node) if isinstance(node, str) else None
    if match is None:
        raise refused(node, "a colour such as #ff8000 or, with its alpha, #ff8000c0")
    return gfx.Color(*(int(digits, 16) for digits in match.groups() if digits))


def _show_color(value: gfx.Color) -> str:
    alpha = "" if value.a == 255 else f"{value.a:02x}"
    return f"#{value.r:02x}{value.g:02x}{value.b:02x}{alpha}"


_I32 = _integer(generated.i32)
_U16 = _integer(generated.u16)
_FLOAT = _real(generated.float_)

LEAVES: dict[str, Leaf] = {
    "boolean": _plain(_parse_bool, bool),
    **{
        name: _integer(getattr(generated, name))
        for name in ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
    },
    "float_": _FLOAT,
    "double": _real(generated.double),
    "string": _plain(_parse_text, str, is_text=True),
    "byte_string": Leaf(parse_bytes, show_bytes, is_text=True, objects=BYTES_OBJECTS),
    "empty": _plain(_parse_nothing, lambda _value: None),
    "json_value": _plain(_parse_json, lambda value: value),
    "file": Leaf(parse_file, show_file),
    "duration": _plain(_parse_duration, _show_duration),
    "unix_date_time": _plain(_parse_unix_date_time, _show_unix_date_time),
    "date_time": _plain(_parse_date_time, lambda value: f"{_seconds_shown(value)}Z"),
    "url": Leaf(_parse_url, _show_url, is_text=True, objects=(frozenset(("text", "blob")),)),
    "origin": _plain(_parse_origin, _show_origin),
    "proxy_data": _plain(_parse_proxy, _show_proxy),
    "open_mode": _plain(_parse_open_mode, _show_open_mode),
    "int_point": _geometry(gfx.IntPoint, _I32),
    "int_size": _geometry(gfx.IntSize, _I32),
    "int_rect": _geometry(gfx.IntRect, _I32),
    "float_point": _geometry(gfx.FloatPoint, _FLOAT),
    "float_size": _geometry(gfx.FloatSize, _FLOAT),
    "float_rect": _geometry(gfx.FloatRect, _FLOAT),
    "color": _plain(_parse_color, _show_color),
    "anonymous_buffer": Leaf(parse_buffer, show_buffer, is_text=True, objects=BYTES_OBJECTS),
    "shareable_bitmap": Leaf(parse_bitmap, show_bitmap),
}
"""For the name of each codec of ipclib.generated that has no parts: how its values are written."""
