"""Owns the grammar of calls: `[ENDPOINT.]MESSAGE [NAME=VALUE...]`, on the command line and at the prompt.
Must not know connections, or how values are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from ipcc.model import Message, Parameter
from ipctools.attachments import Inputs
from ipctools.failures import nearest, wrong
from ipctools.interface import Interface
from ipctools.misfit import Misfit


@attrs.frozen
class Call:
    """A message with the values of its parameters."""

    message: Message
    values: tuple[object, ...]


def calls_in(words: Iterable[str], interface: Interface, inputs: Inputs) -> list[Call]:
    """The calls in words: each begins with its message, and goes on with its arguments.

    Raises:
        Failure: there is no such message, or an argument is wrong.
    """
    groups: list[list[str]] = []
    for word in words:
        if "=" not in word:
            groups.append([word])
        elif groups:
            groups[-1].append(word)
        else:
            raise wrong(f"'{word}' stands before any message: write MESSAGE NAME=VALUE...")
    messages = [interface.message(group[0]) for group in groups]
    for message in messages:
        interface.check_known(message)
    return [
        Call(message, values_of(message.name, message.inputs.parameters, group[1:], interface, inputs))
        for message, group in zip(messages, groups, strict=True)
    ]


def answer_in(text: str, interface: Interface, inputs: Inputs, *, of_client: bool = True) -> Call:
    """The values with which a request is answered: `MESSAGE [NAME=VALUE...]`.

    The request is one of the service to its client, or else of a client to the service.

    Raises:
        Failure: there is no such request, or a value is wrong.
    """
    name, *words = split(text) or [""]
    message = interface.message(name, of_client=of_client)
    if message.outputs is None:
        raise wrong(f"{message.qualified_name} is one-way: it cannot be answered")
    interface.check_known(message)
    return Call(message, values_of(message.name, message.outputs.parameters, words, interface, inputs))


def values_of(
    what: str, parameters: Sequence[Parameter], words: Sequence[str], interface: Interface, inputs: Inputs
) -> tuple[object, ...]:
    """The values of parameters, from words NAME=VALUE in any order. An Optional may be left out.

    Raises:
        Failure: a word is of no parameter, a value does not fit, or one is missing.
    """
    by_name = {parameter.name: parameter for parameter in parameters}
    given: dict[str, str] = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not mark or name not in by_name:
            raise wrong(f"{what} has no parameter '{name}': {nearest(name, by_name)}")
        if name in given:
            raise wrong(f"{what}: '{name}' is given twice")
        given[name] = value
    missing = [p for p in parameters if p.name not in given and p.type.maker != "optional"]
    if missing:
        needed = ", ".join(f"{parameter.name} ({parameter.type.canonical})" for parameter in missing)
        raise wrong(f"{what} also needs {needed}: write NAME=VALUE for each")
    return tuple(_value(what, parameter, given, interface, inputs) for parameter in parameters)


def _value(
    what: str, parameter: Parameter, given: dict[str, str], interface: Interface, inputs: Inputs
) -> object:
    try:
        value: object = interface.values.of_word(parameter.type, given.get(parameter.name, "null"), inputs)
    except Misfit as misfit:
        place = f"{parameter.name}{misfit.path}"
        raise wrong(f"{what}: {place}: {misfit.reason}") from misfit
    return value


def split(line: str) -> list[str]:
    """The words of a line. Blanks part them, except in quotes and in the brackets of JSON.

    Single quotes only hold a word together, as in sh. Double quotes are JSON's and stay in the word.

    Raises:
        Failure: a quote or bracket is not closed.
    """
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    depth = 0
    escaped = False
    for character in line:
        if word is None:
            if character.isspace():
                continue
            word = []
        if quote == '"':
            word.append(character)
            quote = "" if character == '"' and not escaped else quote
            escaped = character == "\\" and not escaped
        elif quote:
            if character == "'":
                quote = ""
            else:
                word.append(character)
        elif character.isspace() and not depth:
            words.append("".join(word))
            word = None
        elif character == "'" and not depth:
            quote = character
        else:
            quote = '"' if character == '"' else ""
            depth = max(depth + (character in "[{") - (character in "]}"), 0)
            word.append(character)
    if quote or depth:
        raise wrong(f"a {'quote' if quote else 'bracket'} is not closed")
    return [*words, *(["".join(word)] if word is not None else [])]
