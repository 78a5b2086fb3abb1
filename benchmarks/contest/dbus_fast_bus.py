"""Owns the contestant dbus-fast: both ends are clients of a private dbus-daemon, which the server starts.
Must not know the other contestants. It has no one-way messages: version 5.2.0 closes a socket that is
full."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from benchmarks.contest.contestants import Ready
from benchmarks.contest.works import AwaitedCalls, WrongAnswer

_NAME = "org.example.Bench"
_PATH = "/org/example/Bench"
_CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_message_size">128000000</limit>
</busconfig>
"""


def _answer(message: Message) -> Message | None:
    if message.message_type is not MessageType.METHOD_CALL or message.interface != _NAME:
        return None
    if message.member == "add":
        return Message.new_method_return(message, "i", [message.body[0] + message.body[1]])
    return Message.new_method_return(message, message.signature, message.body)


def serve(address: str, ready: Ready) -> None:
    configuration = Path(address).with_name("bus.conf")
    configuration.write_text(_CONFIGURATION.format(address=address))
    daemon = subprocess.Popen(
        ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nosyslog", "--print-address"],
        stdout=subprocess.PIPE,
    )
    assert daemon.stdout is not None
    daemon.stdout.readline()  # It prints its address when it listens.
    asyncio.run(_serve(address, ready, daemon.pid))


async def _serve(address: str, ready: Ready, daemon: int) -> None:
    bus = await MessageBus(f"unix:path={address}").connect()
    bus.add_message_handler(_answer)
    await bus.request_name(_NAME)
    ready(daemon)
    await asyncio.get_running_loop().create_future()


class Client(AwaitedCalls):
    def __init__(self, address: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._bus = self._loop.run_until_complete(_connected(address))
        super().__init__(
            self._loop.run_until_complete, self._call_add, self._call_echo, self._call_echo_bytes
        )

    async def _call_add(self, a: int, b: int) -> int:
        answer: int = await self._call("add", "ii", a, b)
        return answer

    async def _call_echo(self, text: str) -> str:
        answer: str = await self._call("echo", "s", text)
        return answer

    async def _call_echo_bytes(self, data: bytes) -> bytes:
        answer: bytes = await self._call("echo_bytes", "ay", data)
        return answer

    async def _call(self, member: str, signature: str, *values: object) -> Any:
        message = Message(
            destination=_NAME,
            path=_PATH,
            interface=_NAME,
            member=member,
            signature=signature,
            body=list(values),
        )
        answer = await self._bus.call(message)
        if answer is None or answer.message_type is MessageType.ERROR:
            raise WrongAnswer(f"{member}: {answer and answer.body}")
        return answer.body[0]


async def _connected(address: str) -> MessageBus:
    return await MessageBus(f"unix:path={address}").connect()
