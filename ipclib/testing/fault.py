"""Owns the faults that a test can order: their names, where each strikes, and what it makes of a frame.
Must not know sockets or loops: the steps that it returns are carried out by a relay.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Literal, TypeAlias, cast

import attrs

from corelib import UsageError
from ipclib.errors import ErrorKind
from ipclib.protocol import wire
from ipclib.testing.frame import Frame, owned

Side: TypeAlias = Literal["client", "service"]
"""One end of a connection."""


@attrs.frozen
class Send:
    """Send a frame, or a part of it."""

    frame: Frame
    most: int | None = None
    """Only so many of its bytes; None for all."""
    at_once: int | None = None
    """So many bytes at a time, each piece after the one before was read; None for all together."""


@attrs.frozen
class Pause:
    """Pass nothing on for some seconds."""

    seconds: float


@attrs.frozen
class Hold:
    """Send a frame after the next one."""

    send: Send


@attrs.frozen
class SendBack:
    """Send a frame to the end that it came from."""

    frame: Frame


@attrs.frozen
class StopReading:
    """Read nothing more from the end that sent the frame, and leave its connection open."""


@attrs.frozen
class Close:
    """Close the connection of both ends."""


Step: TypeAlias = Send | Pause | Hold | SendBack | StopReading | Close
"""What a relay does in place of passing a frame on."""


@attrs.frozen
class _Kind:
    """What a fault makes of a frame that would be sent."""

    about: str
    make: Callable[[Send, float], Sequence[Step]]
    amount: float = 0
    """What `amount` is by default."""
    unit: str = ""
    """What `amount` says; empty if the fault has none."""
    most: float = 0xFFFFFFFF
    """The most that `amount` may be."""


def _changed(change: Callable[[Frame, int], Frame]) -> Callable[[Send, float], Sequence[Step]]:
    """A fault that sends the frame with a change."""
    return lambda send, amount: [attrs.evolve(send, frame=change(send.frame, int(amount)))]


def _other_serial(frame: Frame, serial: int) -> Frame:
    return attrs.evolve(frame, trailer=frame.trailer and (serial, *frame.trailer[1:]))


def _other_signature(frame: Frame, _amount: int) -> Frame:
    return attrs.evolve(
        frame, trailer=frame.trailer and (frame.trailer[0], frame.trailer[1] ^ 1, frame.trailer[2])
    )


def _other_tag(frame: Frame, tag: int) -> Frame:
    return attrs.evolve(frame, trailer=frame.trailer and (*frame.trailer[:2], tag))


def _error(frame: Frame, kind: int) -> Frame:
    data = wire.pack_failure(frame.magic, frame.serial, cast(ErrorKind, kind), "the test asked for an error")
    return Frame.of(data)


def _broken_error(frame: Frame, _amount: int) -> Frame:
    whole = _error(frame, ErrorKind.HANDLER_RAISED)
    return attrs.evolve(whole, payload=whole.payload[:-1])


def _damaged(frame: Frame, _amount: int) -> Frame:
    return attrs.evolve(frame, payload=bytes(byte ^ 0xFF for byte in frame.payload))


def _shorter(frame: Frame, amount: int) -> Frame:
    return attrs.evolve(frame, payload=frame.payload[: max(len(frame.payload) - amount, 0)])


def _longer(frame: Frame, amount: int) -> Frame:
    return attrs.evolve(frame, payload=frame.payload + bytes(amount))


def _more_descriptors(frame: Frame, amount: int) -> Frame:
    more = [owned(os.memfd_create("fault")) for _ in range(amount)]
    return attrs.evolve(frame, files=(*frame.files, *more))


_HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
_SILENCE = StopReading()
_CLOSE = Close()

_KINDS: dict[str, _Kind] = {
    "delay": _Kind(
        "passes the message on later", lambda send, seconds: [Pause(seconds), send], 0.05, "seconds"
    ),
    "drop": _Kind("does not pass the message on", lambda send, _: []),
    "duplicate": _Kind("sends it several times", lambda send, times: [send] * int(times), 2, "times"),
    "reorder": _Kind("sends it after the message that follows it", lambda send, _: [Hold(send)]),
    "trickle": _Kind(
        "sends so many bytes at a time, each piece after the one before was read",
        lambda send, size: [attrs.evolve(send, at_once=max(int(size), 1))],
        1,
        "bytes",
    ),
    "close": _Kind("closes the connection in place of the message", lambda send, _: [_CLOSE]),
    "cut": _Kind(
        "closes the connection after so many bytes of the message",
        lambda send, size: [attrs.evolve(send, most=int(size)), _CLOSE],
        15,
        "bytes",
    ),
    "hang": _Kind(
        "sends so many bytes of the message, and then nothing more",
        lambda send, size: [attrs.evolve(send, most=int(size)), _SILENCE],
        15,
        "bytes",
    ),
    "stop_reading": _Kind(
        "passes the message on, and reads nothing more from its sender", lambda send, _: [send, _SILENCE]
    ),
    "send_back": _Kind("sends it back to its sender", lambda send, _: [SendBack(send.frame)]),
    "signature": _Kind("changes its signature", _changed(_other_signature)),
    "serial": _Kind(
        "changes its serial",
        _changed(_other_serial),
        999_999,
        "the serial",
    ),
    "tag": _Kind("changes the tag of its trailer", _changed(_other_tag), 7, "the tag"),
    "no_trailer": _Kind(
        "leaves its trailer out, as LibIPC does",
        _changed(lambda frame, _: attrs.evolve(frame, trailer=None)),
    ),
    "magic": _Kind(
        "makes it a message of an endpoint that does not exist",
        _changed(lambda frame, magic: attrs.evolve(frame, magic=magic)),
        12345,
        "the magic",
    ),
    "id": _Kind(
        "makes it another message of its endpoint",
        _changed(lambda frame, id: attrs.evolve(frame, id=id)),
        9999,
        "the id",
    ),
    "size": _Kind(
        "states another size in its header",
        _changed(lambda frame, size: attrs.evolve(frame, claimed=size)),
        0xFFFFFFFF,
        "the size",
    ),
    "damage": _Kind("inverts each byte of its values", _changed(_damaged)),
    "shorten": _Kind("leaves out the last bytes of its values", _changed(_shorter), 1, "bytes"),
    "lengthen": _Kind("adds zeros after its values", _changed(_longer), 1, "bytes"),
    "garbage": _Kind(
        "sends bytes of another protocol in place of the message",
        _changed(lambda frame, _: Frame(raw=_HTTP)),
    ),
    "error": _Kind("sends an error frame in place of the answer", _changed(_error), 1, "an ipclib.ErrorKind"),
    "broken_error": _Kind("sends an error frame that ends too early", _changed(_broken_error)),
    "descriptors": _Kind(
        "adds descriptors that the message does not take", _changed(_more_descriptors), 1, "how many", 253
    ),
    "no_descriptors": _Kind(
        "leaves its descriptors out", _changed(lambda frame, _: attrs.evolve(frame, files=()))
    ),
}

FAULTS: dict[str, str] = {
    name: f"{kind.about} ({kind.unit}: {kind.amount:g})" if kind.unit else kind.about
    for name, kind in _KINDS.items()
}
"""What each fault does, by name; in brackets what its amount says, and the default."""


def _known(_fault: Fault, _field: object, name: str) -> None:
    if name not in _KINDS:
        near = get_close_matches(name, _KINDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_KINDS)}"
        raise UsageError(f"there is no fault {name!r}: {hint}")


def _side(_fault: Fault, _field: object, side: str) -> None:
    if side not in ("client", "service"):
        raise UsageError(f"a fault is in what the 'client' or the 'service' gets, not {side!r}")


def _from_one(_fault: Fault, _field: object, nth: int | None) -> None:
    if nth is not None and (not isinstance(nth, int) or nth < 1):
        raise UsageError(f"nth counts messages from 1 on, and {nth!r} is no such number")


def _not_negative(fault: Fault, _field: object, amount: float | None) -> None:
    if amount is None:
        return
    kind = _KINDS[fault.name]
    if not kind.unit:
        raise UsageError(f"the fault {fault.name!r} has no amount")
    if not 0 <= amount <= kind.most:
        raise UsageError(f"the amount of {fault.name!r} is a number from 0 to {kind.most}, not {amount!r}")


@attrs.frozen
class Fault:
    """A fault in what one end of a connection gets: `Fault("delay", "add", nth=2, amount=0.5)`.

    It strikes messages and answers with or without an error, and no other control frames. `FAULTS` has the
    names. Of several that strike one message, the first in order changes it first.

    Raises:
        UsageError: there is no such fault, side, number or amount.
    """

    name: str = attrs.field(validator=_known)
    message: str | None = None
    """The message or answer that it strikes, such as `add` or `ClockServer.add`; None for every one."""
    nth: int | None = attrs.field(default=None, validator=_from_one, kw_only=True)
    """Which of them it strikes, from 1 on; None for each."""
    to: Side = attrs.field(default="client", validator=_side, kw_only=True)
    """The end that gets the message: "client" for answers, "service" for requests."""
    amount: float | None = attrs.field(default=None, validator=_not_negative, kw_only=True)
    """How much, as `FAULTS` says; None for the default."""

    def matches(self, name: str) -> bool:
        """Whether it is about messages of this name."""
        return self.message in (None, name, name.partition(".")[2])

    def steps_for(self, steps: Sequence[Step]) -> list[Step]:
        """What is to be done in place of these steps."""
        kind = _KINDS[self.name]
        amount = kind.amount if self.amount is None else self.amount
        changed: list[Step] = []
        for step in steps:
            changed += kind.make(step, amount) if isinstance(step, Send) else [step]
        return changed


def check_messages(faults: Sequence[Fault], names: Sequence[str]) -> None:
    """Check that the messages exist that faults name.

    Raises:
        UsageError: one does not.
    """
    known = [short for name in names for short in (name.partition(".")[2], name)]
    for fault in faults:
        if fault.message is not None and fault.message not in known:
            near = get_close_matches(fault.message, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"no message {fault.message!r} passes here{hint}")


class Aim:
    """The faults of one direction, and how many messages each has seen."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = list(faults)
        self._counts = [0] * len(self._faults)

    def steps_for(self, frame: Frame, name: str) -> list[Step]:
        """What is to be done with a frame of this message."""
        steps: list[Step] = [Send(frame)]
        for index, fault in enumerate(self._faults):
            if not fault.matches(name):
                continue
            self._counts[index] += 1
            if fault.nth in (None, self._counts[index]):
                steps = fault.steps_for(steps)
        return steps
