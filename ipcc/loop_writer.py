"""Owns the text of the codecs that a module writes out as loops.

Must not know which codecs those are, nor import ipclib: it knows `ipclib.generated` as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ipcc.codecs import Codec
from ipcc.loops import Group, Leaf, Loop, Part, Step
from ipcc.printer import Printer
from ipcc.python_text import comma_tuple
from ipcc.types import Packing, Type


class LoopWriter:
    """Writes the class of one codec."""

    def __init__(
        self,
        codec: Codec,
        loop: Loop,
        codec_of: Callable[[Type], str],
        builtin: Callable[[str], str],
        annotation: Callable[[str], str],
        printer: Printer,
    ) -> None:
        self._codec = codec
        self._loop = loop
        self._codec_of = codec_of
        self._builtin = builtin
        self._annotation = annotation
        self._printer = printer
        self._is_struct = bool(codec.type.defined)
        self._is_map = len(loop.parts) > 1
        self._lists = ("_keys", "_values") if self._is_map else ("_values",)
        type = codec.type
        arguments = ", ".join(annotation(part.annotation) for part in type.parts) or annotation(
            type.annotation
        )
        self._base = f"_ipc.{self._general_codec()}[{arguments}]"
        self._general = f"return {self._base}.encode(self, value, files)"
        """What the class does about a value that it does not expect: the general codec says what is wrong."""

    def write(self) -> None:
        """Write the class and the one object of it."""
        type, codec = self._codec.type, self._codec
        head = f"class {codec.class_name}({self._base}):"
        with self._printer.class_body(head, (f"Codes {type.canonical}.",)):
            bytes, files = self._builtin("bytes"), "files: _ipc.Files"
            value = self._annotation(type.annotation)
            with self._printer.function_body(f"def encode(self, value: {value}, {files}) -> {bytes}:"):
                self._write_encoding()
            data = "data: _ipc.Buffer, at: " + self._builtin("int") + ", decoding: _ipc.Decoding"
            result = f"{self._builtin('tuple')}[{value}, {self._builtin('int')}]"
            with self._printer.function_body(f"def decode(self, {data}) -> {result}:"):
                self._write_decoding()
        self._printer.blank()
        self._printer.paragraph([f"{codec.name} = {codec.expression}"])

    def _general_codec(self) -> str:
        """The general codec of such types."""
        if self._is_struct:
            is_plain = all(leaf.type.packing is Packing.NUMBER for leaf in self._loop.leaves)
            return "NumberStructure" if is_plain and len(self._loop.groups) == 1 else "Structure"
        return "HashMap" if self._is_map else "Vector"

    # --- encoding ---

    def _write_encoding(self) -> None:
        write = self._printer.write
        if not self._is_struct:
            python = self._builtin("dict" if self._is_map else "list")
            write(f"if {self._type('value')} is not {python}:")
            with self._printer.indented():
                write(self._general)
        write("try:")
        with self._printer.indented():
            if self._is_struct:
                self._write_packed_struct()
            elif self._is_number_map:
                self._write_packed_entries()
            else:
                self._write_packed_elements()
        # Outside of the except clause, so that the error of the general codec has no other as its context.
        write("except _ipc.ENCODE_ERRORS:")
        with self._printer.indented():
            write("pass  # The general codec says what does not fit.")
        write(self._general)

    def _write_packed_struct(self) -> None:
        self._write_checks()
        pieces = list(self._pieces())
        joined = f'b"".join({comma_tuple(pieces)})'
        self._printer.write(f"return {pieces[0] if len(pieces) == 1 else joined}")

    def _write_packed_elements(self) -> None:
        write = self._printer.write
        write(f"_pieces: {self._builtin('list')}[{self._builtin('bytes')}] = []")
        write("for key, element in value.items():" if self._is_map else "for element in value:")
        with self._printer.indented():
            self._write_checks()
            pieces = list(self._pieces())
            together = f"_pieces += {comma_tuple(pieces)}"
            write(f"_pieces.append({pieces[0]})" if len(pieces) == 1 else together)
        each = f" // {len(pieces)}" if len(pieces) > 1 else ""
        count = f"{self._builtin('len')}(_pieces){each}"
        write(f'return self.counted({count}, files) + b"".join(_pieces)')

    def _write_packed_entries(self) -> None:
        """Pack the entries of a map of numbers without a step of Python for each."""
        write, (step,) = self._printer.write, self._loop.steps
        map, int = self._builtin("map"), self._builtin("int")
        self._write_check(f"{{*{map}({self._builtin('type')}, value)}} - {{{int}}}")
        write(f'_packed = b"".join({map}(_{step.format}.pack, value, value.values()))')
        count = f"{self._builtin('len')}(_packed) // {step.size}"
        write(f"return self.counted({count}, files) + _packed")

    @property
    def _is_number_map(self) -> bool:
        return self._is_map and all(part.type.packing is Packing.NUMBER for part in self._loop.parts)

    def _type(self, expression: str) -> str:
        return f"{self._builtin('type')}({expression})"

    def _write_check(self, condition: str) -> None:
        self._printer.write(f"if {condition}:")
        with self._printer.indented():
            self._printer.write(f"raise {self._builtin('TypeError')}")

    def _write_checks(self) -> None:
        """Leave what is not of the exact class to the general codec; then make the bytes of texts."""
        conditions = list(self._conditions())
        together = " or ".join(conditions)
        for condition in [together] if self._printer.fits(f"if {together}:") else conditions:
            if condition:
                self._write_check(condition)
        text = f"{self._builtin('str')}.encode"
        for leaf in self._loop.leaves:
            if leaf.has_length:
                make = text if leaf.type.packing is Packing.TEXT else "_ipc.octets"
                self._printer.write(f"_raw_{leaf.local} = {make}({_read(leaf)})")

    def _conditions(self) -> Iterator[str]:
        for place, part in enumerate(self._loop.parts):
            yield from self._conditions_of(part, is_key=self._is_map and place == 0)

    def _conditions_of(self, part: Part, *, is_key: bool) -> Iterator[str]:
        path = _read(part)
        if isinstance(part, Group):
            yield f"{self._type(path)} is not {part.struct.python}"
            for field in part.fields:
                yield from self._conditions_of(field, is_key=is_key)
        elif part.is_flag:
            yield f"{self._type(path)} is not {self._builtin('bool')}"
        elif part.enumeration:
            yield f"{self._type(path)} is not {part.enumeration.python}"
        elif is_key:
            # Keys of one exact class that differ also differ on the wire.
            yield f"{self._type(path)} is not {self._annotation(part.type.annotation)}"

    def _pieces(self) -> Iterator[str]:
        for step in self._loop.steps:
            yield f"_{step.format}.pack({', '.join(map(self._packed, step.leaves))})"
            if step.text:
                yield f"_raw_{step.text.local}"

    def _packed(self, leaf: Leaf) -> str:
        if leaf.has_length:
            return f"{self._builtin('len')}(_raw_{leaf.local})"
        return f"{_read(leaf)}._value_" if leaf.enumeration else _read(leaf)

    # --- decoding ---

    def _write_decoding(self) -> None:
        if self._is_struct:
            self._write_texts()
            self._write_steps()
            self._write_groups()
            self._printer.write(f"return {self._value(self._loop.parts[0])}, at")
        elif self._loop.is_fixed:
            self._write_fixed()
        else:
            self._write_loop()

    def _write_texts(self) -> None:
        if any(leaf.type.packing is Packing.TEXT for leaf in self._loop.leaves):
            self._printer.write("data, _text = decoding.texts(data, at)")

    def _write_fixed(self) -> None:
        write = self._printer.write
        (step,) = self._loop.steps
        write(f"_count = decoding.count(data, at, {step.size}, self.each)")
        write("at += 4")
        size = f" * {step.size}" if step.size > 1 else ""
        write(f"_end = at + _count{size}")
        unpacked = f"_{step.format}.iter_unpack(data[at:_end])"
        if self._is_number_map:
            write(f"return self.entries({unpacked}, _count, decoding), _end")
            return
        self._write_collector()
        write(f"for {_targets(step)} in {unpacked}:")
        with self._printer.indented():
            self._write_groups()
            self._write_collecting()
        self._write_collected("_end")

    def _write_loop(self) -> None:
        write = self._printer.write
        write(f"_count = decoding.count(data, at, {self._loop.smallest}, self.each)")
        write("at += 4")
        self._write_texts()
        self._write_collector()
        write("_end = decoding.end")
        write(f"for _ in {self._builtin('range')}(_count):")
        with self._printer.indented():
            self._write_steps()
            self._write_groups()
            self._write_collecting()
        self._write_collected("at")

    def _write_collector(self) -> None:
        for name, part in zip(self._lists, self._codec.type.parts, strict=True):
            self._printer.write(f"{name}: {self._builtin('list')}[{self._annotation(part.annotation)}] = []")

    def _write_collecting(self) -> None:
        for name, part in zip(self._lists, self._loop.parts, strict=True):
            self._printer.write(f"{name}.append({self._value(part)})")

    def _write_collected(self, end: str) -> None:
        entries = f"self.entries({self._builtin('zip')}(_keys, _values, strict=True), _count, decoding)"
        self._printer.write(f"return {entries if self._is_map else '_values'}, {end}")

    def _write_steps(self) -> None:
        write = self._printer.write
        end = "decoding.end" if self._is_struct else "_end"
        start = "at"
        for step in self._loop.steps:
            write(f"{_targets(step)} = _{step.format}.unpack_from(data, {start})")
            write(f"at = {start} + {step.size}" if start != "at" else f"at += {step.size}")
            start = "at"
            if step.text:
                write("_stop = at + _n")
                write(f"if _stop > {end}:")
                with self._printer.indented():
                    write("raise decoding.cut_off(_n, at)")
                make = "_text" if step.text.type.packing is Packing.TEXT else self._builtin("bytes")
                write(f"{step.text.local} = {make}(data[at:_stop])")
                start = "_stop"
        if start == "_stop":
            write("at = _stop")

    def _write_groups(self) -> None:
        """Make structs unfrozen, and freeze them by their class: __init__ of a frozen class is slow."""
        write = self._printer.write
        for group in self._loop.groups:
            draft = "self" if self._is_struct and len(group.path) == 1 else self._codec_of(group.type)
            write(f"{group.local} = {draft}.draft()")
            for field in group.fields:
                write(f"{group.local}.{field.path[-1]} = {self._value(field)}")
            write(f"{group.local}.__class__ = {group.struct.python}")

    def _value(self, part: Part) -> str:
        if isinstance(part, Leaf):
            if part.is_flag:
                return f"_ipc.BOOLEANS[{part.local}]"
            if part.enumeration:
                return f"{self._codec_of(part.type)}.members[{part.local}]"
        return part.local


def _targets(step: Step) -> str:
    names = ["_n" if leaf.has_length else leaf.local for leaf in step.leaves]
    return comma_tuple(names) if len(names) == 1 else ", ".join(names)


def _read(part: Part) -> str:
    return ".".join(part.path)
