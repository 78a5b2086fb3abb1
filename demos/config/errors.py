"""Owns the errors of settings, split by who is at fault.
Must not know files and IPC."""

from __future__ import annotations

_LONGEST_SHOWN = 60


def shown(name: str) -> str:
    """A name or value for a text, cut off where it is long: a client chooses it."""
    return repr(name) if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]!r}..."


class ConfigError(Exception):
    """An error about a setting; its text is for the user."""


class InvalidSetting(ConfigError, ValueError):
    """The caller is at fault: the name or value cannot be stored."""


class StorageFailure(ConfigError):
    """The disk or the folder is at fault: settings could not be read or written."""
