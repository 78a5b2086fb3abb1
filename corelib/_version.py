"""Owns the version of the distribution, the only place where it is written.
Must not know anything else: pyproject.toml reads this file as text, and the compiler has a link to it."""

__version__ = "0.1.0"
