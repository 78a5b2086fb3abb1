"""Owns the table of the mistakes that users of `ipcc call` make: each has a clear message and an exit code.
Must not know values: test_values.py has what is wrong with them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ipctools.running import Done, command, environment, ipcc, running

HERE = Path(__file__).parent
TEXTS = ["b=x", "c=x", "d=x", "e=1", "f=null"]

# Each: the arguments of `ipcc call`, the exit code, and what standard error says after "ipcc: error: ".
# {f} is the folder with the sockets of the fixtures below.
MISTAKES = {
    "no such socket": (
        ["{f}/none", "texts"],
        3,
        "there is no socket at {f}/none: start the service, or see 'ipcc list'",
    ),
    "no such folder": (
        ["{f}/service/below", "texts"],
        3,
        "there is no socket at {f}/service/below: start the service, or see 'ipcc list'",
    ),
    "stale socket": (
        ["{f}/stale", "texts"],
        3,
        "nobody listens at {f}/stale, which an ended service has left there: start the service",
    ),
    "not a socket": (
        ["{f}/file", "texts"],
        5,
        "{f}/file is not a socket: give the path of a service's socket",
    ),
    "socket for datagrams": (
        ["{f}/datagrams", "texts"],
        5,
        "{f}/datagrams is a socket of another type than a service's",
    ),
    "path too long": (["{f}/" + "x" * 120, "texts"], 2, "a socket's path has 1 to 107 bytes, this has"),
    "silent listener": (
        ["{f}/silent", "--timeout", "0.2", "texts"],
        7,
        "{f}/silent did not describe itself within 0.2 s: it hangs, or is no service of this library",
    ),
    "listener of another protocol": (
        ["{f}/garbage", "texts"],
        5,
        "{f}/garbage is no service of this library, or refuses this user: it does not speak its language",
    ),
    "listener that closes at once": (
        ["{f}/closing", "texts"],
        5,
        "{f}/closing is no service of this library, or refuses this user: it closed the connection at once",
    ),
    "no message": (["{f}/service"], 2, "no message: name one, or print what the service sends with --watch"),
    "wrong endpoint": (
        ["{f}/service", "EverythingServr.texts"],
        2,
        "the service has no endpoint 'EverythingServr': did you mean 'EverythingServer'?",
    ),
    "endpoint of the client": (
        ["{f}/service", "EverythingClient.told"],
        2,
        "endpoint 'EverythingClient' is the client's, and cannot be called",
    ),
    "endpoint of the service in an answer": (
        ["{f}/service", "--answer", "EverythingServer.texts count=1", "--watch"],
        2,
        "endpoint 'EverythingServer' is called, and cannot be answered",
    ),
    "service that breaks a rule": (
        ["{f}/service", "texts", "a=garbage", *TEXTS],
        5,
        "the service at {f}/service broke a rule: a frame of 4294967295 bytes; allowed are 8 to",
    ),
    "wrong message": (
        ["{f}/service", "text"],
        2,
        "EverythingServer has no message 'text': did you mean 'texts'?",
    ),
    "value without its name": (
        ["{f}/service", "texts", "-", "a=x"],
        2,
        "EverythingServer has no message '-' (arguments are written NAME=VALUE): there are numbers, texts,",
    ),
    "argument before any message": (
        ["{f}/service", "a=x", "texts"],
        2,
        "'a=x' stands before any message: write MESSAGE NAME=VALUE...",
    ),
    "ambiguous message": (
        ["{f}/service", "--ipc", "{f}/Two.ipc", "ping"],
        2,
        "message 'ping' is ambiguous: write 'OneServer.ping' or 'TwoServer.ping'",
    ),
    "messages of two services": (
        ["{f}/service", "--ipc", "{f}/Two.ipc", "OneServer.ping", "TwoServer.ping"],
        2,
        "a connection is to one service, and these messages are of several (OneServer, TwoServer)",
    ),
    "missing argument": (
        ["{f}/service", "texts", *TEXTS[:4]],
        2,
        "texts also needs a (String), f (Empty): write NAME=VALUE for each",
    ),
    "extra argument": (
        ["{f}/service", "texts", "a=x", *TEXTS, "g=1"],
        2,
        "texts has no parameter 'g': there are a, b, c, d, e, f",
    ),
    "argument given twice": (["{f}/service", "texts", "a=x", "a=y", *TEXTS], 2, "texts: 'a' is given twice"),
    "misspelt argument": (
        ["{f}/service", "places", "aa=x"],
        2,
        "places has no parameter 'aa': did you mean 'a'?",
    ),
    "value that does not fit": (
        ["{f}/service", "texts", "a=x", *TEXTS[:4], "f=1"],
        2,
        "texts: f: 1 where null is needed",
    ),
    "part of a value that does not fit": (
        ["{f}/service", "vectors", "a=[1,true]", "b=[]", "c=[1,2,3]", 'd=["",""]', "e=[]", "f=[]"],
        2,
        "vectors: a[1]: a bool where a whole number (i32) is needed",
    ),
    "no such file behind @": (
        ["{f}/service", "texts", "a=x", "b=x", "c=@{f}/none", "d=x", "e=1", "f=null"],
        2,
        "texts: c: cannot read '{f}/none': No such file or directory",
    ),
    "wrong answer": (
        ["{f}/service", "--answer", "told text=x", "texts", "a=x", *TEXTS],
        2,
        "EverythingClient.told is one-way: it cannot be answered",
    ),
    "no such interface file": (["{f}/service", "--ipc", "{f}/None.ipc", "texts"], 1, ""),
    "another version of the interface": (
        ["{f}/service", "--ipc", "{f}/Other.ipc", "nothing"],
        8,
        "EverythingServer.nothing: the service has another version of this message: leave out --ipc",
    ),
    "message that the service does not know": (
        ["{f}/service", "--ipc", "{f}/Other.ipc", "m99"],
        8,
        "EverythingServer.m99: unknown message: message 202 is not known here",
    ),
    "error of the handler": (
        ["{f}/service", "texts", "a=refuse", *TEXTS],
        8,
        "EverythingServer.texts: no such \\u001b[31mtext\n",
    ),
    "mistake of the handler": (
        ["{f}/service", "texts", "a=fail", *TEXTS],
        8,
        "EverythingServer.texts: ValueError\n",
    ),
    "timeout": (
        ["{f}/service", "--timeout", "0.2", "texts", "a=hang", *TEXTS],
        7,
        "EverythingServer.texts: no answer within 0.2 s (--timeout SECONDS)\n",
    ),
    "service that closes the connection": (
        ["{f}/service", "texts", "a=disconnect", *TEXTS],
        6,
        "EverythingServer.texts: the service at {f}/service has closed the connection\n",
    ),
}


@contextmanager
def _listening(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Listen at a path, and do this with each client."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def accept() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                serve(client)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _send_garbage(client: socket.socket) -> None:
    client.sendall(b"220 mail.example.com ESMTP\r\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("mistakes")
    for name, kind in (("stale", socket.SOCK_STREAM), ("datagrams", socket.SOCK_DGRAM)):
        with socket.socket(socket.AF_UNIX, kind) as unused:
            unused.bind(str(folder / name))
            if name == "datagrams":
                unused.detach()  # Else the socket would refuse connections, as a stale one does.
    (folder / "file").write_text("no socket")
    (folder / "Two.ipc").write_text(
        "endpoint OneServer { ping() => () }\nendpoint TwoServer { ping() => () }\n"
    )
    others = "\n".join(f"m{number}() => ()" for number in range(100))
    server = f"endpoint EverythingServer {{ numbers() =|\nnothing() => () {others} }}\n"
    client = "endpoint EverythingClient { told(String text) =| given(IPC::File file) =| }\n"
    (folder / "Other.ipc").write_text(server + client)
    kept: list[socket.socket] = []
    with (
        running([HERE / "everything_service.py", folder / "service"]),
        _listening(folder / "silent", kept.append),
        _listening(folder / "garbage", _send_garbage),
        _listening(folder / "closing", socket.socket.close),
    ):
        yield folder
    for client in kept:
        client.close()


def _in(folder: Path, text: str) -> str:
    return text.replace("{f}", str(folder))


def _in_tiers() -> list[object]:
    """The mistakes as parameters: one in the quick tier."""
    quick = {"value that does not fit"}
    return [pytest.param(name, marks=[] if name in quick else [pytest.mark.slow]) for name in MISTAKES]


@pytest.mark.parametrize("mistake", _in_tiers())
def test_a_mistake_has_a_message_and_an_exit_code(folder: Path, mistake: str) -> None:
    arguments, code, text = MISTAKES[mistake]
    done = ipcc("call", *(_in(folder, argument) for argument in arguments))
    assert (done.code, done.output) == (code, ""), done
    prefix = "" if code == 1 else "ipcc: error: "
    expected = text or "{f}/None.ipc: error: cannot read: No such file or directory\n"
    assert done.errors.startswith(prefix + _in(folder, expected))
    assert done.errors.count("\n") == 1


def test_each_mistake_has_a_message_of_its_own() -> None:
    texts = [re.sub(r"\{f\}/\w+", "PATH", text) for name, (_, _, text) in MISTAKES.items()]
    assert len(set(texts)) >= len(texts) - 1  # A folder and a socket are missing in the same words.


@pytest.mark.slow
def test_a_socket_that_is_not_open_to_the_user_is_an_error(folder: Path, tmp_path: Path) -> None:
    with running([HERE / "everything_service.py", tmp_path / "private"]):
        os.chmod(tmp_path / "private", 0)
        words = command("call", tmp_path / "private", "texts")
        if os.geteuid() == 0:
            if shutil.which("setpriv") is None:
                pytest.skip("root may connect to every socket, and without setpriv stays root")
            words = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *words]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    text = f"no permission to connect to {tmp_path}/private: be the user who runs the service"
    assert (done.returncode, done.stdout, done.stderr) == (4, "", f"ipcc: error: {text}\n")


@pytest.mark.slow
def test_a_folder_that_others_may_write_to_is_an_error(tmp_path: Path) -> None:
    with running([HERE / "everything_service.py", tmp_path / "service"]):
        tmp_path.chmod(0o777)
        done = ipcc("call", tmp_path / "service", "texts")
    assert (done.code, done.output) == (4, "")
    text = f"the way to {tmp_path}/service is not trusted: others may write to {tmp_path}"
    assert done.errors.startswith(f"ipcc: error: {text}")


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--watch",)], ids=["call", "watch"])
def test_a_service_that_dies_is_an_error(tmp_path: Path, more: tuple[str, ...]) -> None:
    path = tmp_path / "service"
    with running([HERE / "everything_service.py", path]):
        done = ipcc("call", path, "texts", "a=die", *TEXTS, *more)
    text = f"EverythingServer.texts: the service at {path} has closed the connection"
    assert done == Done(6, "", f"ipcc: error: {text}\n")


@pytest.mark.slow
def test_a_service_that_ends_while_it_is_watched_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "service"
    with running([HERE / "everything_service.py", path]) as service:
        watching = subprocess.Popen(
            command("call", path, "--watch", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert watching.stdout is not None
        greeting = watching.stdout.readline()
        service.kill()
        _, errors = watching.communicate(timeout=60)
    assert greeting == (
        '{"endpoint": "EverythingClient", "message": "told", "values": {"text": "welcome"}}\n'
    )
    expected = f"ipcc: error: the service at {path} has closed the connection\n"
    assert (watching.returncode, errors) == (6, expected)


@pytest.mark.slow
@pytest.mark.parametrize("words", [["texts", "a=hang", *TEXTS], ["texts", "a=x", *TEXTS, "--watch"]])
def test_ctrl_c_ends_the_command_without_a_word(tmp_path: Path, words: list[str]) -> None:
    with running([HERE / "everything_service.py", tmp_path / "service"]) as service:
        calling = subprocess.Popen(
            command("call", tmp_path / "service", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert service.stdout is not None
        assert service.stdout.readline().startswith("texts")
        calling.send_signal(signal.SIGINT)
        _, errors = calling.communicate(timeout=60)
    assert (calling.returncode, errors) == (130, "")


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--json",), ("--watch",)], ids=["plain", "json", "watch"])
def test_a_closed_output_ends_the_command_without_a_word(folder: Path, more: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command("call", folder / "service", *more, "texts", "a=x", *TEXTS),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        env=environment(),
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.slow
def test_nothing_is_called_if_a_later_call_is_wrong(tmp_path: Path) -> None:
    with running([HERE / "everything_service.py", tmp_path / "service"]) as service:
        done = ipcc("call", tmp_path / "service", "texts", "a=x", *TEXTS, "texts", "a=y")
        assert (done.code, done.output) == (2, "")
        assert ipcc("call", tmp_path / "service", "texts", "a=z", *TEXTS) == Done(0, "count = 1\n", "")
        assert service.stdout is not None
        assert service.stdout.readline() == "texts z\n"
