"""A service and its clients in processes of their own: calls that pump, nest, cross, fail and carry much."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import EventLoop, LocalSocket, Timer, deferred_invoke
from ipclib import (
    CallTimeout,
    File,
    PeerDisconnected,
    RemoteError,
    SchemaMismatch,
    ServiceUnavailable,
    UnknownMessage,
    Wait,
)

INTERFACE = Path(__file__).parent / "Clock.ipc"


@pytest.fixture(scope="module")
def app(clock: Any) -> Any:
    """A client class that notes its ticks and goes on climbing."""

    class App(clock.ConnectionToServer):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.ticks: list[int] = []
            self.died = 0

        def tick(self, number: int) -> None:
            self.ticks.append(number)

        def ascend(self, depth: int) -> int:
            levels: int = 1 + self.descend(depth - 1) if depth > 0 else 0
            return levels

        def die(self) -> None:
            self.died += 1

    return App


@pytest.fixture
def service(loop: EventLoop, processes: Any, app: Any) -> tuple[Any, subprocess.Popen[str]]:
    """A connected client, and the process that serves it."""
    path, process = processes.clock_service()
    return app.connect(path), process


def test_a_call_is_answered(service: Any) -> None:
    client, _process = service
    assert client.add(2, 40) == 42
    assert client.nothing() is None
    assert client.echo_string("grüß dich") == "grüß dich"
    divided = client.divide(17, 5)
    assert (divided.quotient, divided.remainder) == (3, 2)
    assert client.add(1, 1, wait=Wait.BLOCK) == 2
    assert client.async_add(3, 4).await_() == 7


def test_what_goes_on_while_a_call_waits(service: Any, processes: Any, app: Any) -> None:
    client, _process = service
    other_path, _other_process = processes.clock_service()
    other = app.connect(other_path)
    fired: list[int] = []
    other_answers: list[Any] = []
    timer = Timer.create_repeating(10, lambda: fired.append(1))
    started = time.monotonic()
    timer.start()
    other.async_slow(50, 3).when_resolved(other_answers.append)
    assert client.slow(300, 5) == 300
    assert client.ticks == [0, 1, 2, 3, 4]
    assert (other_answers, other.ticks) == ([50], [0, 1, 2])
    timer.stop()
    assert 5 <= len(fired) <= (time.monotonic() - started) * 100


def test_calls_in_both_directions_at_once(service: Any) -> None:
    client, _process = service
    for _ in range(50):
        client.async_cross(4)
        assert client.descend(5) == 5
    while len(levels := client.crossed()) < 50:
        pass
    assert levels == [4] * 50


def test_twenty_calls_deep(service: Any) -> None:
    client, _process = service
    assert client.descend(20) == 20
    assert client.descend(21) == 21


def test_nested_calls_get_their_own_answers_in_whatever_order_they_come(service: Any) -> None:
    client, _process = service
    answers: list[int] = []

    def inner() -> None:
        Timer.create_single_shot(20, release).start()
        answers.append(client.held(2))

    def release() -> None:
        client.async_release(1)
        client.async_release(2)

    deferred_invoke(inner)
    answers.append(client.held(1))
    assert answers == [2, 1]


def test_deferred_work_behind_a_call_runs_inside_it(loop: EventLoop, service: Any) -> None:
    client, _process = service
    happened: list[str] = []

    def call() -> None:
        happened.append("call")
        client.slow(30, 0)
        happened.append("answered")
        loop.quit(0)

    deferred_invoke(call)
    deferred_invoke(lambda: happened.append("behind"))
    loop.exec()
    assert happened == ["call", "behind", "answered"]


def test_a_timer_whose_callback_calls_does_not_recurse(loop: EventLoop, service: Any) -> None:
    client, _process = service
    depth = deepest = calls = 0

    def call() -> None:
        nonlocal depth, deepest, calls
        depth += 1
        calls += 1
        deepest = max(deepest, depth)
        client.slow(100, 0)
        depth -= 1
        if calls == 3:
            loop.quit(0)

    timer = Timer.create_repeating(10, call)
    timer.start()
    loop.exec()
    timer.stop()
    assert (deepest, calls) == (1, 3)


def test_quit_during_a_call_ends_the_loop_after_it(loop: EventLoop, service: Any) -> None:
    client, _process = service
    answers: list[int] = []

    def call() -> None:
        loop.quit(7)
        answers.append(client.add(1, 2))

    deferred_invoke(call)
    assert loop.exec() == 7
    assert answers == [3]


def test_nesting_is_bounded(service: Any) -> None:
    client, _process = service
    with pytest.raises(RemoteError) as caught:
        client.descend(1000)
    assert caught.value.text in ("RecursionError", "RemoteError")
    assert client.add(1, 1) == 2


def test_a_blocked_call_sets_other_messages_aside(loop: EventLoop, service: Any) -> None:
    client, _process = service
    fired: list[int] = []
    timer = Timer.create_repeating(1, lambda: fired.append(1))
    timer.start()
    assert client.slow(50, 3, wait=Wait.BLOCK) == 50
    assert (client.ticks, fired) == ([], [])
    loop.spin_until(lambda: len(client.ticks) == 3, 5)
    assert client.ticks == [0, 1, 2]
    timer.stop()


@pytest.mark.parametrize("wait", list(Wait))
def test_a_timeout_leaves_the_connection_in_order(service: Any, wait: Wait) -> None:
    client, process = service
    assert client.add(1, 1) == 2
    os.kill(process.pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(CallTimeout, match=r"no answer within 0\.2 s"):
        client.add(20, 20, timeout=0.2, wait=wait)
    assert time.monotonic() - started >= 0.2
    os.kill(process.pid, signal.SIGCONT)
    assert client.add(2, 2, wait=wait) == 4
    assert client.add(3, 3, wait=wait) == 6


@pytest.mark.parametrize("wait", list(Wait))
def test_a_peer_that_is_killed_ends_the_call(loop: EventLoop, service: Any, wait: Wait) -> None:
    client, process = service
    call = client.async_held(5)
    failures: list[BaseException] = []
    call.when_rejected(failures.append)
    client.async_log(1, "x")
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.1; kill -9 {process.pid}"])
    with pytest.raises(PeerDisconnected):
        client.held(1, wait=wait)
    killer.wait()
    loop.spin_until(lambda: not client.is_open, 5)
    assert client.died == 1
    assert [type(failure) for failure in failures] == [PeerDisconnected]
    with pytest.raises(PeerDisconnected):
        client.add(1, 1)
    client.async_log(1, "dropped")


def test_shutdown_by_a_callback_ends_the_call(service: Any) -> None:
    client, _process = service
    Timer.create_single_shot(10, client.shutdown).start()
    with pytest.raises(PeerDisconnected, match="shut down"):
        client.held(1)
    assert client.died == 1


def test_errors_reach_the_caller_and_only_what_they_may_tell(service: Any) -> None:
    client, _process = service
    with pytest.raises(RemoteError) as on_purpose:
        client.fail("the disk is full", True)
    assert on_purpose.value.text == "the disk is full"
    with pytest.raises(RemoteError) as by_accident:
        client.fail("a secret", False)
    assert by_accident.value.text == "ZeroDivisionError"
    with pytest.raises(UnknownMessage, match="not_handled"):
        client.not_handled()
    assert client.add(1, 1) == 2


def _changed(folder: Path, old: str, new: str) -> Path:
    text = INTERFACE.read_text()
    assert old in text
    path = folder / "Changed.ipc"
    path.write_text(text.replace(old, new))
    return path


def test_a_changed_parameter_type_is_a_schema_mismatch(
    loop: EventLoop, processes: Any, app: Any, tmp_path: Path
) -> None:
    interface = _changed(tmp_path, "log(i32 number, String text)", "log(u32 number, String text)")
    interface.write_text(interface.read_text().replace("add(i32 a, i32 b)", "add(i32 a, u32 b)"))
    path, _process = processes.clock_service(interface)
    client = app.connect(path)
    with pytest.raises(SchemaMismatch, match=r"ClockServer\.add"):
        client.add(1, 2)
    client.async_log(1, "never handled")
    assert client.logged() == []
    assert client.nothing() is None


def test_a_message_inserted_before_the_others_is_noticed_by_every_call(
    loop: EventLoop, processes: Any, app: Any, tmp_path: Path
) -> None:
    interface = _changed(
        tmp_path, "add(i32 a, i32 b)", "subtract(i32 a, i32 b) => (i32 difference)\n add(i32 a, i32 b)"
    )
    path, _process = processes.clock_service(interface)
    client = app.connect(path)
    for call in (lambda: client.add(1, 2), client.nothing, lambda: client.echo_string("x"), client.logged):
        with pytest.raises((SchemaMismatch, UnknownMessage)):
            call()
    client.async_log(1, "never handled")
    newer = ipcc.load(interface).ConnectionToServer.connect(path)
    assert newer.logged() == []


_PAINTER = """
import sys, ipcc
from corelib import EventLoop
from ipclib import take_over_accepted_client
painter = ipcc.load(sys.argv[1])
class Painter(painter.ConnectionFromClient):
    def paint(self, colour):
        assert isinstance(colour, painter.Colour), colour
        return colour.name
    def favourite(self):
        return list(painter.Colour)[-1]
