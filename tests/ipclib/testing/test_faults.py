"""The faults of ipclib.testing, between our own client and our own service: each ends as it should."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib import UsageError
from ipclib import (
    CallTimeout,
    ErrorKind,
    IPCError,
    Limits,
    MultiServer,
    PeerDisconnected,
    ProtocolViolation,
    RemoteError,
    SchemaMismatch,
    UnknownMessage,
)
from ipclib.testing import FAULTS, Fault, WithFaults
from ipclib.testing.frame import Cutter, Frame
from pytest_ipclib import MakeFake, MakePair
from tests.ipclib import clock_service, owned_files

TIMEOUT = 5.0
"""Seconds on the test's own clock."""

End: TypeAlias = "type[IPCError] | ErrorKind | None"


def echo(client: Any) -> None:
    assert client.echo_string("asked", timeout=TIMEOUT) == "asked"


def twice(client: Any) -> None:
    echo(client)
    echo(client)


def side_by_side(client: Any) -> None:
    first, second = client.async_echo_string("one"), client.async_echo_string("two")
    assert second.await_(TIMEOUT) == "two"
    assert first.await_(TIMEOUT) == "one"


def post(client: Any) -> None:
    client.async_log(1, "one")
    client.async_log(2, "two")
    assert client.logged(timeout=TIMEOUT) == [1, 2]


def file(client: Any) -> None:
    client.give_file(b"content", timeout=TIMEOUT).close()


def large_after(client: Any) -> None:
    echo(client)
    client.echo_bytes(bytes(4 << 20), timeout=TIMEOUT)


def given_up_by_the_handler(client: Any) -> None:
    client.fail("as asked", True, timeout=TIMEOUT)


@attrs.frozen
class Row:
    """A fault, the call that meets it, and how both ends see it."""

    faults: tuple[Fault, ...]
    end: End
    """How the call ends: its error, the kind of its RemoteError, or None for the right answer."""
    dropped: str = ""
    """Why an end has dropped the other: words of the warning that is logged, empty if none is."""
    call: Callable[[Any], None] = echo
    is_open: bool = True
    """Whether the client's connection is open afterwards."""

    def __str__(self) -> str:
        faults = "+".join(
            f"{one.name}{'' if one.amount is None else f'-{one.amount:g}'}-to-{one.to}" for one in self.faults
        )
        return f"{faults}-{self.call.__name__}"


def row(
    name: str,
    end: End,
    dropped: str = "",
    *,
    amount: float | None = None,
    message: str | None = None,
    nth: int | None = None,
    to: Any = "client",
    call: Callable[[Any], None] = echo,
    open: bool | None = None,
) -> Row:
    """A row with one fault. After a fault for which an end is dropped, the connection is closed."""
    fault = Fault(name, message, nth=nth, to=to, amount=amount)
    return Row((fault,), end, dropped, call, not dropped if open is None else open)


VIOLATION, GONE, LATE = ProtocolViolation, PeerDisconnected, CallTimeout

