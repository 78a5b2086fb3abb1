"""The checked model of one compilation: numbers, hashes, Python names, and what is to be generated.

Immutable values that the emitter writes down without deciding anything. Made by the checker.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import attrs

from ipcc.codecs import Codec, named_codecs
from ipcc.types import Definition, Enumeration, Packing, Struct, Type, doc_comments, reached

BUILTINS = frozenset(
    {"bool", "bytes", "dict", "float", "int", "len", "list", "object", "staticmethod", "str", "tuple"}
)
"""The builtins that generated code uses."""


@attrs.frozen
class Parameter:
    """`name` is the wire's and the tools', `python` the one that Python code uses."""

    name: str
    python: str
    type: Type


@attrs.frozen
class Field:
    """One value of a run: a parameter, or the byte length of one."""

    parameter: Parameter
    is_length: bool = False

    @property
    def format(self) -> str:
        return "I" if self.is_length else self.parameter.type.format


@attrs.frozen
class Run:
    """Consecutive fields of fixed size, packed by one struct."""

    fields: tuple[Field, ...]

    @property
    def format(self) -> str:
        return "".join(field.format for field in self.fields)

    @property
    def size(self) -> int:
        return sum(_SIZES[character] for character in self.format)


_SIZES = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "q": 8, "Q": 8, "f": 4, "d": 8}


@attrs.frozen
class Payload:
    """The parameters of a request, a response or a one-way message, and the steps that carry them.

    A step is a run, or a parameter: the bytes behind its length in a run, or what its codec makes of it.
    """

    parameters: tuple[Parameter, ...]
    steps: tuple[Run | Parameter, ...] = attrs.field(init=False)

    @steps.default
    def _lay_out(self) -> tuple[Run | Parameter, ...]:
        return tuple(_steps(self.parameters))

    @property
    def types(self) -> tuple[Type, ...]:
        return tuple(parameter.type for parameter in self.parameters)

    @property
    def holds_files(self) -> bool:
        return any(parameter.type.holds_files for parameter in self.parameters)

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(step for step in self.steps if isinstance(step, Run))

    @property
    def is_plain_numbers(self) -> bool:
        """Whether what one struct unpacks is the values themselves."""
        return bool(self.parameters) and all(p.type.packing is Packing.NUMBER for p in self.parameters)

    @property
    def is_sent_in_pieces(self) -> bool:
        """Whether it holds a byte string, which may be large: its pieces are not copied together."""
        return any(parameter.type.packing is Packing.OCTETS for parameter in self.parameters)

    @property
    def canonical(self) -> str:
        return f"({','.join(parameter.type.canonical for parameter in self.parameters)})"


@attrs.frozen
class Message:
    """A message. `outputs`, and with it `response_class`, is None for a one-way one.

    `line` and `answer_line` are its source in canonical white space.
    """

    endpoint: str
    endpoint_python: str
    name: str
    python: str
    class_name: str
    response_class: str | None
    id: int
    inputs: Payload
    outputs: Payload | None
    line: str
    answer_line: str
    documentation: tuple[str, ...]

    @property
    def async_python(self) -> str:
        """The proxy's form that does not wait."""
        return f"async_{self.python}"

    @property
    def qualified_name(self) -> str:
        return f"{self.endpoint}.{self.name}"

    @property
    def signature(self) -> int:
        """CRC-32 of the canonical text, by which peers know that they mean the same message."""
        return zlib.crc32(self.canonical.encode())

    @property
    def canonical(self) -> str:
        """Name and types, then each definition that they lead to, in order of first use."""
        definitions = (f";{d.canonical}" for d in reached(self.types) if d.canonical)
        return "".join([self._line, *definitions])

    @property
    def _line(self) -> str:
        answer = "=|" if self.outputs is None else f"=>{self.outputs.canonical}"
        return f"{self.qualified_name}{self.inputs.canonical}{answer}"

    @property
    def payloads(self) -> tuple[Payload, ...]:
        return (self.inputs,) if self.outputs is None else (self.inputs, self.outputs)

    @property
    def types(self) -> Iterator[Type]:
        for payload in self.payloads:
            yield from payload.types


