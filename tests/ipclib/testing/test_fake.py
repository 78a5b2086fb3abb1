"""A fake answers as it is told, else at random, and records what it was sent."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest

from corelib import LocalSocket, TimedOut, UsageError, sleep_ms
from corelib.asyncio_bridge import AsyncioEventLoop
from ipclib import EncodeError, HandlerError, MultiServer, RemoteError, Wait
from ipclib.testing import FakePeer, Pair
from pytest_ipclib import MakeFake, MakePair
from tests.ipclib import clock_service
from tests.ipclib.owned_files import content_of, make


def test_a_fake_answers_with_values_functions_and_errors(
    clock: Any, ipc_pair: MakePair, ipc_fake: MakeFake
) -> None:
    async def slow(ms: int, ticks: int) -> int:
        await sleep_ms(1)
        return ms + ticks

    answers = {
        "ClockServer.add": 7,
        "echo_string": lambda text: text * 2,
        "divide": (3, 1),
        "slow": slow,
        "fail": HandlerError("out of order"),
    }
    client = ipc_pair(clock.ConnectionToServer, ipc_fake(clock.ConnectionFromClient, answers)).client
    assert client.add(1, 2) == 7
    assert client.echo_string("ab") == "abab"
    assert client.divide(7, 2) == clock.ClockServer.DivideResponse(3, 1)
    assert client.slow(5, 6) == 11
    with pytest.raises(RemoteError, match="out of order"):
        client.fail("", True)


def test_an_answer_can_be_changed(clock: Any, ipc_pair: MakePair, ipc_fake: MakeFake) -> None:
    service = ipc_fake(clock.ConnectionFromClient, {"add": 1})
    client = ipc_pair(clock.ConnectionToServer, service).client
    assert client.add(0, 0) == 1
    service.answer("add", 2)
    assert client.add(0, 0) == 2


def test_random_answers_are_the_same_for_the_same_seed(
    clock: Any, ipc_pair: MakePair, ipc_fake: MakeFake
) -> None:
    def answers(seed: int) -> list[Any]:
        client = ipc_pair(clock.ConnectionToServer, ipc_fake(clock.ConnectionFromClient, seed=seed)).client
        return [(client.add(1, 2), client.echo_names([]), client.divide(1, 1)) for _ in range(5)]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


def test_what_a_fake_received_is_compared_by_value(
    clock: Any, ipc_pair: MakePair, ipc_fake: MakeFake
) -> None:
    service = ipc_fake(clock.ConnectionFromClient)
    client = ipc_pair(clock.ConnectionToServer, service).client
    client.async_log(1, "one")
    client.add(2, 3)
    assert service.received == [clock.ClockServer.Log(1, "one"), clock.ClockServer.Add(2, 3)]
    assert service.calls("add") == [clock.ClockServer.Add(2, 3)]


def test_a_fake_sends_its_peer_the_interface_s_messages(
    clock: Any, app: Any, ipc_loop: Any, ipc_pair: MakePair, ipc_fake: MakeFake
) -> None:
    service = ipc_fake(clock.ConnectionFromClient)
    client = ipc_pair(app, service).client
    service.connection.async_tick(5)
    assert ipc_loop.spin_until(lambda: client.ticks == [5], timeout=5)


def test_a_fake_client_records_what_a_service_sends(
    clock: Any, ipc_pair: MakePair, ipc_fake: MakeFake
) -> None:
    fake = ipc_fake(clock.ConnectionToServer, {"ascend": 4})
    pair = ipc_pair(fake, clock_service.handlers(clock))
    assert pair.client.descend(1) == 5
    pair.client.async_slow(1, 2).await_()
    assert fake.wait_for("tick", 2) == [clock.ClockClient.Tick(0), clock.ClockClient.Tick(1)]


def test_a_wait_for_what_does_not_come_says_what_came(
    clock: Any, ipc_clock: Any, ipc_pair: MakePair, ipc_fake: MakeFake
) -> None:
    service = ipc_fake(clock.ConnectionFromClient)
    ipc_pair(clock.ConnectionToServer, service).client.async_log(1, "one")
    with pytest.raises(TimedOut, match=r"add was received 0 times in 5 s, not 1; .*Log\(number=1"):
        service.wait_for("add")


def test_a_fake_serves_at_a_path(clock: Any, ipc_loop: Any, ipc_fake: MakeFake, tmp_path: Any) -> None:
    service = ipc_fake(clock.ConnectionFromClient, {"add": 9})
    server = MultiServer(service, str(tmp_path / "clock"))
    client = clock.ConnectionToServer.connect(str(tmp_path / "clock"))
    assert client.add(1, 1) == 9
    client.shutdown()
    server.close()


def test_a_fake_takes_and_gives_files(clock: Any, ipc_pair: MakePair, ipc_fake: MakeFake) -> None:
    service = ipc_fake(clock.ConnectionFromClient, {"give_file": lambda content: make(content)})
    client = ipc_pair(clock.ConnectionToServer, service).client
    with client.give_file(b"given") as file:
        assert content_of(file) == b"given"
    client.take_files([make(b"one"), make(b"two")], False)
    (taken,) = service.calls("take_files")
    assert [os.pread(file.fileno(), 9, 0) for file in taken.files] == [b"one", b"two"]  # type: ignore[attr-defined]
    service.answer("take_files", lambda files, fail: [file.close() for file in files] and [])
    client.take_files([make(b"one")], False)


@pytest.mark.parametrize(
    ("answers", "error", "text"),
    [
        ({"ad": 1}, UsageError, "receives no message 'ad': did you mean 'add'"),
        ({"add": "x"}, EncodeError, "ClockServer.add: sum = 'x'"),
        ({"divide": (1, 2, 3)}, EncodeError, "2 values are needed"),
        ({"log": 3}, UsageError, "ClockServer.log has no answer"),
        ({"nothing": 3}, EncodeError, "no output"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_when_it_is_given(
    answers: Any, error: type[Exception], text: str, clock: Any
) -> None:
    with pytest.raises(error, match=text):
        FakePeer(clock.ConnectionFromClient, answers)


def test_a_fake_is_made_of_a_generated_class(clock: Any) -> None:
    with pytest.raises(UsageError, match="of a generated module"):
        FakePeer(clock)
    with pytest.raises(UsageError, match="nobody has connected"):
        _ = FakePeer(clock.ConnectionFromClient).connection


def test_a_pair_refuses_what_is_no_end(clock: Any, ipc_loop: Any) -> None:
    service = clock_service.handlers(clock)

    def no_client(socket: LocalSocket, **_options: Any) -> Any:
        socket.close()

    class Blocking(clock.ConnectionToServer):  # type: ignore[misc]
        wait = Wait.BLOCK

    with pytest.raises(UsageError, match="is no client's end"):
        Pair(no_client, service)
    with pytest.raises(UsageError, match="would wait for ever"):
        Pair(Blocking, service)
    with pytest.raises(UsageError, match="is a client's end"):
        Pair(clock.ConnectionToServer, clock.ConnectionToServer)


def test_a_fake_shows_its_seed(clock: Any) -> None:
    text = repr(FakePeer(clock.ConnectionFromClient, seed=12))
    assert text == "<FakeService, seed 12, 0 open connections, 0 messages received>"


def test_a_pair_is_made_inside_a_task_of_asyncio(clock: Any) -> None:
    async def main() -> Any:
        service = FakePeer(clock.ConnectionFromClient, {"add": 3})
        with Pair(clock.ConnectionToServer, service) as pair:
            return await pair.client.async_add(1, 2)

    with asyncio.Runner(loop_factory=AsyncioEventLoop) as runner:
        assert runner.run(main()) == 3


def test_a_fake_forgets_what_it_received(clock: Any, ipc_pair: MakePair, ipc_fake: MakeFake) -> None:
    service = ipc_fake(clock.ConnectionFromClient)
    pair = ipc_pair(clock.ConnectionToServer, service)
    pair.client.take_files([make(b"one")], False)
    pair.close()
    service.clear()
    assert (service.received, service.connections) == ([], [])


@pytest.mark.slow
def test_ipclib_itself_imports_nothing_for_tests() -> None:
    program = (
        "import sys, ipclib, ipclib.generated\n"
        "print([name for name in sys.modules if 'testing' in name or name.endswith(('.samples', 'random'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
