"""Owns the tests that each message of Gold.ipc arrives in another process, and its result at the caller.
Must not know the bytes between them."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop
from ipclib import (
    URL,
    Alternative,
    AnonymousBuffer,
    BlobEntry,
    Duration,
    EncodeError,
    Origin,
    ProxyData,
    UnixDateTime,
    gfx,
)
from tests.wire import gold_service
from tests.wire.gold_service import make, shown, shown_message
from tests.wire.golden_values import VECTORS, arguments, files_of, load

HERE = Path(__file__).parent

_LARGEST = {f"i{bits}": (1 << bits - 1) - 1 for bits in (8, 16, 32, 64)}
_LARGEST |= {f"u{bits}": (1 << bits) - 1 for bits in (8, 16, 32, 64)}
_FLOAT_MAX = float.fromhex("0x1.fffffep127")
_DENORMAL = float.fromhex("0x1p-149")
_TEXTS = ["", "\0", "grüß dich", "\U0001f980" * 3, "\ufeff\u202e\uffff", "x" * 300_000]
_OCTETS = [b"", b"\0", bytes(range(256)), b"\xff" * 300_000]
_FLOATS = [0.0, -0.0, math.inf, -math.inf, math.nan, _FLOAT_MAX, -_FLOAT_MAX, _DENORMAL]
_DOUBLES = [*_FLOATS, sys.float_info.max, sys.float_info.min, 5e-324, math.pi]
_DEEP_JSON: Any = None
for _ in range(60):
    _DEEP_JSON = [_DEEP_JSON]
_JSON = [
    None,
    True,
    False,
    0,
    -1,
    1 << 62,
    0.5,
    -1e300,
    "",
    'quotes " and \\ and \n and \0 and ü',
    [],
    {},
    [1, "two", None, [3.5], {"four": [True, False]}],
    {"": "", "ü": {"nested": [{}]}},
    _DEEP_JSON,
]
_HOSTS = ["", "example.com", IPv4Address("255.0.0.1"), IPv6Address("2001:db8::ff"), None]
_I32_ENDS = (-(1 << 31), (1 << 31) - 1)


def _one(values: list[Any]) -> list[tuple[Any, ...]]:
    return [(value,) for value in values]


def _integers(type_: str) -> list[tuple[int]]:
    largest = _LARGEST[type_]
    smallest = -largest - 1 if type_.startswith("i") else 0
    return [(value,) for value in (smallest, 0, 1, largest)]


def _edges(gold: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Return, for each message that is echoed, arguments at the limits of their types."""
    shade, plain, wide = gold.Shade, gold.Plain, gold.Wide
    return {
        "echo_string": _one(_TEXTS),
        "echo_bytes": _one(_OCTETS),
        "echo_bool": _one([False, True]),
        **{f"echo_{type_}": _integers(type_) for type_ in _LARGEST},
        "echo_size": _integers("u64"),
        "echo_float": _one(_FLOATS),
        "echo_double": _one(_DOUBLES),
        "echo_int_unsigned": [(_I32_ENDS[0], 0), (_I32_ENDS[1], _LARGEST["u32"])],
        "echo_all": [
            (False, -128, -32768, _I32_ENDS[0], -(1 << 63), 0, 0, 0, 0, 0, -math.inf, -0.0),
            (True, *_LARGEST.values(), _LARGEST["u64"], _FLOAT_MAX, sys.float_info.max),
        ],
        "echo_byte_string": _one(_OCTETS),
        "echo_utf8": _one(_TEXTS),
        "echo_ints": _one([[], [0], list(_I32_ENDS), list(range(100_000))]),
        "echo_strings": _one([[], [b""], _OCTETS, [b"x"] * 10_000]),
        "echo_nested": _one([[], [b""], [b"", b"\0", b"", bytes(range(256))]]),
        "echo_map": _one([{}, {b"": 0}, {b"\xff": _I32_ENDS[0], b"a": _I32_ENDS[1]}]),
        "echo_map_of_vectors": _one([{}, {"": []}, {"ü": [0, _LARGEST["u32"]], "z": []}]),
        "echo_optional_int": _one([None, 0, *_I32_ENDS]),
        "echo_optional_string": _one([None, *_OCTETS]),
        "echo_optional_vector": _one([None, [], [None], [None, 0, *_I32_ENDS]]),
        "echo_array": _one([(0, 0, 0, 0), (65535,) * 4]),
        "echo_variant": _one(
            [
                None,
                *_I32_ENDS,
                Alternative(2, b""),
                Alternative(3, b""),
                Alternative(2, b"\0"),
                Alternative(3, b"x"),
            ]
        ),
        "echo_json": _one(_JSON),
        "echo_shade": _one(list(shade)),
        "echo_enums": [(a, b, c) for a in shade for b in plain for c in wide],
        "echo_duration": _one([Duration(value) for (value,) in _integers("i64")]),
        "echo_unix_time": _one([UnixDateTime(value) for (value,) in _integers("i64")]),
        "echo_datetime": _one(
            [datetime.min.replace(tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)]
        ),
        "echo_url": _one(
            [*map(URL, _TEXTS), URL("blob:x", BlobEntry("text/plain", b"\0\xff", Origin("https", None, 443)))]
        ),
        "echo_origin": _one([Origin("", host, port) for host in _HOSTS for port in (None, 0, 65535)]),
        "echo_proxy": _one([ProxyData(0, 0, 0), ProxyData(1, _LARGEST["u32"], _I32_ENDS[1])]),
        "echo_point": _one([gfx.IntPoint(*_I32_ENDS), gfx.IntPoint()]),
        "echo_float_point": _one([gfx.FloatPoint(one, other) for one in _FLOATS for other in _FLOATS]),
        "echo_size2d": _one([gfx.IntSize(*_I32_ENDS), gfx.IntSize()]),
        "echo_rect": _one([gfx.IntRect(*_I32_ENDS, *_I32_ENDS), gfx.IntRect()]),
        "echo_color": _one([gfx.Color(0, 0, 0, 0), gfx.Color(255, 255, 255), gfx.Color(1, 2, 3, 4)]),
        "echo_rects": _one([[], [gfx.IntRect(number, 0, number, 1) for number in range(1000)]]),
        "echo_bitmap": _one([gfx.ShareableBitmap(), *map(_bitmap, gfx.BitmapFormat)]),
        "echo_buffer": _one([AnonymousBuffer(), _buffer(bytes(range(256)) * 100)]),
        "two_results": [(_I32_ENDS[0], b""), (_I32_ENDS[1], _OCTETS[-1])],
    }