@attrs.frozen
class Endpoint:
    name: str
    python: str
    messages: tuple[Message, ...]
    documentation: tuple[str, ...]

    @property
    def magic(self) -> int:
        return endpoint_magic(self.name)

    @property
    def proxy(self) -> str:
        return f"{self.python}Proxy"

    @property
    def stub(self) -> str:
        return f"{self.python}Stub"

    @property
    def schema(self) -> str:
        """The endpoint, behind the types that it uses, as canonical `.ipc` text."""
        lines: list[str] = []
        for definition in reached(type for message in self.messages for type in message.types):
            lines += [*definition.text, ""]
        lines += [*doc_comments(self.documentation, ""), f"endpoint {self.name}", "{"]
        for message in self.messages:
            lines += [*doc_comments(message.documentation, "    "), f"    {message.line}"]
        return "\n".join([*lines, "}", ""])


@attrs.frozen
class Pair:
    """A server's and a client's endpoint, one of which may be empty (None), and their connections' names."""

    server: Endpoint | None
    client: Endpoint | None
    prefix: str = ""

    @property
    def to_server(self) -> str:
        return f"{self.prefix}ConnectionToServer"

    @property
    def from_client(self) -> str:
        return f"{self.prefix}ConnectionFromClient"


@attrs.frozen
class Compilation:
    """All that one module is made of. `shadowed` are the builtins that something declared is named as."""

    sources: tuple[str, ...]
    definitions: tuple[Definition, ...]
    endpoints: tuple[Endpoint, ...]
    pairs: tuple[Pair, ...]
    shadowed: frozenset[str]

    @property
    def structs(self) -> tuple[Struct, ...]:
        """Those that the module has classes for."""
        return tuple(d for d in self.definitions if isinstance(d, Struct) and not d.module)

    @property
    def enumerations(self) -> tuple[Enumeration, ...]:
        """Those that the module has classes for."""
        return tuple(d for d in self.definitions if isinstance(d, Enumeration) and not d.module)

    @property
    def imported(self) -> tuple[Definition, ...]:
        """The registered classes that the module uses."""
        used = set(reached(self._types))
        return tuple(d for d in self.definitions if d.module and d in used)

    @property
    def payloads(self) -> Iterator[Payload]:
        for endpoint in self.endpoints:
            for message in endpoint.messages:
                yield from message.payloads

    @property
    def formats(self) -> tuple[str, ...]:
        """The struct formats of all runs, sorted."""
        return tuple(sorted({run.format for payload in self.payloads for run in payload.runs}))

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The codecs that the module makes: parts before wholes, otherwise by spelling."""
        types = {type.canonical: type for payload in self.payloads for type in payload.types}
        return tuple(named_codecs((types[canonical] for canonical in sorted(types)), self.formats))

    @property
    def annotations(self) -> Iterator[str]:
        """The Python types that the module mentions."""
        for type in self._types:
            yield type.annotation
        for endpoint in self.endpoints:
            for message in endpoint.messages:
                yield from (type.accepted for type in message.inputs.types)

    @property
    def exports(self) -> tuple[str, ...]:
        """The public names of the module, sorted."""
        names = [d.python for d in self.structs] + [d.python for d in self.enumerations]
        names += [n for e in self.endpoints for n in (e.python, e.proxy, e.stub)]
        return tuple(sorted(names + [n for pair in self.pairs for n in (pair.to_server, pair.from_client)]))

    @property
    def _types(self) -> Iterator[Type]:
        for payload in self.payloads:
            yield from payload.types
        for struct in self.structs:
            yield from struct.types


def endpoint_magic(name: str) -> int:
    """LibIPC's hash of an endpoint's name: Bob Jenkins' one-at-a-time over signed chars, in 32 bits."""
    value = 0
    for byte in name.encode():
        value += byte - 256 if byte > 127 else byte
        value += value << 10
        value &= 0xFFFFFFFF
        value ^= value >> 6
    value = (value + (value << 3)) & 0xFFFFFFFF
    value ^= value >> 11
    return (value + (value << 15)) & 0xFFFFFFFF


def _steps(parameters: Iterable[Parameter]) -> Iterator[Run | Parameter]:
    fields: list[Field] = []
    for parameter in parameters:
        packing = parameter.type.packing
        if packing in (Packing.NUMBER, Packing.FLAG):
            fields.append(Field(parameter))
            continue
        if packing in (Packing.TEXT, Packing.OCTETS):
            fields.append(Field(parameter, is_length=True))
        if fields:
            yield Run(tuple(fields))
            fields.clear()
        yield parameter
    if fields:
        yield Run(tuple(fields))
