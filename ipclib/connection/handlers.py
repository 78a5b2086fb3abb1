"""Owns what a class's handlers may be, what their errors mean, and the advice about messages without one.
Must not know links, or how handlers are called.
"""

from __future__ import annotations

import inspect
import weakref
from difflib import get_close_matches

from corelib import Cancelled
from ipclib.errors import BadDeclaration, ErrorKind, HandlerError, NestedTooDeep
from ipclib.protocol.message import Endpoint, Kind, Message, MessageType
from ipclib.showing import text_shown

_warned_of: weakref.WeakKeyDictionary[type, set[str]] = weakref.WeakKeyDictionary()
"""The names of the messages about which the program was warned, by the class that does not handle them."""


class Unhandled(Exception):
    """Raised by a method of a generated stub that no subclass overrides."""

    def __init__(self, message: type[Message]) -> None:
        super().__init__(f"no class overrides the handler of {message.__ipc__.name}")
        self.message = message.__ipc__


def check_handlers(cls: type, serves: type[Endpoint]) -> None:
    """Check that nothing but a method stands where a class must have a handler.

    Raises:
        BadDeclaration: an attribute that cannot be called has the name of a message.
    """
    for message in serves.__ipc__:
        if message.kind is Kind.RESPONSE:
            continue
        found = inspect.getattr_static(cls, message.handler, None)
        if found is not None and not callable(found) and not hasattr(type(found), "__get__"):
            raise BadDeclaration(
                f"{cls.__qualname__}.{message.handler} is a {type(found).__name__}, and is to be the handler "
                f"of {message.name}: define a method, or give the attribute another name"
            )


def advice_once(cls: type, message: MessageType) -> str | None:
    """What to tell the program, the first time that a class does not handle a one-way message; else None."""
    warned = _warned_of.setdefault(cls, set())
    if message.name in warned:
        return None
    warned.add(message.name)
    nearest = get_close_matches(message.handler, _own_methods(cls, message), 1)
    hint = f"; it has {nearest[0]}(): is that its handler?" if nearest else ""
    return (
        f"{message.name} comes, and {cls.__qualname__} has no method {message.handler}(): "
        f"the message is dropped{hint}"
    )


def _own_methods(cls: type, message: MessageType) -> list[str]:
    """The methods that a program's class has beside those of the generated class."""
    known: set[str] = set()
    for base in cls.__mro__:
        if "_ends" in vars(base):  # The generated class; what follows is ours.
            known.update(name for each in base.__mro__ for name in vars(each))
            break
    return [name for name in dir(cls) if name not in known and callable(getattr(cls, name, None))]


def failure_of(error: BaseException, message: MessageType) -> tuple[ErrorKind | None, str]:
    """The kind and text that answer an error of a handler; no kind for a mistake, which is logged."""
    try:
        if isinstance(error, Unhandled) and error.message is message:
            return ErrorKind.UNKNOWN_MESSAGE, f"{message.name} has no handler here"
        if isinstance(error, HandlerError):
            return ErrorKind.HANDLER_RAISED, text_shown(error.text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # A subclass has spoilt its own attributes.
        return None, type(error).__name__
    if isinstance(error, NestedTooDeep):
        return ErrorKind.REFUSED, text_shown(error)
    if isinstance(error, Cancelled):
        return ErrorKind.CANCELLED, "the handler was cancelled"
    return None, type(error).__name__
