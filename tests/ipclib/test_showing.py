"""How values, texts and exceptions of users are shown, whatever their own methods do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib import Cancelled
from ipclib import EncodeError, ErrorKind, HandlerError, RemoteError
from ipclib.errors import failure_text
from ipclib.showing import shortened, text_shown, value_shown


class Spoilt:
    """An object whose texts raise."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error

    __str__ = __repr__


_RAISED = [ValueError("x"), RecursionError(), MemoryError(), Cancelled("x"), GeneratorExit(), BaseException()]


@pytest.mark.parametrize("error", _RAISED, ids=repr)
def test_an_object_whose_texts_raise_is_shown_by_its_class(error: BaseException) -> None:
    spoilt = Spoilt(error)
    assert value_shown(spoilt).startswith("a Spoilt ")
    assert text_shown(spoilt).startswith("a Spoilt ")
    assert "a Spoilt " in str(EncodeError("A.b", "c", spoilt, "why"))
    assert HandlerError(spoilt).text.startswith("a Spoilt ")


@pytest.mark.parametrize("leaves", [KeyboardInterrupt(), SystemExit()], ids=repr)
def test_what_ends_a_program_propagates(leaves: BaseException) -> None:
    for show in (value_shown, text_shown):
        with pytest.raises(type(leaves)):
            show(Spoilt(leaves))


def test_a_text_of_a_class_of_its_own_is_a_plain_text() -> None:
    class Text(str):
        __slots__ = ()

    assert type(text_shown(Text("a"))) is str
    assert text_shown(OSError(2, "no such file")) == "[Errno 2] no such file"


@given(st.text(st.characters(), max_size=300), st.integers(0, 400))
def test_a_shortened_text_fits_and_begins_as_the_text_did(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short.encode()) <= most
    whole = text.encode("utf-8", "replace").decode()
    if len(whole.encode()) <= most:
        assert short == whole
    elif most > 40:
        assert whole.startswith(short[: short.rindex("... (")])
        assert short.endswith(f"... ({len(text)} characters)")


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=100),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=100),
)
def test_words_and_traceback_come_back_as_they_were(words: str, traceback: str) -> None:
    error = RemoteError.of("A.b", ErrorKind.HANDLER_RAISED, failure_text(words, traceback, 10_000))
    assert (error.text, error.remote_traceback) == (words, traceback or None)


@given(st.text(max_size=300), st.text(max_size=300), st.integers(50, 400))
def test_the_text_of_an_error_frame_never_is_longer_than_it_may_be(
    words: str, traceback: str, most: int
) -> None:
    assert len(failure_text(words, traceback, most).encode()) <= most
