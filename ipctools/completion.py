"""Owns what Tab offers in the prompt: messages, parameters, and the values of enums and bools.
Must not know readline.
"""

from __future__ import annotations

from collections.abc import Iterable

from ipcc.definitions import Enumeration
from ipcc.model import Message
from ipcc.types import Type
from ipctools.failures import Failure
from ipctools.interface import Interface


def completions(interface: Interface, commands: Iterable[str], before: str, word: str) -> list[str]:
    """What may stand in place of `word`, which follows the words `before` on the line."""
    words = before.split()
    heads = [place for place, each in enumerate(words) if "=" not in each]
    messages = [message for endpoint in interface.called for message in endpoint.messages]
    if not words or words == ["help"]:
        names = [*(() if words else commands), *(message.name for message in messages)]
        if "." in word:
            names = [message.qualified_name for message in messages]
        offered = [f"{name} " for name in names]
    else:
        offered = _of_arguments(interface, words[heads[-1] :] if heads else [""], word)
    return sorted({text for text in offered if text.startswith(word)})


def _of_arguments(interface: Interface, words: list[str], word: str) -> list[str]:
    try:
        message = interface.message(words[0])
    except Failure:
        return []
    name, mark, _value = word.partition("=")
    if mark:
        return [f"{name}={value} " for value in _values(interface, message, name)]
    given = {each.partition("=")[0] for each in words}
    return [f"{each.name}=" for each in message.inputs.parameters if each.name not in given]


def _values(interface: Interface, message: Message, name: str) -> list[str]:
    for parameter in message.inputs.parameters:
        if parameter.name == name:
            return _values_of(interface, parameter.type)
    return []


def _values_of(interface: Interface, type: Type) -> list[str]:
    if type.maker == "optional":
        return ["null", *_values_of(interface, type.parts[0])]
    if type.canonical == "bool":
        return ["false", "true"]
    definition = interface.model.definitions.of(type)
    if isinstance(definition, Enumeration):
        return [enumerator.name for enumerator in definition.enumerators]
    return []