loop = EventLoop()
take_over_accepted_client(Painter)
sys.exit(loop.exec())
"""


def _painter_interface(path: Path, *colours: str) -> Path:
    path.write_text(
        f"enum Colour {{ {', '.join(colours)} }}\n"
        "endpoint Painter { paint(Colour colour) => (String name)  favourite() => (Colour colour) }\n"
    )
    return path


def test_an_enumerator_that_one_side_does_not_know_is_a_schema_mismatch_and_nothing_is_misread(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways round: the caller's enum has more, or the service's. The wire has numbers, no names."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    interfaces = [
        _painter_interface(tmp_path / f"{'_'.join(colours)}.ipc", *colours)
        for colours in (("RED", "BLUE"), ("RED", "BLUE", "GREEN"), ("RED", "BLUE = 7"))
    ]
    for theirs in interfaces:
        for ours in interfaces:
            module = ipcc.load(ours)
            client = module.ConnectionToServer.spawn([sys.executable, "-c", _PAINTER, str(theirs)])
            if ours == theirs:
                assert client.paint(module.Colour.BLUE) == "BLUE"
                assert client.favourite() is list(module.Colour)[-1]
            else:
                with pytest.raises(SchemaMismatch, match=r"Painter\.paint"):
                    client.paint(module.Colour.BLUE)
                with pytest.raises(SchemaMismatch, match=r"Painter\.favourite"):
                    client.favourite()
            client.shutdown()


@pytest.mark.parametrize("size", [1 << 20, 40 << 20])
def test_large_byte_strings_with_fifty_other_clients(
    service: Any, app: Any, processes: Any, size: int
) -> None:
    client, _process = service
    path = str(processes.folder / "clock0")
    others = [app.connect(path) for _ in range(50)]
    answers = [0] * len(others)

    def ask(which: int) -> None:
        def answered(_sum: int) -> None:
            answers[which] += 1
            ask(which)

        others[which].async_add(which, which).when_resolved(answered).when_rejected(lambda _error: None)

    for which in range(len(others)):
        ask(which)
    data = os.urandom(1 << 20) * (size >> 20)
    assert client.echo_bytes(data) == data
    assert min(answers) >= 1
    for other in others:
        other.shutdown()


def _open_fds(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _fds_of_both(process: subprocess.Popen[str]) -> tuple[int, int]:
    gc.collect()
    return _open_fds(os.getpid()), _open_fds(process.pid)


def _memfd(content: bytes) -> File:
    fd = os.memfd_create("content")
    os.write(fd, content)
    return File(fd)


def test_files_arrive_in_order_and_none_is_left_over(service: Any) -> None:
    client, process = service
    assert client.take_files([_memfd(b"one")], False) == [b"one"]
    before = _fds_of_both(process)
    for number in range(1000):
        contents = [b"%d %d" % (number, place) for place in range(3)]
        files = [_memfd(content) for content in contents]
        if number % 3 == 1:
            with pytest.raises(RemoteError, match="as asked"):
                client.take_files(files, True)
        else:
            assert client.take_files(files, False) == contents
    with client.give_file(b"given") as file:
        assert os.pread(file.fileno(), 10, 0) == b"given"
    assert _fds_of_both(process) == before


def test_files_of_clients_that_vanish_are_closed(
    loop: EventLoop, service: Any, app: Any, processes: Any
) -> None:
    client, process = service
    client.nothing()
    before = _fds_of_both(process)
    for number in range(50):
        vanishing = app.connect(str(processes.folder / "clock0"))
        vanishing.async_take_files([_memfd(b"x"), _memfd(b"y")], bool(number % 2)).when_rejected(
            lambda _error: None
        )
        vanishing.shutdown()
    while _open_fds(process.pid) > before[1]:
        client.nothing()
    assert _fds_of_both(process) == before


def test_nobody_listens(loop: EventLoop, app: Any, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="patience"):
        app.connect(str(tmp_path / "nothing"))


def test_a_path_that_cannot_be_used_is_no_matter_of_patience(
    loop: EventLoop, app: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceUnavailable, match="Not a directory"):
        app.connect(str(tmp_path / "file" / "socket"), patience=1000)


def test_a_full_queue_of_clients_is_waited_out(loop: EventLoop, app: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as stack:
        listening.bind(path)
        listening.listen(1)
        with contextlib.suppress(BlockingIOError):
            while True:
                stack.callback(LocalSocket.connect(path).close)
        Timer.create_single_shot(30, lambda: stack.enter_context(listening.accept()[0])).start()
        app.connect(path).shutdown()


def test_patience_waits_for_the_service(loop: EventLoop, app: Any, processes: Any) -> None:
    waited: list[int] = []
    Timer.create_single_shot(50, lambda: waited.append(processes.clock_service() is not None)).start()
    client = app.connect(str(processes.folder / "clock0"), patience=30)
    assert (client.add(1, 2), waited) == (3, [True])


def _app_process(service_path: str, body: str) -> subprocess.Popen[str]:
    """A client in a process of its own: `body` finds it as `client`."""
    script = f"""
