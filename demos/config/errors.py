"""What can go wrong with settings, split by who is at fault.

Knows nothing of files or IPC.
"""

from __future__ import annotations


class ConfigError(Exception):
    """Something went wrong with a setting; the text is for the user."""


class InvalidSetting(ConfigError, ValueError):
    """The one who asked is at fault: a name or value that cannot be stored."""


class StorageFailure(ConfigError):
    """The disk or its folder is at fault: settings could not be read or written."""
