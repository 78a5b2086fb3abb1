"""Owns what docs/wire.md says, read off its tables and blocks, and a peer that knows the wire by them alone.
Must not know ipclib or ipcc, which are compared with it.
"""

from __future__ import annotations

import ast
import re
import struct
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "wire.md").read_text()
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
FRAMES = [name.removesuffix(".frame") for name in BLOCKS if name.endswith(".frame")]


def split(text: str, separator: str = ",") -> list[str]:
    """Split at the separators that are in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "<([{") - (character in ">)]}")
        if character == separator and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def table(heading: str) -> list[dict[str, str]]:
    """Return the rows of the first table under a heading, by column."""
    section = re.split(rf"^#+ {re.escape(heading)}(?: \(\+\))?\n", TEXT, flags=re.MULTILINE)[1]
    lines = re.split(r"^\|", section, maxsplit=1, flags=re.MULTILINE)[1].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    columns = rows[0]
    return [dict(zip(columns, row, strict=False)) for row in rows[2:]]


def code(cell: str) -> str:
    return cell.strip("`")


# A peer that knows docs/wire.md alone

_CHARACTERS = {
    "unsigned": {1: "B", 2: "H", 4: "I", 8: "Q"},
    "signed": {1: "b", 2: "h", 4: "i", 8: "q"},
    "floating point": {4: "f", 8: "d"},
}
NUMBERS: dict[str, str] = {
    name: _CHARACTERS[row["kind"]][int(row["bytes"])]
    for row in table("Numbers")
    for name in re.findall("`(.*?)`", row["type"])
}
"""The struct format of each number."""
CONSTANTS: dict[str, int] = {row["name"]: int(row["value"], 0) for row in table("Constants")}


@attrs.frozen
class Part:
    """A part of a layout: a type, or several in a row, as many times as the part named `counter` says."""

    type: str = ""
    name: str = ""
    counter: str = ""
    is_picked: bool = False
    """Whether `counter` picks the type from the arguments."""
    group: tuple[Part, ...] = ()


def _parts(layout: str) -> tuple[Part, ...]:
    return tuple(_part(text) for text in split(layout) if text != "-")


def _part(text: str) -> Part:
    counter, times, rest = text.rpartition(" \N{MULTIPLICATION SIGN} ")
    if times:
        group = _parts(rest.strip("()")) if rest.startswith("(") else ()
        return Part("" if group else rest, counter=counter, group=group)
    if picked := re.fullmatch(r"T\[(\w+)\]", text):
        return Part(counter=picked[1], is_picked=True)
    if found := re.fullmatch(r"(.+) ([a-z_]+)", text):
        return Part(found[1], found[2])
    return Part(text)


LAYOUTS: dict[str, tuple[list[str], tuple[Part, ...]]] = {
    re.sub(r"<.*", "", spelled): (split(re.sub(r"^[^<]*<?|>$", "", spelled)), _parts(code(row["layout"])))
    for row in table("Values")
    for spelled in re.findall("`(.*?)`", row["type"])
}
"""The parameters and the layout of each type, by its name."""


@attrs.define
class Stream:
    """Bytes and descriptors that are read, and what each number and text among them was."""

    data: bytes
    fds: list[Any] = attrs.field(factory=list)
    at: int = 0
    leaves: list[tuple[str, str, Any]] = attrs.field(factory=list)
    """Name, struct format and value, in order."""

    def take(self, format: str, name: str) -> Any:
        """Read a number or a text by its struct format."""
        (value,) = struct.unpack_from("=" + format, self.data, self.at)
        self.at += struct.calcsize("=" + format)
        if format != "0s":
            self.leaves.append((name, format, value))
        return value


_ORDINALS = ("first", "second", "third", "fourth")


class Peer:
    """Reads by the tables. A struct is a list, an Optional its value or None, a Variant index and value."""

    def __init__(self, interface: str, enums: dict[str, str] | None = None) -> None:
        self._enums = dict(enums or {})
        self._structs: dict[str, list[tuple[str, str]]] = {}
        self.messages: dict[tuple[str, int], tuple[str, list[tuple[str, str]]]] = {}
        """Name and parameters of each message and answer, by endpoint and id."""
        for kind, name, body in re.findall(
            r"^(enum|struct|endpoint) (.+?)\s*\{(.*?)^\}", interface, re.M | re.S
        ):
            if kind == "enum":
                enum, _, underlying = name.partition(" : ")
                self._enums[enum] = underlying or "i32"
            elif kind == "struct":
                self._structs[name] = self._fields(split(body, ";"))
            else:
                self._add_messages(name, body)

    def _add_messages(self, endpoint: str, body: str) -> None:
        id = CONSTANTS["first message id"]
        for name, inputs, answer, outputs in re.findall(
            r"^ *(\w+)\((.*?)\) =(\||>)(?: \((.*)\))?", body, re.M
        ):
            self.messages[endpoint, id] = (name, self._fields(split(inputs)))
            id += 1
            if answer == ">":
                self.messages[endpoint, id] = (f"answer to {name}", self._fields(split(outputs)))
                id += 1

    @staticmethod
    def _fields(declared: list[str]) -> list[tuple[str, str]]:
        return [(name, type) for type, name in (text.rsplit(None, 1) for text in declared)]

    def _layout(self, type: str) -> tuple[dict[str, str], list[str], tuple[Part, ...]]:
        name = re.sub(r"<.*", "", type)
        arguments = split(re.sub(r"^[^<]*<?|>$", "", type))
        parameters, parts = LAYOUTS[name]
        return dict(zip(parameters, arguments, strict=False)), arguments, parts

    def read(self, type: str, stream: Stream, name: str) -> Any:
        """Read a value."""
        type = self._enums.get(type.removeprefix("AK::"), type.removeprefix("AK::"))
        if type in NUMBERS:
            return stream.take(NUMBERS[type], name)
        if type in self._structs:
            return [self.read(of, stream, f"{name}.{field}") for field, of in self._structs[type]]
        bound, arguments, parts = self._layout(type)
        return self._read_parts(parts, bound, arguments, stream, name)

    def _read_parts(
        self, parts: tuple[Part, ...], bound: dict[str, str], arguments: list[str], stream: Stream, name: str
    ) -> Any:
        values: list[Any] = []
        counts: dict[str, tuple[str, int]] = {}
        for part in parts:
            if any(part.name and part.name == other.counter for other in parts):
                count = stream.take(NUMBERS[part.type], f"{name}, {part.name}")
                counts[part.name] = (part.type, count)
                assert bound.get("N", str(count)) == str(count), f"{name}: a count of {count}"
            elif part.is_picked:
                _type, index = counts[part.counter]
                values.append((index, self.read(arguments[index], stream, name)))
            elif part.counter:
                of, count = counts[part.counter]
                values.append(self._read_repeated(part, of, count, bound, stream, name))
            elif part.type == "fd":
                values.append(stream.fds.pop(0))
            else:
                values.append(self.read(bound.get(part.type, part.type), stream, name))
        return (values[0] if len(values) == 1 else values) if parts else None

    def _read_repeated(
        self, part: Part, counted: str, count: int, bound: dict[str, str], stream: Stream, name: str
    ) -> Any:
        def one(name: str) -> Any:
            if part.group:
                return self._read_parts(part.group, bound, [], stream, name)
            return self.read(bound.get(part.type, part.type), stream, name)

        if counted == "bool":
            return one(name) if count else None
        if bound.get(part.type, part.type) == "u8":
            return stream.take(f"{count}s", name)
        return [one(f"{name}, {ordinal}") for ordinal in [*_ORDINALS, *["..."] * count][:count]]

    def read_frame(self, stream: Stream) -> tuple[str, list[Any]]:
        """Read a whole frame: the name of its message or control frame, and its values."""
        _size, magic, id = (stream.take(NUMBERS[code(row["type"])], row["field"]) for row in table("Header"))
        if id < CONSTANTS["first message id"]:
            name = {int(row["id"]): row["name"] for row in table("Ids of control frames")}[id]
            fields = [(row["field"], code(row["type"])) for row in table(f"{name.title()}: id {id}")]
        else:
            endpoint = {int(row["magic"]): code(row["endpoint"]) for row in table("Magics")}[magic]
            name, fields = self.messages[endpoint, id]
        values = [self.read(type, stream, field) for field, type in fields]
        if id >= CONSTANTS["first message id"] and stream.data.endswith(struct.pack("=I", CONSTANTS["tag"])):
            for row in table("Trailer"):
                stream.take(NUMBERS[code(row["type"])], row["field"])
        assert stream.at == len(stream.data)
        return name, values


DESK = Peer(BLOCKS["Desk.ipc"])


def lines_of(name: str) -> list[tuple[bytes, str, str]]:
    """Return bytes, field and value of each line of an example."""
    cells = [re.split(r"\s{2,}", line.strip(), maxsplit=2) for line in BLOCKS[f"{name}.frame"].splitlines()]
    return [(bytes.fromhex(digits), field, value) for digits, field, value in cells]


def frame_of(name: str) -> bytes:
    return b"".join(raw for raw, _field, _value in lines_of(name))


def value_of(text: str) -> int | bytes:
    return ast.literal_eval(text).encode() if text.startswith('"') else int(re.split("[, ]", text)[0], 0)


def format_of(heading: str) -> str:
    """Return the struct format of a table of fields, whose offsets and lengths are right.

    A `String` is its length alone.
    """
    rows = table(heading)
    at = int(rows[0]["offset"])
    for row in rows:
        assert int(row["offset"]) == at, row
        if type := NUMBERS.get(code(row["type"])):
            assert int(row["bytes"]) == struct.calcsize("=" + type), row
        at += struct.calcsize("=" + NUMBERS.get(code(row["type"]), "I"))
    return "=" + "".join(NUMBERS.get(code(row["type"]), "I") for row in rows)


def magic_of(name: str) -> int:
    """Return the magic of an endpoint, as the page's steps say."""
    value = 0
    for byte in name.encode():
        value = value + (byte ^ 0x80) - 0x80 & 0xFFFFFFFF
        value = value + (value << 10) & 0xFFFFFFFF
        value ^= value >> 6
    value = value + (value << 3) & 0xFFFFFFFF
    value ^= value >> 11
    return value + (value << 15) & 0xFFFFFFFF
