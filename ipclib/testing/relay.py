"""Owns Relay, which passes the frames of a connection on between its two ends, and carries out faults.
Must not know what a fault makes of a frame, nor calls and handlers.
"""

from __future__ import annotations

import fcntl
import struct
from collections import deque
from collections.abc import Sequence

from corelib import DescriptorsTruncated, LocalSocket, Notifier, Timer
from corelib.turn import NotCopied
from ipclib.protocol.message import Kind
from ipclib.testing.fault import (
    Aim,
    Close,
    Fault,
    Hold,
    Pause,
    Send,
    SendBack,
    Step,
    StopReading,
    check_messages,
)
from ipclib.testing.frame import Cutter, Frame, Names, owned
from ipclib.values.file import Duplicate

_READ_SIZE = 64 * 1024
_MOST_FDS = 253  # SCM_MAX_FD of Linux.
_SIOCOUTQ = 0x5411  # Of <linux/sockios.h>: the bytes that the peer has not read.
_LOOK_AGAIN_MS = 1.0


class Relay(NotCopied):
    """Passes frames on between a client and its service, on the loop of the thread that made it.

    While a fault makes one direction wait, nothing more is read in it, as if the network were slow. The end
    of one side's stream is passed on after all that it sent before.
    """

    def __init__(
        self, client: LocalSocket, service: LocalSocket, faults: Sequence[Fault], names: Names
    ) -> None:
        """Take over the sockets that lead to the two ends.

        Raises:
            UsageError: a fault names a message that does not exist.
        """
        check_messages(faults, names.all())
        self._sockets = (client, service)
        to_client = Aim([fault for fault in faults if fault.to == "client"])
        to_service = Aim([fault for fault in faults if fault.to == "service"])
        self._to_client = _Lane(service, client, to_client, names, self)
        self._to_service = _Lane(client, service, to_service, names, self)
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether it passes nothing on any more: by close(), by a fault, or because both ends have closed."""
        return self._is_closed

    def close(self) -> None:
        """Close the connection of both ends; twice is fine."""
        if not self._is_closed:
            self._is_closed = True
            for lane in (self._to_client, self._to_service):
                lane.close()
            for socket in self._sockets:
                socket.close()

    def opposite(self, lane: _Lane) -> _Lane:
        """The lane of the other direction."""
        return self._to_client if lane is self._to_service else self._to_service

    def lane_has_ended(self) -> None:
        """Close when nothing can come from either side any more."""
        if all(lane.has_ended or not lane.reads for lane in (self._to_client, self._to_service)):
            self.close()


class _Lane:
    """One direction: from the socket of one end to that of the other."""

    def __init__(
        self, source: LocalSocket, target: LocalSocket, aim: Aim, names: Names, relay: Relay
    ) -> None:
        self._source = source
        self._target = target
        self._aim = aim
        self._names = names
        self._relay = relay
        self._cutter = Cutter()
        self._steps: deque[Step | _Unsent] = deque()
        self._held: list[Step] = []
        """Frames that go after the next one."""
        self.asked: dict[int, str] = {}
        """The names of the requests that this lane's frames may answer, by serial."""
        self.has_ended = False
        """True after the end of the source's stream was passed on."""
        self._is_ending = False
        self.reads = True
        """False after a fault that stops reading."""
        self._is_deaf = False
        """True if the target has closed: what comes is dropped."""
        self._readable = Notifier(source, Notifier.Type.READ, self._on_readable)
        self._writable = Notifier(target, Notifier.Type.WRITE, self._go_on)
        self._writable.set_enabled(False)
        self._timer = Timer.create_single_shot(0, self._go_on)

    def close(self) -> None:
        self._readable.close()
        self._writable.close()
        self._timer.stop()
        self._steps.clear()
        self._held.clear()
        self.has_ended = True

    def take(self, frame: Frame) -> None:
        """Pass on a frame that the other lane sends back."""
        self._steps.append(Send(frame))
        self._go_on()

    def _on_readable(self) -> None:
        try:
            received = self._source.receive_with_fds(_READ_SIZE, _MOST_FDS)
        except (ConnectionResetError, DescriptorsTruncated):
            received = (b"", [])
        if received is None:
            return
        data, fds = received
        files = [owned(fd) for fd in fds]
        if data:
            for frame in self._cutter.feed(data, files):
                self._add(frame)
        else:
            self._steps += [Send(frame) for frame in self._cutter.rest()]
            self._flush_held()
            self._is_ending = True
        self._go_on()

    def _add(self, frame: Frame) -> None:
        message = self._names.of(frame)
        name = "" if message is None else message.name
        if message is not None and message.kind is Kind.REQUEST and frame.serial:
            self._relay.opposite(self).asked[frame.serial] = message.name
        elif frame.is_error or (message is not None and message.kind is Kind.RESPONSE):
            name = self.asked.pop(frame.serial, name)
        if not frame.is_message and not frame.is_error:
            self._steps.append(Send(frame))
            return
        steps = self._aim.steps_for(frame, name)
        passed = [step for step in steps if not isinstance(step, Hold)]
        self._steps += passed
        if passed:
            self._flush_held()
        self._held += [step.send for step in steps if isinstance(step, Hold)]

    def _flush_held(self) -> None:
        self._steps += self._held
        self._held.clear()

    def _go_on(self) -> None:
        """Do the next steps, until one has to wait."""
        self._writable.set_enabled(False)
        while self._steps and not self._relay.is_closed and not self._timer.is_active:
            if not self._do(self._steps.popleft()):
                break
        if self._relay.is_closed:
            return
        if self._is_ending and not self._steps and not self._timer.is_active and self.reads:
            self._end()
        waits = bool(self._steps) or self._timer.is_active or self._is_ending
        self._readable.set_enabled(self.reads and not waits)

    def _do(self, step: Step | _Unsent) -> bool:
        """Do a step. False if it has to wait, and its rest is the next step."""
        match step:
            case Send(frame, most, at_once):
                return self._send(_Unsent(frame.packed()[:most], frame.files, at_once))
            case _Unsent():
                return self._send(step)
            case Pause(seconds):
                self._timer.start(seconds * 1000)
            case SendBack(frame):
                self._relay.opposite(self).take(frame)
            case StopReading():
                self.reads = False
                self._steps.clear()
            case Close():
                self._relay.close()
            case Hold():
                raise AssertionError("a frame that is held is no step yet")
        return True

    def _send(self, unsent: _Unsent) -> bool:
        if self._is_deaf or not unsent.data:
            return True
        if unsent.at_once is not None and self._unread():
            self._steps.appendleft(unsent)
            self._timer.start(_LOOK_AGAIN_MS)
            return False
        try:
            sent = self._target.send_parts(
                [unsent.data[: unsent.at_once]], [file.fileno() for file in unsent.files]
            )
        except (BrokenPipeError, ConnectionResetError):
            self._is_deaf = True
            return True
        left = unsent.data[sent:]
        if left:
            self._steps.appendleft(_Unsent(left, () if sent else unsent.files, unsent.at_once))
        if not sent:
            self._writable.set_enabled(True)
        return bool(sent)

    def _unread(self) -> int:
        """The bytes that the target has not read, with what the kernel needs for them."""
        answer = fcntl.ioctl(self._target.fileno(), _SIOCOUTQ, struct.pack("i", 0))
        return int(struct.unpack("i", answer)[0])

    def _end(self) -> None:
        if not self.has_ended:
            self.has_ended = True
            if not self._is_deaf:
                self._target.shutdown_write()
            self._relay.lane_has_ended()


class _Unsent:
    """The rest of a frame that the socket has not taken."""

    __slots__ = ("at_once", "data", "files")

    def __init__(self, data: bytes, files: Sequence[Duplicate], at_once: int | None) -> None:
        self.data = data
        self.files = files
        self.at_once = at_once
