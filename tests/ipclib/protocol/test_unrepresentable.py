"""A value that an honest peer may send, but that Python cannot hold, is refused; the connection stays."""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime
from typing import Any

import pytest

import ipcc
from ipclib import ErrorKind, RemoteError, UnknownMessage
from ipclib.protocol.conversation import DESCRIBE
from ipclib.protocol.events import CallFailed, RequestRefused
from ipclib.protocol.message import Kind
from ipclib.protocol.open_call import Call
from tests.ipclib.protocol.two_ends import End, bare, dev_null, trailed

INTERFACE = """
endpoint OddServer
{
    text(String value) => (String value)
    texts(Vector<String> value) => (Vector<String> value)
    json(JsonValue value) => (JsonValue value)
    date(Core::DateTime value) => (Core::DateTime value)
    file(IPC::File file, String value) => (IPC::File file, String value)
    post_text(String value) =|
    post_json(JsonValue value) =|
    post_date(Core::DateTime value) =|
}
endpoint OddClient
{
}
"""
_HIGH = "\ud83d".encode("utf-8", "surrogatepass")


def _octets(raw: bytes) -> bytes:
    return struct.pack("=I", len(raw)) + raw


_CASES = {
    "half a surrogate pair": ("Text", _octets(b"a" + _HIGH)),
    "halves in the wrong order": (
        "Texts",
        struct.pack("=I", 1) + _octets("\udc00\ud800".encode("utf-8", "surrogatepass")),
    ),
    "JSON with half a pair": ("Json", _octets(b'"\\ud83d"')),
    "JSON with an encoded half": ("Json", _octets(b'"' + _HIGH + b'"')),
    "JSON in Latin-1": ("Json", _octets(b'["\xe9"]')),
    "a date after the year 9999": ("Date", struct.pack("=q", 253402300800)),
    "a date before the year 1": ("Date", struct.pack("=q", -(1 << 63))),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("odd") / "Odd.ipc"
    path.write_text(INTERFACE)
    return ipcc.load(path)


@pytest.fixture
def service(odd: Any) -> End:
    return End(odd.OddClient, odd.OddServer)


@pytest.fixture
def client(odd: Any) -> End:
    return End(odd.OddServer, odd.OddClient)


@pytest.mark.parametrize("name", _CASES)
def test_a_request_is_refused_and_the_next_one_arrives(odd: Any, service: End, name: str) -> None:
    message, payload = _CASES[name]
    message = getattr(odd.OddServer, message)
    service.receive(trailed(message, payload, 1) + trailed(odd.OddServer.Text, _octets(b"next"), 2))
    refused, (_kind, _message, serial, values, _files, _size) = service.inbox
    assert isinstance(refused, RequestRefused)
    assert (refused.serial, refused.kind) == (1, ErrorKind.REFUSED)
    assert refused.text.startswith(f"{message.__ipc__.name} cannot be received: ")
    assert (serial, values) == (2, ("next",))


@pytest.mark.parametrize("name", [name for name in _CASES if _CASES[name][0] != "Texts"])
@pytest.mark.parametrize("trailers", [True, False], ids=["with a trailer", "bare"])
def test_a_one_way_message_is_dropped_and_the_next_one_arrives(
    odd: Any, service: End, name: str, trailers: bool
) -> None:
    message, payload = _CASES[name]
    posted = getattr(odd.OddServer, f"Post{message}")
    after = _octets(b"next")
    if trailers:
        service.receive(trailed(posted, payload, 0) + trailed(odd.OddServer.PostText, after, 0))
    else:
        service.receive(bare(posted, payload) + bare(odd.OddServer.PostText, after))
    assert not service.receiver.ended
    kind, _message, _concerned, values, _files, _size = service.inbox[-1]
    assert (kind, values) == (Kind.ONE_WAY, ("next",))


@pytest.mark.parametrize("name", _CASES)
def test_a_bare_request_ends_the_connection_because_it_cannot_be_refused(
    odd: Any, service: End, name: str
) -> None:
    message, payload = _CASES[name]
    service.receive(bare(getattr(odd.OddServer, message), payload))
    assert message.lower() in service.violation()


@pytest.mark.parametrize("name", _CASES)
def test_an_answer_fails_its_call_alone(odd: Any, client: End, name: str) -> None:
    message, payload = _CASES[name]
    message = getattr(odd.OddServer, message)
    value = {"Text": "", "Texts": [], "Json": 0, "Date": datetime(2020, 1, 1, tzinfo=UTC)}[message.__name__]
    call, _frame = client.request(message, value)
    client.receive(trailed(message.__ipc__.response.python, payload, call.serial))
    (failed,) = client.inbox
    assert isinstance(failed, CallFailed)
    assert failed.call is call
    assert isinstance(failed.error, RemoteError)
    assert failed.error.kind is ErrorKind.REFUSED
    assert not client.conversation.open_calls
    assert not client.receiver.ended


def test_the_descriptors_of_a_refused_message_are_closed_and_the_next_ones_find_their_message(
    odd: Any, service: End
) -> None:
    lost, kept = dev_null(), dev_null()
    service.receive(trailed(odd.OddServer.File, _octets(_HIGH), 1), (lost,))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(lost)
    service.receive(trailed(odd.OddServer.File, _octets(b"x"), 2), (kept,))
    _kind, _message, _serial, (file, text), _files, _size = service.inbox[-1]
    assert (file.fileno(), text) == (kept, "x")
    file.close()


@pytest.mark.parametrize("raw", [b"\xff", b"\xed\xa0", b"\xed\xa0\x80\xff"])
def test_a_text_that_is_no_text_at_all_is_a_violation(odd: Any, service: End, raw: bytes) -> None:
    service.receive(trailed(odd.OddServer.Text, _octets(raw), 1))
    assert "utf-8" in service.violation()


def test_a_peer_that_writes_no_trailers_is_never_asked_to_describe_itself(odd: Any, client: End) -> None:
    assert client.conversation.describe(Call(DESCRIBE))
    client.request(odd.OddServer.Text, "")
    client.receive(bare(odd.OddServer.TextResponse, _octets(b"")))
    refused = Call(DESCRIBE)
    with pytest.raises(UnknownMessage, match="a peer without trailers cannot answer it"):
        client.conversation.describe(refused)
    assert refused.serial not in client.conversation.open_calls
    never = End(odd.OddServer, odd.OddClient, trailers=False)
    with pytest.raises(UnknownMessage):
        never.conversation.describe(Call(DESCRIBE))
