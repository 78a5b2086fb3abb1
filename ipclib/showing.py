"""Owns how values, texts and exceptions of users are shown in our own texts: always, and briefly.
Must not know messages. A `__repr__` or `__str__` that raises must not hide what we have to say.
"""

from __future__ import annotations

_LONGEST_VALUE = 80
_OF_A_LONG_VALUE = 60


def value_shown(value: object) -> str:
    """The repr of a value, at most 80 characters of it; its class, if that raises."""
    try:
        text = str(repr(value))
    except RecursionError:
        return f"a {type(value).__name__} nested deeper than Python can show"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return f"a {type(value).__name__} whose __repr__ raises {type(error).__name__}"
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_OF_A_LONG_VALUE]}... ({len(text)} characters)"


def text_shown(given: object) -> str:
    """A text itself, or the str() of another object; its class, if that raises."""
    try:
        return given if type(given) is str else "".join(str(given))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return f"a {type(given).__name__} whose __str__ raises {type(error).__name__}"


def shortened(text: str, most: int) -> str:
    """A text that UTF-8 can encode in `most` bytes: the start of a longer one, and what is missing.

    Surrogates, which UTF-8 does not have, become question marks.
    """
    if len(text) <= most and text.isascii():
        return text
    # A longer start cannot fit, and a text of many megabytes need not be encoded.
    raw = text[: most + 1].encode("utf-8", "replace")
    if len(raw) <= most:
        return raw.decode()
    mark = f"... ({len(text)} characters)".encode()
    if len(mark) > most:
        return raw[:most].decode("utf-8", "ignore")
    return raw[: most - len(mark)].decode("utf-8", "ignore") + mark.decode()
