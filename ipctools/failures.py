"""Owns the exit codes of the tools, and the one-line failures that they end with.
Must not know how a failure came about.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from difflib import get_close_matches

from ipcc.diagnostics import CommandError

_MOST_LISTED = 12


class Code(enum.IntEnum):
    """The exit codes; docs/debugging.md lists them for users."""

    WRONG_INTERFACE = 1
    """An interface file is wrong, or nobody reads the output any more."""
    WRONG_COMMAND_LINE = 2
    """No such endpoint, message or argument, a value that does not fit, or a file that cannot be read."""
    NO_SERVICE = 3
    """Nothing is at the path, or nobody listens there."""
    NOT_ALLOWED = 4
    """The socket is not open to this user, or the service is not to be trusted."""
    NOT_A_SERVICE = 5
    """What is at the path is no service of this library, or it breaks a rule of the wire."""
    SERVICE_GONE = 6
    """The service closed the connection before it answered."""
    TIMEOUT = 7
    SERVICE_ERROR = 8
    """The service answered with an error."""


class Failure(CommandError):
    """What a tool ends with: a text that names the thing and the remedy, and an exit code."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text, int(code))


def wrong(text: str) -> Failure:
    """Make the failure for a mistake in what the user wrote."""
    return Failure(Code.WRONG_COMMAND_LINE, text)


def nearest(name: str, known: Iterable[str]) -> str:
    """What to add to `there is no NAME`: the nearest known name, or else the known ones."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    if not names:
        return "there are none"
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"there are {', '.join(names[:_MOST_LISTED])}{more}"