def _bitmap(format: gfx.BitmapFormat) -> gfx.ShareableBitmap:
    bitmap = gfx.ShareableBitmap.create(3, 2, scale=2, format=format)
    bitmap.pixels[:] = bytes(range(96))
    return bitmap


def _buffer(content: bytes) -> AnonymousBuffer:
    buffer = AnonymousBuffer.create(len(content))
    buffer.data[:] = content
    return buffer


@pytest.fixture(scope="module")
def gold() -> Any:
    return load()


class Ends:
    """A client, and the process that serves it and prints the messages that its handlers get."""

    def __init__(self, gold: Any, path: str, *, trailers: bool) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / "gold_service.py", path],
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent), "PYTHONIOENCODING": "utf-8"},
        )
        assert self.next_message() == "ready"
        self.got: list[str] = []
        self.client = self._class(gold).connect(path, trailers=trailers)

    def _class(self, gold: Any) -> Any:
        got = self.got

        class Client(gold.ConnectionToServer):  # type: ignore[misc]
            def notify(self, seq: int, text: str) -> None:
                got.append(shown_message("notify", (seq, text)))

            def finished(self) -> None:
                got.append(shown_message("finished", ()))

            def ask_client(self, question: int) -> int:
                got.append(shown_message("ask_client", (question,)))
                return question * 7

        return Client

    def next_message(self) -> str:
        """Return the next message that a handler of the service got."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().removesuffix("\n")

    def call(self, name: str, values: tuple[Any, ...]) -> Any:
        """Call by the generated proxy, and check that the handler got these values."""
        sent = shown_message(name, values)
        result = getattr(self.client, name)(*values)
        assert self.next_message() == sent
        return result

    def end(self) -> None:
        self.client.shutdown()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(
    params=[pytest.param(True, id="with trailers", marks=pytest.mark.slow), pytest.param(False, id="bare")]
)
def trailers(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def ends(gold: Any, tmp_path: Path, trailers: bool) -> Iterator[Ends]:
    with EventLoop():
        ends = Ends(gold, str(tmp_path / "gold"), trailers=trailers)
        yield ends
        ends.end()


def _results(gold: Any, response: type[Any], values: tuple[Any, ...]) -> Any:
    """Return the result of a call whose response has these values."""
    return values[0] if len(values) == 1 else response(*values) if values else None


_ECHOES = [
    vector
    for vector in VECTORS
    if vector["endpoint"] == "GoldServer"
    and vector["kind"] == "request"
    and (vector["idl_name"].startswith("echo_") or vector["idl_name"] == "two_results")
]


def test_golden_values_are_echoed(gold: Any, ends: Ends) -> None:
    for vector in _ECHOES:
        values = arguments(vector, files_of(vector), gold)
        expected = _results(gold, getattr(gold.GoldServer, vector["message"] + "Response"), values)
        assert shown(ends.call(vector["idl_name"], values)) == shown(expected)


@pytest.mark.slow
def test_values_at_the_ends_of_their_types_are_echoed(gold: Any, ends: Ends) -> None:
    for name, calls in _edges(gold).items():
        message = next(vector["message"] for vector in _ECHOES if vector["idl_name"] == name)
        response = getattr(gold.GoldServer, f"{message}Response")
        for values in calls:
            assert shown(ends.call(name, values)) == shown(_results(gold, response, values))


def test_every_echo_has_values_at_the_ends_of_its_types(gold: Any) -> None:
    assert set(_edges(gold)) == {vector["idl_name"] for vector in _ECHOES}


@pytest.mark.slow
def test_memory_and_files_arrive_with_their_content(ends: Ends) -> None:
    assert ends.call("read_buffer", (AnonymousBuffer(),)) == b""
    assert ends.call("read_buffer", (_buffer(b"hello buffer"),)) == b"hello buffer"
    with ends.call("make_buffer", (b"ab",)) as buffer:
        assert bytes(buffer.data) == b"ab"
    assert ends.call("read_file", (make(b"file content"),)) == b"file content"
    with ends.call("make_file", (b"ab",)) as file:
        assert gold_service.read(file) == b"ab"
    assert ends.call("maybe_read_file", (None,)) is None
    assert ends.call("maybe_read_file", (make(b""),)) == b""
    assert ends.call("maybe_make_file", (None,)) is None
    with ends.call("maybe_make_file", (b"",)) as file:
        assert gold_service.read(file) == b""
    assert ends.call("concat_files", (make(b"A"), b"--", make(b"B"))) == b"A--B"


@pytest.mark.slow
def test_an_empty_buffer_is_sent_to_peers_that_write_trailers(ends: Ends, trailers: bool) -> None:
    """LibIPC cannot map it, and would read nothing more."""
    if trailers:
        with ends.call("echo_buffer", (_buffer(b""),)) as echoed:
            assert (echoed.is_valid, echoed.size) == (True, 0)
    else:
        with pytest.raises(EncodeError, match="cannot map shared memory of 0 bytes"):
            ends.client.echo_buffer(_buffer(b""))
        with pytest.raises(EncodeError, match="cannot map shared memory of 0 bytes"):
            ends.client.echo_bitmap(gfx.ShareableBitmap.create(0, 0))
    with ends.call("echo_buffer", (AnonymousBuffer(),)) as echoed:
        assert not echoed.is_valid


@pytest.mark.slow
def test_a_buffer_stays_shared(ends: Ends) -> None:
    with AnonymousBuffer.create(3) as mine, ends.call("echo_buffer", (mine,)) as echoed:
        echoed.data[:] = b"two"
        assert bytes(mine.data) == b"two"
        assert os.fstat(echoed.fd).st_ino == os.fstat(mine.fd).st_ino


@pytest.mark.slow
def test_messages_without_arguments_or_results_are_answered(ends: Ends) -> None:
    assert ends.call("add", (2, 40)) == 42
    assert ends.call("no_arguments", ()) == 42
    assert ends.call("nothing", ()) is None


@pytest.mark.slow
def test_a_handler_calls_its_caller(ends: Ends) -> None:
    assert ends.client.no_result(6) is None
    assert ends.next_message() == "no_result(6)"
    assert ends.got == ["ask_client(6)", "notify(6, '42')"]


def test_one_way_messages_arrive_in_order_both_ways(ends: Ends) -> None:
    ends.client.async_poke()
    for number in range(100):
        ends.client.async_log(number, f"line {number}")
    ends.client.async_start_notifications(3)
    assert ends.client.get_log_count() == 100
    assert ends.next_message() == "poke()"
    assert [ends.next_message() for _ in range(100)] == [f"log({n}, 'line {n}')" for n in range(100)]
    assert ends.next_message() == "start_notifications(3)"
    assert ends.got == [*(f"notify({n}, 'ding {n}')" for n in range(3)), "finished()"]
