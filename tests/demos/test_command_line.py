"""Owns the tests of the commands of `python -m demos.config`, as processes: their output and exit codes.
Must not know the code of the demo."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

Outcome = tuple[int, str, str]
Run = Callable[..., Outcome]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demos.config", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> Outcome:
    output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs a command against the service of the next fixture."""

    def run(command: str, *arguments: str) -> Outcome:
        return outcome(start(command, "--socket", str(tmp_path / "config"), *arguments))

    return run


@pytest.fixture
def service(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    socket, directory = str(tmp_path / "config"), str(tmp_path / "settings")
    service = start("serve", "--socket", socket, "--directory", directory)
    assert first_line(service) == f"listening at {socket}, settings in {directory}\n"
    yield service
    service.kill()
    service.communicate()


@pytest.mark.slow
@pytest.mark.usefixtures("service")
def test_a_setting_is_set_read_listed_and_removed(run: Run) -> None:
    assert run("set", "Editor", "Window", "Title", "notes\nof today") == (0, "", "")
    assert run("set", "Editor", "Window", "X", "-5", "--type", "i32") == (0, "", "")
    assert run("get", "Editor", "Window", "Title") == (0, "notes\nof today\n", "")
    assert run("get", "Editor", "Window", "X") == (0, "-5\n", "")
    assert run("list") == (0, "Editor\n", "")
    assert run("list", "Editor") == (0, "Window\n", "")
    assert run("list", "Editor", "Window") == (0, "Title\nX\n", "")
    assert run("remove", "Editor", "Window", "X") == (0, "", "")
    assert run("get", "Editor", "Window", "X") == (
        1,
        "",
        "config: Editor has no setting 'X' in group 'Window'\n",
    )
    assert run("remove", "Editor", "Window") == (0, "", "")
    assert run("list", "Editor") == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("type_", "value"),
    [("i32", "2147483648"), ("u32", "-1"), ("i32", "many"), ("bool", "perhaps")],
)
def test_a_value_of_another_type_is_not_sent(run: Run, type_: str, value: str) -> None:
    code, output, errors = run("set", "Editor", "Window", "X", value, "--type", type_)
    assert (code, output, errors) == (2, "", f"config: {value!r} is not a value of type {type_}\n")


@pytest.mark.slow
@pytest.mark.usefixtures("service")
def test_the_service_s_reason_for_a_refusal_is_printed(run: Run) -> None:
    code, output, errors = run("set", "../escape", "Window", "X", "1")
    assert (code, output) == (1, "")
    assert errors.startswith("config: domain '../escape': a name is printable text")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("get", "a", "b", "c"),
        pytest.param(("list",), marks=pytest.mark.slow),
        pytest.param(("watch", "a"), marks=pytest.mark.slow),
    ],
)
def test_a_command_without_a_service_prints_the_remedy(run: Run, command: tuple[str, ...]) -> None:
    code, output, errors = run(*command)
    assert (code, output) == (1, "")
    assert errors.startswith("config: no settings service is running")
    assert errors.endswith("start one with `python -m demos.config serve`\n")
    assert errors.count("\n") == 1


@pytest.mark.slow
def test_watch_prints_changes_until_the_service_ends(
    run: Run, service: subprocess.Popen[str], tmp_path: Path
) -> None:
    watcher = start("watch", "--socket", str(tmp_path / "config"), "Editor", "Shell")
    assert first_line(watcher) == "watching Editor, Shell\n"
    run("set", "Editor", "Window", "Title", "two\nlines")
    run("set", "Shell", "Prompt", "Colour", "TRUE", "--type", "bool")
    run("set", "Other", "Group", "Key", "unheard")
    run("remove", "Editor", "Window", "Title")
    run("remove", "Editor", "Window")
    service.terminate()
    assert outcome(service) == (0, "stopped\n", "")
    assert outcome(watcher) == (
        1,
        "Editor: [Window] Title is now two\\nlines\n"
        "Shell: [Prompt] Colour is now true\n"
        "Editor: [Window] Title was removed\n"
        "Editor: [Window] was removed\n",
        "config: the settings service has ended\n",
    )


@pytest.mark.slow
@pytest.mark.usefixtures("service")
def test_watch_ends_when_its_output_is_closed(run: Run, tmp_path: Path) -> None:
    watcher = start("watch", "--socket", str(tmp_path / "config"), "Editor")
    assert first_line(watcher) == "watching Editor\n"
    assert watcher.stdout is not None
    watcher.stdout.close()
    run("set", "Editor", "Window", "Title", "unread")
    assert watcher.wait(timeout=30) == -signal.SIGPIPE
    assert watcher.stderr is not None
    assert watcher.stderr.read() == ""
    watcher.stderr.close()


def test_ctrl_c_ends_watching_and_serving(service: subprocess.Popen[str], tmp_path: Path) -> None:
    watcher = start("watch", "--socket", str(tmp_path / "config"), "Editor")
    assert first_line(watcher) == "watching Editor\n"
    watcher.send_signal(signal.SIGINT)
    assert outcome(watcher) == (128 + signal.SIGINT, "", "")
    service.send_signal(signal.SIGINT)
    assert outcome(service) == (0, "stopped\n", "")


@pytest.mark.slow
def test_a_second_service_leaves_the_first_alone(
    run: Run, service: subprocess.Popen[str], tmp_path: Path
) -> None:
    code, output, errors = run("serve", "--directory", str(tmp_path / "elsewhere"))
    assert (code, output) == (1, "")
    assert str(tmp_path / "config") in errors
    assert "Traceback" not in errors
    code, output, errors = run("serve", "--directory", str(tmp_path / "settings"))
    assert (code, output) == (1, "")
    assert "in use by another settings service" in errors
    assert run("list") == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [(), ("fly",), ("get", "a"), ("set", "a", "b", "c", "1", "--type", "i8")]
)
def test_a_wrong_command_line_shows_the_usage(arguments: tuple[str, ...]) -> None:
    code, _, errors = outcome(start(*arguments))
    assert code == 2
    assert "usage: python -m demos.config" in errors


@pytest.mark.slow
def test_the_tour_shows_what_each_process_sees() -> None:
    tour = start("tour")
    output, errors = tour.communicate(timeout=10)
    assert (tour.returncode, errors) == (0, "")
    lines = output.splitlines()
    assert "watcher | Editor: [Window] Width is now 800" in lines
    assert any(line.startswith(" editor | refused: domain 'Passwords'") for line in lines)
    assert lines[-8:] == [
        "[Window]",
        "Width=800",
        "",
        "[View]",
        "LineNumbers=true",
        "",
        "[Recent]",
        r"File=notes\nof today.txt",
    ]


@pytest.mark.slow
def test_the_tour_ends_when_nobody_reads_it_any_more() -> None:
    process = start("tour")
    assert first_line(process).startswith("service | listening")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(30) == 128 + signal.SIGPIPE
