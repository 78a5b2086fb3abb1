"""Owns how results, and what a service sends, are written for people and for programs.
Must not know connections, or how values become JSON.
"""

from __future__ import annotations

import json
from typing import Any

_WIDEST = 100
_LONGEST_TEXT = 200


def compact(node: Any) -> str:
    """JSON in one line. Characters that a terminal might obey are escaped."""
    return printable(json.dumps(node, ensure_ascii=False))


def printable(text: str) -> str:
    """A text with each character that is not printable as JSON escapes it; line ends stay."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]
        for character in text
    )


def shown_values(values: dict[str, Any], separator: str = "\n", mark: str = " = ") -> str:
    """`NAME = VALUE` for each value, with long texts shortened."""
    return separator.join(f"{name}{mark}{_shown(value, separator)}" for name, value in values.items())


def _shown(node: Any, separator: str) -> str:
    node = _shortened(node)
    line = compact(node)
    if separator != "\n" or len(line) <= _WIDEST or "{" not in line:
        return line
    return printable(json.dumps(node, ensure_ascii=False, indent=2))


def _shortened(node: Any) -> Any:
    if isinstance(node, str) and len(node) > _LONGEST_TEXT:
        return f"{node[:_LONGEST_TEXT]}... ({len(node)} characters)"
    if isinstance(node, list):
        return [_shortened(element) for element in node]
    if isinstance(node, dict):
        return {name: _shortened(value) for name, value in node.items()}
    return node
