"""Owns how values of an interface are written: JSON and plain words become Python values, and values JSON.
Must not know messages, or where the JSON comes from. A value that is shown is read back as an equal value.
"""

from __future__ import annotations

import datetime
import json
from types import ModuleType
from typing import Any

from ipcc.definitions import Definitions, Enumeration, Struct
from ipcc.types import Type
from ipclib import Alternative, generated, gfx
from ipctools.attachments import Inputs, Outputs, Unread
from ipctools.failures import nearest
from ipctools.leaves import LEAVES, Leaf, refused
from ipctools.misfit import Misfit, Word, within

_ALTERNATIVE = "_ipc.Alternative"
_OF_PYTHON: dict[str, type[Any]] = {
    "None": type(None),
    **{python.__name__: python for python in (bool, int, float, str, bytes, list, dict, tuple)},
}


class Values:
    """Reads and shows the values of one interface's types."""

    def __init__(self, definitions: Definitions, module: ModuleType) -> None:
        self._definitions = definitions
        self._module = module
        self._python = {definition.name: definition.python for definition in definitions}

    # --- from words and JSON ---

    def of_word(self, type: Type, word: str, inputs: Inputs) -> Any:
        """The value of a word of the command line: JSON, or a text as it stands.

        Raises:
            Misfit: the word is no such value.
        """
        if type.maker == "optional":
            return None if word == "null" else self.of_word(type.parts[0], word, inputs)
        try:
            return self.parse(type, self._node(type, word), inputs)
        except RecursionError:
            raise Misfit("it nests too deep") from None

    def _node(self, type: Type, word: str) -> Any:
        """A word as JSON if it is meant so, else as a Word."""
        is_text = self._is_text(type)
        if is_text and word[:1] not in ('"', "{"):
            return Word(word)
        try:
            node = json.loads(word, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            if not is_text and word[:1] in ("[", "{"):
                raise Misfit(f"it is no JSON: {error}") from None
            return Word(word)
        leaf = self._leaf(type)
        is_foreign = is_text and isinstance(node, dict) and (leaf is None or node.keys() not in leaf.objects)
        return Word(word) if is_foreign else node

    def _is_text(self, type: Type) -> bool:
        """Whether a word of this type is a text even if it looks like a number."""
        if type.defined:
            return isinstance(self._definitions.of(type), Enumeration)
        leaf = self._leaf(type)
        return leaf is not None and leaf.is_text

    def parse(self, type: Type, node: Any, inputs: Inputs) -> Any:
        """The value that JSON means.

        Raises:
            Misfit: it means none.
        """
        leaf = self._leaf(type)
        if leaf is not None:
            return leaf.parse(node, inputs)
        if type.defined:
            return self._parse_defined(type, node, inputs)
        match type.maker:
            case "vector":
                return self._parse_elements(type, node, inputs)
            case "array":
                elements = self._parse_elements(type, node, inputs)
                if len(elements) != type.count:
                    raise Misfit(f"{len(elements)} elements where {type.count} are needed")
                return tuple(elements)
            case "hash_map" | "ordered_hash_map":
                return self._parse_map(type, node, inputs)
            case "optional":
                return None if node is None else self.parse(type.parts[0], node, inputs)
        return self._parse_variant(type, node, inputs)

    def _leaf(self, type: Type) -> Leaf | None:
        return LEAVES[type.codec.removeprefix("_ipc.")] if type.codec else None

    def _parse_elements(self, type: Type, node: Any, inputs: Inputs) -> list[Any]:
        if not isinstance(node, list):
            raise refused(node, f"a list in JSON ({type.canonical})")
        elements = []
        for place, element in enumerate(node):
            with within(f"[{place}]"):
                elements.append(self.parse(type.parts[0], element, inputs))
        return elements

    def _parse_map(self, type: Type, node: Any, inputs: Inputs) -> dict[Any, Any]:
        if isinstance(node, dict):
            pairs = [[Word(key), value] for key, value in node.items()]
        elif isinstance(node, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in node):
            pairs = node
        else:
            raise refused(node, f"an object or a list of pairs in JSON ({type.canonical})")
        key_type, value_type = type.parts
        entries: dict[Any, Any] = {}
        for key, value in pairs:
            with within(f"[{json.dumps(key)}]"):
                parsed = self.parse(key_type, key, inputs)
                if parsed in entries:
                    raise Misfit("this key is there twice")
                entries[parsed] = self.parse(value_type, value, inputs)
        return entries

    def _parse_defined(self, type: Type, node: Any, inputs: Inputs) -> Any:
        definition = self._definitions.of(type)
        if isinstance(definition, Struct):
            return self._parse_struct(definition, node, inputs)
        if isinstance(definition, Enumeration):
            return self._parse_enumerator(definition, node)
        raise Misfit(f"{type.canonical} has a codec of its own, which the tools do not have")

    def _parse_struct(self, struct: Struct, node: Any, inputs: Inputs) -> Any:
        names = [field.name for field in struct.fields]
        if not isinstance(node, dict):
            raise refused(node, f"{struct.name}, a JSON object with {', '.join(names) or 'nothing'},")
        for name in node:
            if name not in names:
                raise Misfit(f"{struct.name} has no field '{name}': {nearest(name, names)}")
        values = []
        for field in struct.fields:
            if field.name not in node and field.type.maker != "optional":
                raise Misfit(f"{struct.name} needs its field '{field.name}' ({field.type.canonical})")
            with within(f".{field.name}"):
                values.append(self.parse(field.type, node.get(field.name), inputs))
        return getattr(self._module, struct.python)(*values)

    def _parse_enumerator(self, enumeration: Enumeration, node: Any) -> Any:
        python = getattr(self._module, enumeration.python)
        names = {enumerator.name: enumerator.number for enumerator in enumeration.enumerators}
        if isinstance(node, Word) and node.removeprefix("-").isdecimal():
            node = int(node)
        if isinstance(node, str):
            name = node.removeprefix(f"{enumeration.name}::")
            if name not in names:
                raise Misfit(f"{enumeration.name} has no value '{node}': {nearest(name, names)}")
            return python(names[name])
        if type(node) is not int:
            raise refused(node, f"a name of {enumeration.name}")
        if node not in names.values():
            raise Misfit(f"{enumeration.name} has no value {node}: {nearest(str(node), names)}")
        return python(node)

    # --- Variant ---

    def _parse_variant(self, type: Type, node: Any, inputs: Inputs) -> Any:
        tag = self._tag(type, node)
        if tag is not None:
            index, inner = tag
            with within(f'["{type.parts[index].canonical}"]'):
                return self._alternative(type, index, self._part_of_word(type.parts[index], inner, inputs))
        fitting, misfits = self._fitting(type, node)
        if len(fitting) == 1:
            return self._alternative(
                type, fitting[0], self._part_of_word(type.parts[fitting[0]], node, inputs)
            )
        if fitting:
            tagged = " or ".join(f'{{"{_tag_of(type, index)}": ...}}' for index in fitting)
            raise Misfit(f"it could be any of several types: write {tagged}")
        names = ", ".join(part.canonical for part in type.parts)
        detail = f" ({misfits[0]})" if len(misfits) == 1 else ""
        raise Misfit(f"it fits none of {names}{detail}")

    def _part_of_word(self, type: Type, node: Any, inputs: Inputs) -> Any:
        return self.of_word(type, node, inputs) if isinstance(node, Word) else self.parse(type, node, inputs)

    def _tag(self, type: Type, node: Any) -> tuple[int, Any] | None:
        """The place of the type that a JSON object names, and the value below the name."""
        if not isinstance(node, dict) or len(node) != 1:
            return None
        ((name, inner),) = node.items()
        for index in range(len(type.parts)):
            if name.replace(" ", "") in (_tag_of(type, index).replace(" ", ""), str(index)):
                return index, inner
        return None

    def _fitting(self, type: Type, node: Any) -> tuple[list[int], list[Misfit]]:
        """The places of the types that could have this value, and why the others could not."""
        fitting, misfits = [], []
        for index, part in enumerate(type.parts):
            tried = Unread()
            try:
                self._part_of_word(part, node, tried)
            except Misfit as misfit:
                misfits.append(misfit)
            else:
                fitting.append(index)
            finally:
                tried.close()
        return fitting, misfits

    def _alternative(self, type: Type, index: int, value: Any) -> Any:
        return value if _is_plain(type, index) else Alternative(index, value)

    # --- to JSON ---

    def show(self, type: Type, value: Any, outputs: Outputs, name: str = "value") -> Any:
        """A value as JSON that parse() reads back.

        `name` is the beginning of the names of files in which contents are saved.

        Raises:
            Misfit: a content cannot be saved.
        """
        leaf = self._leaf(type)
        if leaf is not None:
            return leaf.show(value, outputs, name)
        if type.defined:
            return self._show_defined(type, value, outputs, name)
        match type.maker:
            case "vector" | "array":
                return [
                    self.show(type.parts[0], element, outputs, f"{name}-{place}")
                    for place, element in enumerate(value)
                ]
            case "hash_map" | "ordered_hash_map":
                return self._show_map(type, value, outputs, name)
            case "optional":
                return None if value is None else self.show(type.parts[0], value, outputs, name)
        return self._show_variant(type, value, outputs, name)

    def _show_map(self, type: Type, value: dict[Any, Any], outputs: Outputs, name: str) -> Any:
        pairs = [
            [
                self.show(type.parts[0], key, outputs),
                self.show(type.parts[1], each, outputs, f"{name}-{place}"),
            ]
            for place, (key, each) in enumerate(value.items())
        ]
        if all(isinstance(key, str) for key, _value in pairs):
            return dict(pairs)
        return pairs

    def _show_defined(self, type: Type, value: Any, outputs: Outputs, name: str) -> Any:
        definition = self._definitions.of(type)
        if isinstance(definition, Struct):
            return {
                field.name: self.show(
                    field.type, getattr(value, field.python), outputs, f"{name}-{field.name}"
                )
                for field in definition.fields
            }
        if isinstance(definition, Enumeration):
            number = int(value.value)
            return next(each.name for each in definition.enumerators if each.number == number)
        raise Misfit(f"{type.canonical} has a codec of its own, which the tools do not have")

    def _show_variant(self, type: Type, value: Any, outputs: Outputs, name: str) -> Any:
        if isinstance(value, Alternative):
            index, inner = value.index, value.value
        else:
            index, inner = self._index_of(type, value), value
        shown = self.show(type.parts[index], inner, outputs, name)
        if self._tag(type, shown) is None and self._fitting(type, shown)[0] == [index]:
            return shown
        return {_tag_of(type, index): shown}

    def _index_of(self, type: Type, value: Any) -> int:
        """The place of the type whose plain value this is."""
        for index, part in enumerate(type.parts):
            if _is_plain(type, index) and value.__class__ in map(self._class, part.classes):
                return index
        raise Misfit(f"{value!r} is of no type of {type.canonical}")

    def _class(self, name: str) -> Any:
        """The class that a type's `classes` name: a builtin, one of the runtime, or a definition's."""
        if name in self._python:
            return getattr(self._module, self._python[name])
        package, dot, short = name.strip("{}").rpartition(".")
        if not dot:
            return _OF_PYTHON[short]
        return getattr({"_ipc": generated, "_ipc.gfx": gfx, "_datetime": datetime}[package], short)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; Python would take the last of several members with one name."""
    names = [name for name, _value in members]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"'{name}' is there twice")
    return dict(members)


def _is_plain(type: Type, index: int) -> bool:
    """Whether an alternative of a Variant is passed without Alternative: no other has its Python classes."""
    own = type.parts[index].classes
    others = {name for place, part in enumerate(type.parts) if place != index for name in part.classes}
    return own.isdisjoint(others | {_ALTERNATIVE})


def _tag_of(type: Type, index: int) -> str:
    """The name of an alternative: its type, or its place if the type is there twice."""
    name = type.parts[index].canonical
    return name if sum(part.canonical == name for part in type.parts) == 1 else str(index)