ROWS = [
    # What the client gets
    row("delay", None, amount=TIMEOUT - 1),
    row("delay", LATE, amount=TIMEOUT + 1),
    row("drop", LATE),
    row("drop", LATE, nth=2, call=twice),
    row("drop", None, nth=3, call=twice),
    row("drop", None, message="add"),
    row("drop", LATE, message="ClockServer.fail", call=given_up_by_the_handler),
    row("duplicate", None, "serial 1"),
    row("duplicate", GONE, "serial 1", call=twice),
    row("reorder", None, nth=1, call=side_by_side),
    row("reorder", LATE),
    row("trickle", None),
    row("trickle", None, amount=7, call=twice),
    row("trickle", None, call=file),
    row("close", GONE, open=False),
    row("cut", GONE, amount=0, open=False),
    row("cut", GONE, amount=3, open=False),
    row("cut", GONE, open=False),
    row("cut", GONE, nth=2, call=twice, open=False),
    row("hang", LATE, amount=0),
    row("hang", LATE, amount=10),
    row("stop_reading", None),
    row("stop_reading", LATE, nth=1, call=twice),
    row("send_back", UnknownMessage, message="echo_string"),
    row("signature", VIOLATION, "signature"),
    row("serial", VIOLATION, "serial"),
    row("serial", VIOLATION, "serial", amount=0),
    row("tag", VIOLATION, "-12 bytes"),
    row("no_trailer", None),
    row("no_trailer", VIOLATION, "trailer", nth=2, call=twice),
    row("magic", VIOLATION, "12345"),
    row("id", VIOLATION, "9999"),
    row("size", VIOLATION, "4294967295 bytes"),
    row("size", VIOLATION, "7 bytes", amount=7),
    row("size", VIOLATION, "0 bytes", amount=0),
    row("size", LATE, amount=1000),
    row("damage", VIOLATION, "length"),
    row("shorten", VIOLATION, "follow"),
    row("lengthen", VIOLATION, "-1 bytes"),
    row("garbage", VIOLATION, "bytes"),
    row("error", ErrorKind.HANDLER_RAISED),
    row("error", SchemaMismatch, amount=2),
    row("error", UnknownMessage, amount=3),
    row("error", ErrorKind.REFUSED, amount=4),
    row("error", ErrorKind.CANCELLED, amount=5),
    row("error", ErrorKind.UNENCODABLE_ANSWER, amount=6),
    row("error", VIOLATION, "99", amount=99),
    row("broken_error", VIOLATION, "error frame"),
    row("descriptors", VIOLATION, "descriptors"),
    row("descriptors", VIOLATION, "64 fds", amount=65),
    row("no_descriptors", VIOLATION, "descriptors", call=file),
    # What the service gets
    row("delay", LATE, amount=TIMEOUT + 1, to="service"),
    row("drop", LATE, to="service"),
    row("drop", LATE, message="logged", to="service", call=post),
    row("duplicate", GONE, "serial 1", to="service", call=twice),
    row("duplicate", None, message="log", nth=3, to="service", call=post),
    row("trickle", None, to="service", call=post),
    row("close", GONE, to="service", open=False),
    row("cut", GONE, to="service", open=False),
    row("hang", LATE, amount=10, to="service"),
    row("stop_reading", LATE, nth=1, to="service", call=twice),
    row("stop_reading", LATE, nth=1, to="service", call=large_after),
    row("send_back", VIOLATION, "the id 3", to="service"),
    row("signature", SchemaMismatch, to="service"),
    row("serial", VIOLATION, "serial", amount=5000, to="service"),
    row("serial", GONE, "serial 0", amount=0, to="service"),
    row("tag", GONE, "trailer", nth=2, to="service", call=twice),
    row("no_trailer", GONE, "trailer", nth=2, to="service", call=twice),
    row("magic", VIOLATION, "12345", to="service"),
    row("id", UnknownMessage, to="service"),
    row("size", GONE, "4294967295 bytes", to="service"),
    row("size", LATE, amount=1000, to="service"),
    row("damage", GONE, "length", to="service"),
    row("shorten", GONE, "follow", to="service"),
    row("lengthen", GONE, "-1 bytes", to="service"),
    row("garbage", GONE, "bytes", to="service"),
    row("descriptors", GONE, "descriptors", amount=1, to="service"),
    row("descriptors", GONE, "64 fds", amount=65, to="service"),
]


def _faults(*faults: Fault, end: End, **others: Any) -> Row:
    return Row(faults, end, **others)


ROWS += [
    _faults(Fault("delay", amount=1), Fault("trickle"), Fault("delay", to="service"), end=None),
    _faults(Fault("trickle"), Fault("signature"), end=VIOLATION, dropped="signature", is_open=False),
    _faults(Fault("trickle"), Fault("cut"), end=GONE, is_open=False),
    _faults(Fault("drop", nth=1), Fault("drop", nth=2), call=twice, end=LATE),
    _faults(Fault("duplicate", to="service"), Fault("drop", nth=2), end=None),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_fault_ends_a_call_as_it_should(
    row: Row, clock: Any, app: Any, ipc_clock: Any, ipc_pair: MakePair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    limits = Limits(frame_timeout=2 * TIMEOUT)
    pair = ipc_pair(app, clock_service.handlers(clock), *row.faults, limits=limits, client_limits=limits)
    error = _error_of(row.call, pair.client)
    if isinstance(row.end, ErrorKind):
        assert isinstance(error, RemoteError)
        assert error.kind is row.end
    else:
        assert type(error) is (row.end or type(None))
    pair.client.flush(0.0)
    warnings = [one.getMessage() for one in caplog.records]
    assert bool(warnings) is bool(row.dropped), warnings
    assert re.search(row.dropped, "\n".join(warnings)), warnings
    assert pair.client.is_open is row.is_open


def _error_of(call: Callable[[Any], None], client: Any) -> BaseException | None:
    try:
        call(client)
    except IPCError as error:
        return error
    return None


def test_every_fault_is_in_the_table() -> None:
    assert {fault.name for row in ROWS for fault in row.faults} == set(FAULTS)


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (Fault("delay", "ascend"), "7"),
        (Fault("drop", "ascend"), None),
        (Fault("drop", "ascend", to="service"), None),
        (Fault("signature", "ascend"), "SchemaMismatch"),
        (Fault("error", "ascend", to="service", amount=4), "RemoteError"),
        (Fault("no_trailer", "ascend", to="service"), "ProtocolViolation"),
    ],
    ids=str,
)
def test_a_fault_strikes_calls_of_the_service_to_its_client(
    fault: Fault, answer: str | None, clock: Any, ipc_clock: Any, ipc_pair: MakePair, ipc_fake: MakeFake
) -> None:
    async def ask(_text: str) -> str:
        try:
            return str(await service.connection.async_ascend(0))
        except IPCError as error:
            return type(error).__name__

    service = ipc_fake(clock.ConnectionFromClient, {"echo_string": ask})
    client = ipc_pair(ipc_fake(clock.ConnectionToServer, {"ascend": 7}), service, fault).client
    if answer is None:
        with pytest.raises(CallTimeout):
            client.echo_string("", timeout=TIMEOUT)
    elif answer == "ProtocolViolation":
        with pytest.raises(PeerDisconnected):
            client.echo_string("", timeout=TIMEOUT)
    else:
        assert client.echo_string("", timeout=TIMEOUT) == answer


