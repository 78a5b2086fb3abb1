"""Owns standard output and standard error of the command `ipcc`, which may be closed, full or a broken pipe.

Must not know what is printed.
"""

from __future__ import annotations

import json
import os
import sys

from ipcc.diagnostics import CommandError


def print_text(text: str) -> None:
    """Write a text to standard output at once.

    Raises:
        BrokenPipeError: nobody reads it any more.
        CommandError: it is closed, or cannot be written.
    """
    if sys.stdout is None:  # closed, as by `>&-`
        raise CommandError("standard output is closed")
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence_output()
        raise CommandError(f"cannot write standard output: {error.strerror}") from error


def json_text(value: object) -> str:
    """A value as JSON in several lines."""
    return json.dumps(value, indent=2) + "\n"


def complain(text: str) -> None:
    """Write a line to standard error, unless it is closed."""
    if sys.stderr is not None:
        print(text, file=sys.stderr)


def silence_output() -> None:
    """Send standard output nowhere: Python flushes it once more at exit, into what failed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
