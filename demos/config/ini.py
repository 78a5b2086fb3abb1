"""Owns the text of an INI file: groups of settings, with their writer's comments, order and spacing.
Must not know files, types of values, and IPC."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from demos.config.errors import InvalidSetting, shown

_MARGIN = " \t\r"
_COMMENT = ("#", ";")

_ESCAPES = {" ": r"\s", "\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\"}
"""The escapes of the Desktop Entry Specification; the other control characters are written as \\uXXXX."""
_CHARACTERS = {escape: character for character, escape in _ESCAPES.items()}
_TO_ESCAPE = re.compile(r"\A | \Z|[\\\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPED = re.compile(r"\\(?:[sntr\\]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_UP_TO_VALUE = re.compile(r"[^=]*=[ \t]*")


def escape(value: str) -> str:
    """Write a value on one line, so that `unescape` returns it whatever spaces surround it."""
    return _TO_ESCAPE.sub(lambda found: _ESCAPES.get(found[0], f"\\u{ord(found[0]):04x}"), value)


def unescape(text: str) -> str:
    """Read a value as `escape` wrote it; a backslash that begins no escape is a backslash."""
    return _ESCAPED.sub(lambda found: _CHARACTERS.get(found[0]) or chr(int(found[0][2:], 16)), text)


def is_group_name(name: str) -> bool:
    """Tell whether `[name]` reads back as that group."""
    return bool(name) and name.isprintable() and name == name.strip()


def is_key_name(name: str) -> bool:
    """Tell whether `name=value` reads back as that key."""
    return is_group_name(name) and "=" not in name and not name.startswith(("[", *_COMMENT))


@attrs.define(eq=False)
class _Line:
    """One line below a group's header; `key` is None if it is not a readable setting."""

    text: str
    key: str | None = None
    value: str | None = None

    def assign(self, value: str) -> None:
        before = _UP_TO_VALUE.match(self.text)
        assert before is not None, "only a setting's line is assigned to"
        self.text = before[0] + escape(value)
        self.value = value


@attrs.define(eq=False)
class _Section:
    """A header and the lines below it.

    `name` is None above the first header and below an unreadable one: settings there are not found."""

    name: str | None
    header: str | None = None
    lines: list[_Line] = attrs.field(factory=list)

    @property
    def end_of_settings(self) -> int:
        """The place after the last setting; the comments after it may belong to the next header."""
        return max((place for place, line in enumerate(self.lines, 1) if line.key is not None), default=0)

    def text_lines(self) -> Iterator[str]:
        if self.header is not None:
            yield self.header
        yield from (line.text for line in self.lines)