def test_a_fault_strikes_the_messages_that_it_is_aimed_at_alone(
    clock: Any, ipc_clock: Any, ipc_pair: MakePair, ipc_fake: MakeFake
) -> None:
    service = ipc_fake(clock.ConnectionFromClient, {"add": 1, "crossed": []})
    faults = [Fault("drop", "log", nth=2, to="service"), Fault("error", "ClockServer.add", nth=3)]
    client = ipc_pair(clock.ConnectionToServer, service, *faults).client
    for number in range(4):
        client.async_log(number, "")
        client.crossed()
    assert [log.number for log in service.calls("log")] == [0, 2, 3]  # type: ignore[attr-defined]
    assert [_error_of(lambda client: client.add(1, 2), client) is None for _ in range(4)] == [
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": "dealy"}, "there is no fault 'dealy': did you mean 'delay'"),
        ({"name": "drop", "to": "server"}, "'client' or the 'service'"),
        ({"name": "drop", "nth": 0}, "from 1 on"),
        ({"name": "drop", "amount": 2}, "has no amount"),
        ({"name": "delay", "amount": -1}, "from 0"),
        ({"name": "descriptors", "amount": 254}, "from 0 to 253"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_the_remedy(arguments: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Fault(**arguments)


def test_a_fault_names_a_message_that_there_is(clock: Any, ipc_pair: MakePair) -> None:
    with pytest.raises(UsageError, match=r"no message 'ad' passes here; did you mean 'add'"):
        ipc_pair(clock.ConnectionToServer, clock_service.handlers(clock), Fault("drop", "ad"))


def test_faults_strike_the_clients_of_a_server(clock: Any, ipc_loop: Any, tmp_path: Any) -> None:
    """All is closed when both ends have closed, without a close() of what is between them."""
    service = WithFaults(clock_service.handlers(clock), Fault("drop", "log", nth=1, to="service"))
    server = MultiServer(service, str(tmp_path / "clock"))
    for _ in range(3):
        client = clock.ConnectionToServer.connect(str(tmp_path / "clock"))
        client.async_log(1, "one")
        client.async_log(2, "two")
        assert client.logged() == [2]
        client.shutdown()
    server.close()


def test_a_client_that_hangs_up_ends_a_silent_service_s_connection(
    clock: Any, ipc_loop: Any, tmp_path: Any
) -> None:
    server = MultiServer(
        WithFaults(clock_service.handlers(clock), Fault("hang", "add")), str(tmp_path / "clock")
    )
    client = clock.ConnectionToServer.connect(str(tmp_path / "clock"))
    call = client.async_add(1, 2).when_rejected(lambda _error: None)
    assert ipc_loop.spin_until(
        lambda: sum(one.counters.frames_sent for one in server.clients) == 1, timeout=5
    )
    client.shutdown()
    assert ipc_loop.spin_until(lambda: not server.clients, timeout=5)
    assert call.is_settled
    server.close()


def test_files_keep_their_message_between_others(clock: Any, ipc_pair: MakePair) -> None:
    """Descriptors reach the message that they belong to, though frames travel together."""
    client = ipc_pair(clock.ConnectionToServer, clock_service.handlers(clock), Fault("trickle", "add")).client
    promises = []
    for number in range(20):
        client.async_log(number, "")
        promises.append(client.async_take_files([owned_files.make(b"%d" % number)], False))
        promises.append(client.async_echo_bytes(bytes(number * 5000)))
    contents = [promise.await_(30) for promise in promises[::2]]
    assert contents == [[b"%d" % number] for number in range(20)]
    assert [len(promise.await_(30)) for promise in promises[1::2]] == [number * 5000 for number in range(20)]


@given(sizes=st.lists(st.integers(1, 40), min_size=1), count=st.integers(1, 5))
def test_a_stream_is_cut_into_its_frames_however_it_arrives(sizes: list[int], count: int) -> None:
    frames = [
        Frame(magic=7, id=number + 1, payload=b"x" * number, trailer=(1, 2, 3)) for number in range(count)
    ]
    data = b"".join(frame.packed() for frame in frames)
    cutter, found, at = Cutter(), [], 0
    for size in itertools.cycle(sizes):
        found += cutter.feed(data[at : at + size], [])
        at += size
        if at >= len(data):
            break
    assert [frame.packed() for frame in found] == [frame.packed() for frame in frames]
    assert cutter.rest() == []


def test_what_is_no_frame_is_passed_on_as_it_is() -> None:
    cutter = Cutter()
    (frame,) = cutter.feed(b"GET / HTTP/1.1\r\n", [])
    assert frame.packed() == b"GET / HTTP/1.1\r\n"
    assert [one.packed() for one in cutter.feed(b"Host: x\r\n", [])] == [b"Host: x\r\n"]
    partial = Cutter()
    assert partial.feed(b"\x10\0\0\0half", []) == []
    assert [one.packed() for one in partial.rest()] == [b"\x10\0\0\0half"]
