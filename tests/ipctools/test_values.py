"""Owns the tests that a value which is shown is read back as an equal one, for every type of the language.
Must not know connections.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcc.model import Message, Parameter
from ipclib import Alternative, AnonymousBuffer, Duration, UnixDateTime, gfx
from ipctools.attachments import Inputs, Outputs
from ipctools.interface import Interface
from ipctools.leaves import LEAVES
from ipctools.misfit import Misfit
from tests.ipctools.any_values import values_of

HERE = Path(__file__).parent
EVERYTHING = Interface.of_files([str(HERE / "Everything.ipc")], (), ())
MESSAGES = {message.name: message for message in EVERYTHING.called[0].messages}
PARAMETERS = [
    pytest.param(
        message,
        parameter,
        id=f"{message.name} {parameter.type.canonical}",
        marks=[] if number == 0 else [pytest.mark.slow],
    )
    for message in MESSAGES.values()
    if message.name != "files"
    for number, parameter in enumerate(message.inputs.parameters)
]


def parameter(message: str, name: str) -> Parameter:
    return next(each for each in MESSAGES[message].inputs.parameters if each.name == name)


def of_word(message: str, name: str, word: str) -> Any:
    inputs = Inputs()
    try:
        return EVERYTHING.values.of_word(parameter(message, name).type, word, inputs)
    finally:
        inputs.close()


def encoded(message: Message, parameter: Parameter, value: Any) -> bytes:
    """The bytes of a value on the wire, and the contents of its shared memory."""
    described = getattr(getattr(EVERYTHING.module, message.endpoint_python), message.class_name).__ipc__
    files: list[Any] = []
    raw: bytes = described.codecs[described.parameters.index(parameter.python)].encode(value, files)
    for file in files:
        file.close()
    if isinstance(value, AnonymousBuffer) and value.is_valid:
        raw += bytes(value.data)
    if isinstance(value, gfx.ShareableBitmap) and value.is_valid:
        raw += bytes(value.pixels)
    return raw


def test_every_type_without_parts_is_in_the_interface_of_these_tests() -> None:
    def leaves(type: Any) -> set[str]:
        return {type.codec.removeprefix("_ipc.")}.union(*map(leaves, type.parts)) - {""}

    used = {leaf for message in MESSAGES.values() for type in message.types for leaf in leaves(type)}
    assert used == set(LEAVES)


@pytest.mark.parametrize(("message", "parameter"), PARAMETERS)
@given(data=st.data())
def test_a_shown_value_is_read_back(message: Message, parameter: Parameter, data: st.DataObject) -> None:
    value = data.draw(values_of(EVERYTHING, parameter.type))
    shown = EVERYTHING.values.show(parameter.type, value, Outputs())
    text = json.dumps(shown, allow_nan=False)
    inputs = Inputs()
    try:
        for read in (
            EVERYTHING.values.parse(parameter.type, json.loads(text), inputs),
            EVERYTHING.values.of_word(parameter.type, text, inputs),
        ):
            assert encoded(message, parameter, read) == encoded(message, parameter, value), text
            if not isinstance(value, AnonymousBuffer | gfx.ShareableBitmap):
                assert read == value
    finally:
        inputs.close()


@pytest.mark.parametrize(
    ("message", "name", "word", "value"),
    [
        ("numbers", "a", "-5", -5),
        ("numbers", "g", "0xff", 255),
        ("numbers", "h", "18446744073709551615", (1 << 64) - 1),
        ("numbers", "j", "1", 1.0),
        ("numbers", "k", "-inf", -math.inf),
        ("numbers", "l", "true", True),
        ("texts", "a", "plain words", "plain words"),
        ("texts", "a", "5", "5"),
        ("texts", "a", '"quoted"', "quoted"),
        ("texts", "a", '"not closed', '"not closed'),
        ("texts", "a", "@no file", "@no file"),
        ("texts", "c", "grüß", "grüß".encode()),
        ("texts", "c", '{"base64": "AP8="}', b"\0\xff"),
        ("texts", "c", '{"text": "@"}', b"@"),
        ("texts", "c", '{"a": 1}', b'{"a": 1}'),
        ("texts", "c", "\udcff", b"\xff"),
        ("texts", "e", '{"a": [null]}', {"a": [None]}),
        ("times", "a", "1.5ms", Duration(1_500_000)),
        ("times", "a", "-2 h", Duration(-7_200_000_000_000)),
        ("times", "b", "1970-01-01T01:00:00.000000001+01:00", UnixDateTime(1)),
        ("places", "b", "CITY", EVERYTHING.module.Kind.CITY),
        ("places", "b", "Town::Kind::CITY", EVERYTHING.module.Kind.CITY),
        ("places", "b", "200", EVERYTHING.module.Kind.CITY),
        ("places", "c", "NULL", EVERYTHING.module.Signed.NULL),
        (
            "places",
            "a",
            '{"name": "x", "kind": "CITY", "parts": []}',
            EVERYTHING.module.Place("x", EVERYTHING.module.Kind.CITY, None, []),
        ),
        ("geometry", "g", "#102030", gfx.Color(16, 32, 48)),
        ("maps", "b", '{"-1": "x"}', {-1: "x"}),
        ("maps", "b", '[[-1, "x"]]', {-1: "x"}),
        ("memory", "a", "5", b"5"),
        ("memory", "a", '"null"', b"null"),
        ("memory", "a", "[", b"["),
        ("optionals", "b", "null", None),
        ("optionals", "b", '"null"', "null"),
        ("optionals", "a", "0x10", 16),
        ("variants", "a", "5", 5),
        ("variants", "a", "five", "five"),
        ("variants", "a", '"5"', "5"),
        ("variants", "b", '{"u32": 5}', Alternative(1, 5)),
        ("variants", "b", '{"2": 5}', Alternative(2, 5)),
        ("variants", "f", "1s", Alternative(0, "1s")),
    ],
)
def test_a_word_is_read_as_its_type(message: str, name: str, word: str, value: Any) -> None:
    if (message, name) == ("variants", "f"):
        with pytest.raises(Misfit, match=r'any of several types: write {"String": ...} or {"Duration": ...}'):
            of_word(message, name, word)
        return
    inputs = Inputs()
    read = EVERYTHING.values.of_word(parameter(message, name).type, word, inputs)
    assert (bytes(read.data) if isinstance(read, AnonymousBuffer) else read) == value
    inputs.close()


@pytest.mark.parametrize(
    ("message", "name", "word", "text"),
    [
        ("numbers", "a", "128", "128 does not fit: i8 takes an int from -128 to 127"),
        ("numbers", "a", "many", "'many' where a whole number (i8) is needed"),
        ("numbers", "a", "1.5", "1.5 where a whole number (i8) is needed"),
        ("numbers", "a", "true", "a bool where a whole number (i8) is needed"),
        ("numbers", "j", "1e300", "1e+300 does not fit: float takes a float within the range of 32 bits"),
        ("numbers", "k", f"1{'0' * 400}", f"1{'0' * 400} is too large for double"),
        ("numbers", "k", "high", "'high' where a number (double) is needed"),
        ("numbers", "l", "yes", "'yes' where true or false is needed"),
        ("texts", "a", "\udcff", "the text is not UTF-8"),
        ("texts", "c", "@/no/such", "cannot read '/no/such': No such file or directory"),
        ("texts", "c", '{"base64": "?"}', "it is no base64: Only base64 data is allowed"),
        ("texts", "e", "word", "'word' is no JSON; a text needs its quotes, as in NAME='\"text\"'"),
        ("texts", "e", "NaN", "NaN does not fit: JSON has no nan"),
        ("texts", "f", "0", "0 where null is needed"),
        ("times", "a", "5", "5 where a length of time such as 1.5s (ns, us, ms, s, min, h) is needed"),
        ("times", "a", "0.5ns", "0.5ns is no whole number of nanoseconds"),
        (
            "times",
            "c",
            "2026-01-31T12:00:00",
            "'2026-01-31T12:00:00' where a moment such as 2026-01-31T12:00:00Z, with its time zone, is",
        ),
        ("places", "b", "VILLAGE", "Town::Kind has no value 'VILLAGE': there are HAMLET, CITY"),
        ("places", "b", "TOWN", "Town::Kind has no value 'TOWN': there are HAMLET, CITY"),
        ("places", "b", "CITTY", "Town::Kind has no value 'CITTY': did you mean 'CITY'?"),
        ("places", "b", "7", "Town::Kind has no value 7: there are HAMLET, CITY"),
        (
            "places",
            "a",
            "Oslo",
            "'Oslo' where Town::Place, a JSON object with name, kind, people, parts, is",
        ),
        ("places", "a", '{"name": "x"}', "Town::Place needs its field 'kind' (Town::Kind)"),
        ("places", "a", '{"nam": "x"}', "Town::Place has no field 'nam': did you mean 'name'?"),
        (
            "places",
            "a",
            '{"name": "x", "kind": "CITY", "parts": [{"name": 1}]}',
            "parts[0].name: 1 where a text is needed",
        ),
        ("places", "a", '{"name"', "it is no JSON: Expecting ':' delimiter: line 1 column 8 (char 7)"),
        ("library", "d", "READ", "'READ' is none of NOT_OPEN, READ_ONLY"),
        ("geometry", "a", '{"x": 1}', "an object where a IntPoint, an object with x, y, is needed"),
        (
            "geometry",
            "g",
            "red",
            "'red' where a colour such as #ff8000 or, with its alpha, #ff8000c0 is",
        ),
        ("vectors", "a", "1", "1 where a list in JSON (Vector<i32>) is needed"),
        ("vectors", "a", '[1, "2"]', "[1]: a text where a whole number (i32) is needed"),
        ("vectors", "c", "[1]", "1 elements where 3 are needed"),
        ("maps", "a", "[]", ""),
        ("maps", "a", '{"x": 1, "x": 2}', "it is no JSON: 'x' is there twice"),
        ("maps", "a", "x", "'x' where an object or a list of pairs in JSON (HashMap<String,i32>) is needed"),
        ("maps", "a", '[["x", 1], ["x", 2]]', '["x"]: this key is there twice'),
        ("variants", "a", "null", "it fits none of i32, String"),
        (
            "variants",
            "b",
            "5",
            'it could be any of several types: write {"0": ...} or {"u32": ...} or',
        ),
        ("memory", "b", "[]", "write a bitmap as @PICTURE.png, or as an object with width"),
        ("files", "a", "/etc/passwd", 'write a file as @PATH, or as {"path": "...", "mode": "r+"}'),
        ("files", "a", "@/no/such", "cannot read '/no/such': No such file or directory"),
    ],
)
def test_a_word_that_does_not_fit_says_why(message: str, name: str, word: str, text: str) -> None:
    if not text:
        assert of_word(message, name, word) == {}
        return
    with pytest.raises(Misfit) as caught:
        of_word(message, name, word)
    assert str(caught.value).startswith(text)


def test_contents_are_saved_and_read_back(tmp_path: Path) -> None:
    outputs = Outputs(str(tmp_path / "new"))
    buffer = AnonymousBuffer.create(3)
    buffer.data[:] = b"abc"
    kind = parameter("memory", "a").type
    shown = [EVERYTHING.values.show(kind, buffer, outputs, "a") for _ in range(2)]
    assert shown == [f"@{tmp_path}/new/a", f"@{tmp_path}/new/a-2"]
    inputs = Inputs()
    again = EVERYTHING.values.of_word(kind, shown[1], inputs)
    assert bytes(again.data) == b"abc"
    inputs.close()


def test_a_picture_is_saved_as_png_and_read_back(tmp_path: Path) -> None:
    bitmap = gfx.ShareableBitmap.create(2, 1)
    bitmap.pixels[:] = bytes(range(8))
    kind = parameter("memory", "b").type
    shown = EVERYTHING.values.show(kind, bitmap, Outputs(str(tmp_path)), "b")
    assert shown == f"@{tmp_path}/b.png"
    inputs = Inputs()
    assert bytes(EVERYTHING.values.of_word(kind, shown, inputs).pixels) == bytes(range(8))
    inputs.close()