import sys
sys.path.insert(0, {str(INTERFACE.parent)!r})
import ipcc
from corelib import EventLoop
loop = EventLoop()
client = ipcc.load({str(INTERFACE)!r}).ConnectionToServer.connect({service_path!r})
{body}
"""
    environment = {**os.environ, "PYTHONPATH": str(INTERFACE.parent.parent.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.parametrize("wait", ["PUMP", "BLOCK"])
def test_ctrl_c_ends_a_call_and_leaves_the_connection_in_order(processes: Any, wait: str) -> None:
    path, _process = processes.clock_service()
    body = f"""
from ipclib import Wait
client.add(1, 1)
try:
    print("calling", flush=True)
    client.held(1, wait=Wait.{wait})
except KeyboardInterrupt:
    print("interrupted", client.add(2, 3))
client.async_release(1)
print(client.add(4, 5))
"""
    app = _app_process(path, body)
    assert app.stdout is not None
    assert app.stdout.readline() == "calling\n"
    while "State:\tS" not in Path(f"/proc/{app.pid}/status").read_text():
        pass
    app.send_signal(signal.SIGINT)
    output, _ = app.communicate(timeout=30)
    assert output == "interrupted 5\n9\n"


def test_an_orderly_exit_sends_what_was_posted(processes: Any, app: Any, loop: EventLoop) -> None:
    path, _process = processes.clock_service()
    client = app.connect(path)
    body = """
client.async_sleep(300)
for number in range(2000):
    client.async_log(number, "x" * 1000)
assert client._link.outbox
loop.close()
"""
    leaving = _app_process(path, body)
    leaving.communicate(timeout=30)
    assert leaving.returncode == 0
    while client.total_logged() < 2000:
        pass
