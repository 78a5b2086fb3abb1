"""Owns the names that generated code cannot use freely: keywords, and those of the connection classes.

Must not know ipclib: its names stand here as text, and a test compares them.
"""

from __future__ import annotations

from keyword import iskeyword

CONNECTION_NAMES = (
    "connect",
    "spawn",
    "shutdown",
    "close",
    "die",
    "did_misbehave",
    "may_have_become_unresponsive",
    "did_become_responsive",
    "did_reconnect",
    "peer",
    "client_id",
    "is_open",
    "limits",
    "counters",
    "flush",
    "cork",
    "wait",
    "timeout",
    "trailers",
    "socket",
    "loop",
    "describe",
    "server",
)
"""The public names of the connection classes, and the keyword parameters of a call (`timeout`, `wait`)."""

CLASS_NAMES = ("MAGIC", "SCHEMA")
"""The attributes of an endpoint class beside its message classes."""

MODULE_NAMES = ("annotations",)
"""The public names that a module has from its imports."""

ENUMERATOR_NAMES = ("mro", "name", "value")
"""The names that Python's enums keep for themselves."""


def is_reserved(name: str) -> bool:
    """Whether a message or parameter of this name needs another name in Python."""
    return iskeyword(name) or name in CONNECTION_NAMES


def is_reserved_class(name: str) -> bool:
    """Whether a message class of this name needs another name."""
    return iskeyword(name) or name in CLASS_NAMES


def is_reserved_in_module(name: str) -> bool:
    """Whether a type or an endpoint of this name needs another name.

    The classes of an endpoint's messages refer to types and endpoints, and see the endpoint's own attributes.
    """
    return iskeyword(name) or name in CLASS_NAMES or name in MODULE_NAMES


def is_reserved_enumerator(name: str) -> bool:
    """Whether an enumerator of this name needs another name in Python."""
    return iskeyword(name) or name in ENUMERATOR_NAMES
