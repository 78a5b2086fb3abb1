"""The error for a value that does not fit shows the user's own lines, and not those of our codecs."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import attrs
import pytest

import ipcc
from corelib import EventLoop, LocalSocket
from ipclib import Decoder, EncodeError, Encoder, File, codec_of, ipc_type

INTERFACE = """
struct Fit::Inner { i32 number; }
struct Fit::Outer { String name; Vector<Fit::Inner> inner; Optional<Fit::Outer> next; }
endpoint FitServer
{
    number(i32 value) => ()
    text(String value) => ()
    flag(bool value) => ()
    numbers(Vector<i32> value) => ()
    texts(Vector<String> value) => ()
    names(HashMap<String, i32> value) => ()
    outer(Fit::Outer value) => ()
    json(JsonValue value) => ()
    file(IPC::File value) => ()
    date(Core::DateTime value) => ()
    bitmap(Gfx::ShareableBitmap value) => ()
    origin(URL::Origin value) => ()
    choice(Variant<i32, String> value) => ()
    two(i32 a, String b) => (i32 a, String b)
    post(Vector<Fit::Inner> value) =|
}
endpoint FitClient
{
}
"""


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("fit") / "Fit.ipc"
    path.write_text(INTERFACE)
    return ipcc.load(path)


@pytest.fixture
def client(fit: Any, loop: EventLoop) -> Any:
    here, _there = LocalSocket.pair()
    client = fit.ConnectionToServer(here)
    yield client
    client.shutdown()


def _closed_file() -> File:
    file = File.open("/dev/null")
    file.close()
    return file


_MISTAKES: dict[str, Callable[[Any, Any], object]] = {
    "number": lambda client, fit: client.number("7"),
    "number out of range": lambda client, fit: client.number(1 << 31),
    "text": lambda client, fit: client.text(7),
    "half a surrogate pair": lambda client, fit: client.text("\ud800"),
    "flag": lambda client, fit: client.flag(1),
    "numbers": lambda client, fit: client.numbers([1, "2"]),
    "texts": lambda client, fit: client.async_texts(["a", b"b"]),
    "map": lambda client, fit: client.names({"a": "b"}),
    "nested": lambda client, fit: client.outer(fit.Outer("a", [], fit.Outer("b", [fit.Inner("x")], None))),
    "json": lambda client, fit: client.json({1: 2}),
    "file": lambda client, fit: client.file(3),
    "closed file": lambda client, fit: client.file(_closed_file()),
    "date": lambda client, fit: client.date("today"),
    "origin": lambda client, fit: client.origin(fit.Outer("", [], None)),
    "choice": lambda client, fit: client.choice(1.5),
    "post": lambda client, fit: client.async_post([fit.Inner(1), fit.Inner("2")]),
}


@pytest.mark.parametrize("name", _MISTAKES)
def test_the_error_has_no_cause_and_few_lines(client: Any, fit: Any, name: str) -> None:
    with pytest.raises(EncodeError) as caught:
        _MISTAKES[name](client, fit)
    error = caught.value
    assert error.__cause__ is None
    assert error.__suppress_context__
    shown = "".join(traceback.format_exception(error))
    assert shown.count("Traceback") == 1
    frames = traceback.extract_tb(error.__traceback__)
    assert [frame.name for frame in frames].count("<lambda>") == 1, "the user's line"
    after = [frame.filename for frame in frames][[frame.name for frame in frames].index("<lambda>") + 1 :]
    assert len(after) <= 4
    assert not [file for file in after if "ipclib/values/" in file]


@attrs.frozen
class Number:
    """A user's class whose own code raises."""

    def __index__(self) -> int:
        raise ValueError("my own mistake")


@ipc_type("Fit::Own")
class Own:
    def encode(self, encoder: Encoder) -> None:
        encoder.i32("seven")  # type: ignore[arg-type]

    @classmethod
    def decode(cls, decoder: Decoder) -> Own:
        return cls()


@ipc_type("Fit::Pair")
@attrs.frozen
class Pair:
    own: Own


def test_the_line_of_a_users_own_encode_is_shown() -> None:
    pair = codec_of(Pair)
    with pytest.raises(ValueError, match=r"Pair\.own: i32 takes an int") as caught:
        pair.encode(Pair(Own()), [])
    assert "in encode\n    encoder.i32" in "".join(traceback.format_exception(caught.value.__cause__))


@pytest.mark.parametrize("call", ["number", "numbers", "nested"])
def test_the_cause_is_what_the_users_own_code_raised(client: Any, fit: Any, call: str) -> None:
    calls = {
        "number": lambda: client.number(Number()),
        "numbers": lambda: client.numbers([Number()]),
        "nested": lambda: client.outer(fit.Outer("", [fit.Inner(Number())], None)),
    }
    with pytest.raises(EncodeError) as caught:
        calls[call]()
    assert str(caught.value.__cause__) == "my own mistake"
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("Traceback") == 2
    assert "in __index__" in shown
