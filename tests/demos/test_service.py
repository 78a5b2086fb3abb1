"""Owns the tests of the settings service, a real process, with clients in this one.
Must not know how settings are stored, except where a test reads the file."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corelib import EventLoop, Timer
from demos.config.client import Config
from demos.config.ini import Document
from ipclib import PeerDisconnected, RemoteError

CHECKOUT = Path(__file__).parents[2]

Notification = tuple[object, ...]
Connect = Callable[..., "Listener"]


class Listener(Config):
    """A client that records its notifications."""

    def __init__(self, *arguments: object, **keywords: object) -> None:
        super().__init__(*arguments, **keywords)  # type: ignore[arg-type]
        self.notifications: list[Notification] = []

    def value_did_change(self, domain: str, group: str, key: str, value: str | int | bool) -> None:
        self.notifications.append((domain, group, key, value))

    def key_was_removed(self, domain: str, group: str, key: str) -> None:
        self.notifications.append(("removed", domain, group, key))

    def group_was_removed(self, domain: str, group: str) -> None:
        self.notifications.append(("removed", domain, group))

    def group_was_added(self, domain: str, group: str) -> None:
        self.notifications.append(("added", domain, group))


class Service:
    """The settings service as a process that a test may kill and start again."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "config")
        self.directory = folder / "settings"
        self.start()

    def start(self) -> None:
        command = ["serve", "--socket", self.socket, "--directory", str(self.directory)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demos.config", *command],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first.startswith("listening at"), first + self.process.stdout.read()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def file(self, domain: str) -> Path:
        return self.directory / f"{domain}.ini"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    service.kill()


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    with EventLoop() as loop:
        yield loop


@pytest.fixture
def connect(service: Service, loop: EventLoop) -> Iterator[Connect]:
    """Connect a client that pledges some domains and monitors them."""
    clients: list[Listener] = []

    def connect(*domains: str, monitors: bool = False) -> Listener:
        client = Listener.connect(service.socket)
        clients.append(client)
        client.pledge_domains(list(domains))
        for domain in domains if monitors else ():
            client.monitor_domain(domain)
        return client

    yield connect
    for client in clients:
        client.shutdown()


@contextmanager
def refused(*words: str) -> Iterator[None]:
    with pytest.raises(RemoteError) as refusal:
        yield
    for word in words:
        assert word in refusal.value.text


def test_each_type_reads_back(connect: Connect) -> None:
    app = connect("App")
    app.write_string("App", "G", "text", " two\nlines ")
    app.write_i32("App", "G", "signed", -(2**31))
    app.write_u32("App", "G", "unsigned", 2**32 - 1)
    app.write_bool("App", "G", "truth", True)
    assert app.read_string("App", "G", "text") == " two\nlines "
    assert app.read_i32("App", "G", "signed") == -(2**31)
    assert app.read_u32("App", "G", "unsigned") == 2**32 - 1
    assert app.read_bool("App", "G", "truth") is True
    assert app.list_domains() == ["App"]
    assert app.list_config_groups("App") == ["G"]
    assert app.list_config_keys("App", "G") == ["text", "signed", "unsigned", "truth"]


@pytest.mark.slow
def test_a_setting_that_is_missing_or_of_another_type_reads_as_the_fallback(connect: Connect) -> None:
    app = connect("App")
    app.write_string("App", "G", "text", "hello")
    app.write_i32("App", "G", "negative", -1)
    assert app.read_string("App", "G", "nothing", "fallback") == "fallback"
    assert app.read_i32("App", "G", "text", 5) == 5
    assert app.read_u32("App", "G", "negative", 6) == 6
    assert app.read_bool("App", "G", "text", True) is True
    assert app.read_string_value("App", "G", "nothing") is None


@pytest.mark.slow
def test_a_removed_key_or_group_is_gone(connect: Connect) -> None:
    app = connect("App")
    app.write_i32("App", "G", "a", 1)
    app.write_i32("App", "G", "b", 2)
    app.remove_key("App", "G", "a")
    assert app.list_config_keys("App", "G") == ["b"]
    app.remove_group("App", "G")
    assert app.list_config_groups("App") == []
    app.remove_group("App", "G")


TOUCHES: dict[str, Callable[[Config], object]] = {
    "monitor": lambda app: app.monitor_domain("Secret"),
    "groups": lambda app: app.list_config_groups("Secret"),
    "keys": lambda app: app.list_config_keys("Secret", "G"),
    "read_string": lambda app: app.read_string("Secret", "G", "k"),
    "read_i32": lambda app: app.read_i32("Secret", "G", "k"),
    "read_u32": lambda app: app.read_u32("Secret", "G", "k"),
    "read_bool": lambda app: app.read_bool("Secret", "G", "k"),
    "write_string": lambda app: app.write_string("Secret", "G", "k", "v"),
    "write_i32": lambda app: app.write_i32("Secret", "G", "k", 1),
    "write_u32": lambda app: app.write_u32("Secret", "G", "k", 1),
    "write_bool": lambda app: app.write_bool("Secret", "G", "k", True),
    "remove_key": lambda app: app.remove_key("Secret", "G", "k"),
    "remove_group": lambda app: app.remove_group("Secret", "G"),
    "add_group": lambda app: app.add_group("Secret", "H"),
}


def test_a_domain_that_was_not_pledged_is_refused(connect: Connect, service: Service) -> None:
    connect("Secret").write_string("Secret", "G", "k", "original")
    app = connect("App", "Other")
    for touch in TOUCHES.values():
        with refused("'Secret'", "pledged App, Other"):
            touch(app)
    assert service.file("Secret").read_text() == "[G]\nk=original\n"
    app.write_i32("App", "G", "k", 1)


@pytest.mark.slow
def test_without_a_pledge_everything_is_refused(service: Service, loop: EventLoop) -> None:
    app = Config.connect(service.socket)
    for touch in TOUCHES.values():
        with refused("'Secret'", "call pledge_domains first"):
            touch(app)
    assert not service.file("Secret").exists()
    app.shutdown()


@pytest.mark.slow
def test_domains_are_pledged_once(connect: Connect) -> None:
    app = connect("App")
    with refused("pledged once"):
        app.pledge_domains(["App", "Secret"])
    with refused("'Secret'"):
        app.read_string("Secret", "G", "k")


@pytest.mark.slow
def test_names_that_cannot_be_stored_are_refused_with_a_reason(connect: Connect) -> None:
    app = connect("App")
    with refused("key 'a=b'"):
        app.write_string("App", "G", "a=b", "v")
    with refused("group 'two\\nlines'"):
        app.add_group("App", "two\nlines")
    with refused("domain '../escape'"):
        connect("../escape")
    assert app.list_config_groups("App") == []


@pytest.mark.slow
def test_two_watchers_see_every_change_once_and_in_order(connect: Connect, loop: EventLoop) -> None:
    watchers = [connect("App", monitors=True), connect("App", "Other", monitors=True)]
    bystander = connect("App")
    writer = connect("App", "Other", monitors=True)

    for number in range(100):
        writer.write_i32("App", "G", f"key{number % 7}", number)
    writer.write_string("App", "G", "s", "text")
    writer.write_u32("App", "G", "u", 2**32 - 1)
    writer.write_bool("App", "G", "b", False)
    writer.remove_key("App", "G", "s")
    writer.add_group("App", "H")
    writer.remove_group("App", "H")
    writer.write_i32("Other", "G", "k", 1)

    changes: list[Notification] = [("App", "G", f"key{number % 7}", number) for number in range(100)]
    changes += [("App", "G", "s", "text"), ("App", "G", "u", 2**32 - 1), ("App", "G", "b", False)]
    changes += [("removed", "App", "G", "s"), ("added", "App", "H"), ("removed", "App", "H")]
    # An answer comes after all earlier posts, so each client has all its notifications now.
    for client in (*watchers, bystander, writer):
        client.list_domains()
    assert watchers[0].notifications == changes
    assert watchers[1].notifications == [*changes, ("Other", "G", "k", 1)]
    assert bystander.notifications == []
    assert writer.notifications == []


@pytest.mark.slow
def test_a_write_that_changes_nothing_notifies_nobody(connect: Connect) -> None:
    watcher, writer = connect("App", monitors=True), connect("App")
    for _ in range(2):
        writer.write_i32("App", "G", "k", 1)
    writer.remove_key("App", "G", "nothing")
    writer.remove_group("App", "nothing")
    writer.add_group("App", "G")
    watcher.list_domains()
    assert watcher.notifications == [("App", "G", "k", 1)]


@pytest.mark.slow
def test_a_watcher_that_left_does_not_disturb_others(connect: Connect) -> None:
    leaving, staying, writer = connect("App", monitors=True), connect("App", monitors=True), connect("App")
    leaving.shutdown()
    writer.write_i32("App", "G", "k", 1)
    staying.list_domains()
    assert staying.notifications == [("App", "G", "k", 1)]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_killed_service_loses_no_acknowledged_write(service: Service, loop: EventLoop) -> None:
    """1,000 writes in ten rounds; in each the service is killed while it works at a burst of them."""
    acknowledged: set[int] = set()

    def on_disk() -> set[int]:
        return set(map(int, re.findall(r"^key\d+=(\d+)$", service.file("App").read_text(), re.MULTILINE)))

    def write(app: Config, number: int) -> None:
        app.write_i32("App", "G", f"key{number}", number)
        acknowledged.add(number)

    def write_async(app: Config, number: int) -> None:
        written = app.async_write_i32_value("App", "G", f"key{number}", number)
        written.when_resolved(lambda _: acknowledged.add(number)).when_rejected(lambda _: None)

    def kill_when_on_disk(app: Config, number: int) -> None:
        def look() -> None:
            if number in on_disk():
                service.process.kill()

        timer = Timer.create_repeating(1, look)
        timer.start()
        assert loop.spin_until(lambda: not app.is_open, timeout=30)
        timer.stop()
        service.kill()

    for start in range(0, 1000, 100):
        app = Config.connect(service.socket)
        app.pledge_domains(["App"])
        for number in range(start, start + 50):
            write(app, number)
        for number in range(start + 50, start + 100):
            write_async(app, number)
        kill_when_on_disk(app, start + 60)
        assert acknowledged - on_disk() == set()
        service.start()
    assert len(acknowledged) >= 500


@pytest.mark.slow
def test_sigterm_ends_the_service_tidily(service: Service, connect: Connect) -> None:
    app = connect("App")
    app.write_i32("App", "G", "k", 1)
    service.process.terminate()
    output, _ = service.process.communicate(timeout=30)
    assert (service.process.returncode, output) == (0, "stopped\n")
    assert not Path(service.socket).exists()
    with pytest.raises(PeerDisconnected):
        app.list_domains()


@pytest.mark.slow
def test_many_clients_write_the_same_domain(connect: Connect, service: Service) -> None:
    apps = [connect("App") for _ in range(10)]
    for number, app in itertools.product(range(10), apps):
        app.write_i32("App", "G", f"key{apps.index(app)}", number)
    settings = Document(service.file("App").read_text())
    assert [settings.get("G", f"key{n}") for n in range(10)] == ["9"] * 10


_LONG = "x" * 100_000


@pytest.mark.parametrize(
    ("domain", "group", "key"),
    [("No", "g", "k"), (_LONG, "g", "k"), ("d" * 200, _LONG + "\n", "k"), ("d" * 200, "g", _LONG + "=")],
)
def test_a_refusal_is_short_whatever_the_client_names(
    connect: Connect, domain: str, group: str, key: str
) -> None:
    client = connect(*(f"{number}{'d' * 199}" for number in range(1000)), "d" * 200)
    with pytest.raises(RemoteError) as caught:
        client.write_string(domain, group, key, "value")
    assert len(str(caught.value)) < 2000