class Document:
    """The text of an INI file, changed line by line: a change leaves all other lines as they were written.

    A line that is not a header, a setting or a comment is kept and ignored. If a key occurs twice, the last
    one counts."""

    def __init__(self, text: str = "") -> None:
        """Read a text; lone surrogates in it are bytes that were not UTF-8 (`errors="surrogateescape"`)."""
        self.flaws: list[tuple[int, str]] = []
        """The number of each ignored line, and what is wrong with it."""
        self._sections = [_Section(None)]
        text = text.removeprefix("\ufeff")
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
            flaw = self._append(line)
            if flaw is not None:
                self.flaws.append((number, flaw))

    def _append(self, text: str) -> str | None:
        """Add one line of the file; return what is wrong with it, if anything."""
        bare = text.strip(_MARGIN)
        if bare.startswith("["):
            return self._append_header(text, bare)
        if not bare or bare.startswith(_COMMENT):
            self._sections[-1].lines.append(_Line(text))
            return None
        return self._append_setting(text, bare)

    def _append_header(self, text: str, bare: str) -> str | None:
        name = bare[1:-1].strip(_MARGIN) if bare.endswith("]") else ""
        readable = is_group_name(name)
        self._sections.append(_Section(name if readable else None, text))
        return None if readable else "a group's header is [name]; the settings below it are ignored"

    def _append_setting(self, text: str, bare: str) -> str | None:
        key, equals, value = (part.strip(_MARGIN) for part in bare.partition("="))
        section = self._sections[-1]
        if _SURROGATE.search(bare):
            section.lines.append(_Line(text))
            return "the line is not UTF-8; it is ignored"
        if not equals or not is_key_name(key):
            section.lines.append(_Line(text))
            return "a setting is key=value; the line is ignored"
        section.lines.append(_Line(text, key, unescape(value)))
        return None if section.name is not None else "the setting is not below a group; it is ignored"

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for section in self._sections for line in section.text_lines())

    def groups(self) -> list[str]:
        """Name the groups in order."""
        return list(dict.fromkeys(section.name for section in self._sections if section.name is not None))

    def keys(self, group: str) -> list[str]:
        """Name a group's keys in order; none if there is no such group."""
        return list(dict.fromkeys(line.key for line in self._lines(group) if line.key is not None))

    def get(self, group: str, key: str) -> str | None:
        """Return a setting's value, or None."""
        line = self._find(group, key)
        return None if line is None else line.value

    def set(self, group: str, key: str, value: str) -> bool:
        """Give a setting a value; return whether that changed the text.

        Raises:
            InvalidSetting: the name or the value would not read back.
        """
        _check_key(key)
        if _SURROGATE.search(value):
            raise InvalidSetting(f"value {shown(value)} is not text that UTF-8 can hold")
        line = self._find(group, key) or self._add_key(group, key)
        if line.value == value:
            return False
        line.assign(value)
        return True

    def add_group(self, group: str) -> bool:
        """Add an empty group below the others; return whether it was new.

        Raises:
            InvalidSetting: the name would not read back.
        """
        if self._sections_of(group):
            return False
        _check_group(group)
        if self.text and not self.text.endswith("\n\n"):
            self._sections[-1].lines.append(_Line(""))
        self._sections.append(_Section(group, f"[{group}]"))
        return True

    def remove_key(self, group: str, key: str) -> bool:
        """Remove a setting; return whether it existed."""
        found = self._find(group, key) is not None
        for section in self._sections_of(group):
            section.lines = [line for line in section.lines if line.key != key]
        return found

    def remove_group(self, group: str) -> bool:
        """Remove a group with its settings and the comments among them; return whether it existed."""
        found = self._sections_of(group)
        for section in found:
            before = self._sections[self._sections.index(section) - 1]
            before.lines += _kept_after_removal(section)
            self._sections.remove(section)
        return bool(found)

    def _sections_of(self, group: str) -> list[_Section]:
        return [section for section in self._sections if section.name == group]

    def _lines(self, group: str) -> list[_Line]:
        return [line for section in self._sections_of(group) for line in section.lines]

    def _find(self, group: str, key: str) -> _Line | None:
        return next((line for line in reversed(self._lines(group)) if line.key == key), None)

    def _add_key(self, group: str, key: str) -> _Line:
        self.add_group(group)
        line = _Line(f"{key}=", key)
        section = self._sections_of(group)[-1]
        section.lines.insert(section.end_of_settings, line)
        return line


def _kept_after_removal(section: _Section) -> list[_Line]:
    """Return the lines that stay after their group: unreadable ones, and the next group's comments."""
    settings, rest = section.lines[: section.end_of_settings], section.lines[section.end_of_settings :]
    unread = [line for line in settings if line.key is None and not _is_comment_or_blank(line)]
    return unread + rest


def _is_comment_or_blank(line: _Line) -> bool:
    bare = line.text.strip(_MARGIN)
    return not bare or bare.startswith(_COMMENT)


def _check_group(name: str) -> None:
    if not is_group_name(name):
        raise InvalidSetting(
            f"group {shown(name)}: a name is printable text on one line, without spaces at its ends"
        )


def _check_key(name: str) -> None:
    if not is_key_name(name):
        raise InvalidSetting(
            f"key {shown(name)}: a name is printable text on one line, without '=' or spaces at its ends, "
            "and does not begin with '[', '#' or ';'"
        )
