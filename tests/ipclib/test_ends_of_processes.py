"""How a client's process ends or is interrupted, and what becomes of its calls and posts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop

INTERFACE = Path(__file__).parent / "Clock.ipc"

INTERFACE = Path(__file__).parent / "Clock.ipc"


def _app_process(service_path: str, body: str) -> subprocess.Popen[str]:
    """A client in a process of its own: `body` finds it as `client`."""
    script = f"""
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


@pytest.mark.slow
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
from ipclib.connection.connection import is_busy
client.async_sleep(300)
for number in range(2000):
    client.async_log(number, "x" * 1000)
assert is_busy(client), "the socket is full"
loop.close()
"""
    leaving = _app_process(path, body)
    leaving.communicate(timeout=30)
    assert leaving.returncode == 0
    while client.total_logged() < 2000:
        pass
