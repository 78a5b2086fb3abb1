"""Owns calls and posts: what proxies send, calls that wait for their answers, deadlines and nesting.
Must not know how frames leave a socket, or how what arrives is handled: its CallerLink does both.
"""

from __future__ import annotations

import enum
import gc
from collections import deque
from collections.abc import Callable
from itertools import islice
from threading import get_ident
from typing import Any, Protocol, TypeVar

from corelib import EventLoopClosed, Promise, UsageError, WaitMode
from corelib.turn import ThreadLoop, deadline_after, short_turn
from ipclib.connection.batch import NONE
from ipclib.connection.nesting import nesting_of_thread
from ipclib.connection.promised_call import PromisedCall
from ipclib.connection.sender import Sender, is_overfull
from ipclib.connection.state import State
from ipclib.connection.watchdog import Watchdog
from ipclib.errors import CallTimeout, NestedTooDeep, PeerDisconnected, ProtocolViolation, WrongThread
from ipclib.protocol import wire
from ipclib.protocol.conversation import DESCRIBE, Conversation
from ipclib.protocol.events import CallFailed, DescriptionArrived, Event
from ipclib.protocol.message import OneWay, Request
from ipclib.protocol.open_call import Call, OpenCall
from ipclib.showing import value_shown
from ipclib.values.codecs import ENCODE_ERRORS, Payload
from ipclib.values.decoding import Files

R = TypeVar("R")


class Wait(enum.Enum):
    """What else happens while a blocking call waits."""

    PUMP = enum.auto()
    """The loop is pumped: timers fire, and the messages of all connections are handled."""
    BLOCK = enum.auto()
    """Nothing else: only this socket is read and written. Other messages are handled after the call."""


# On 3.11 `Enum.MEMBER` costs about 90 ns (a descriptor), a bound name 9.
_PUMP = Wait.PUMP
# A call that waits above fewer others needs no closer look, which takes 2 microseconds.
_NESTS_FREELY = 4
_WAIT_FOR_EVENTS = WaitMode.WAIT_FOR_EVENTS
_CLOSED = State.CLOSED
_NO_SERIAL = wire.NO_SERIAL


class CallerOwner(Protocol):
    """A connection, as its caller sees it."""

    wait: Wait
    """What a blocking call does while it waits, unless it is given another Wait."""
    timeout: float | None
    """Seconds for which a blocking call waits, unless it is given another timeout."""

    def did_misbehave(self, reason: str) -> None:
        """Drop a peer that breaks the rules."""


class CallerLink(Protocol):
    """A link, as its Caller sees it."""

    state: State
    is_throttled: bool
    thread: ThreadLoop
    conversation: Conversation
    sender: Sender
    watchdog: Watchdog
    waits_for_slow_peer: bool

    def resume_serving(self) -> None:
        """Serve requests again, although the peer has not read its answers: we wait for an answer from it."""

    def look_closer(self) -> None:
        """Put what has arrived and is not handled into the inbox."""

    def exchange(self, timeout: float | None) -> None:
        """Wait for the socket for at most `timeout` seconds, then read and write it; handle no messages."""

    def serve_later(self) -> None:
        """Handle the inbox in the next turn."""


class Caller:
    """Sends the requests and one-way messages of a connection, and waits for answers."""

    __slots__ = (
        "_conversation",
        "_ident",
        "_link",
        "_nesting",
        "_nests_freely",
        "_now_ns",
        "_owner",
        "_sender",
        "_thread",
        "_watchdog",
        "dropped_posts",
    )

    def __init__(self, owner: CallerOwner, link: CallerLink) -> None:
        self._owner = owner
        self._link = link
        self._conversation = link.conversation
        self._sender = link.sender
        self._watchdog = link.watchdog
        self._ident = link.thread.ident
        self._now_ns = link.thread.now_ns
        self._thread = link.thread
        self._nesting = nesting_of_thread()
        self._nests_freely = min(_NESTS_FREELY, self._conversation.limits.max_nesting // 2)
        self.dropped_posts = 0
        """One-way messages that found the connection closed, or the peer no longer reading."""

    def call(
        self, request: type[Request[R]], values: tuple[object, ...], timeout: float | None, wait: Wait | None
    ) -> R:
        """Send a request and wait for its answer, for at most `timeout` seconds, or else the owner's.

        Raises:
            CallTimeout: `timeout` seconds have passed; a later answer is discarded.
            PeerDisconnected: the connection is closed, or closes while the call waits.
            ProtocolViolation: the peer breaks a rule of the wire while the call waits.
            RemoteError: the peer answered with an error.
            EncodeError: a value does not fit its parameter; nothing was sent.
            MessageTooLarge: the request is over a limit; nothing was sent.
            NestedTooDeep: too many calls wait on this thread already (Limits.max_nesting).
            WrongThread: the connection belongs to another thread.
            corelib.EventLoopClosed: the loops of this thread are closed.
            corelib.UsageError: called by a finaliser or signal handler in the middle of a write; or `wait` is
                no Wait.
        """
        message = request.__ipc__
        if get_ident() != self._ident or self._link.state is _CLOSED or self._sender.is_locked:
            raise self._unusable(message.name)
        if wait is not None:
            check_wait(message.name, wait)
        if timeout is None:
            timeout = self._owner.timeout
        call = Call(message)
        if self._nesting.calls:
            call.began = self._now_ns()
            if len(self._nesting.calls) >= self._nests_freely:
                self._check_nesting(call)
        deadline = None if timeout is None else deadline_after(self._now_ns(), timeout)
        frame, files = self._conversation.request(call, values)
        value: R = self._wait_for_answer(call, frame, files, timeout, deadline, wait)
        return value

    def call_async(self, request: type[Request[R]], values: tuple[object, ...]) -> Promise[R]:
        """Send a request. Its answer settles the promise, and cancelling the promise abandons the call.

        Raises:
            EncodeError: a value does not fit its parameter; nothing was sent.
            MessageTooLarge: the request is over a limit; nothing was sent.
            WrongThread: the connection belongs to another thread.
        """
        message = request.__ipc__
        if get_ident() != self._ident:
            raise self._unusable(message.name)
        if self._link.state is _CLOSED:
            return Promise.rejected(PeerDisconnected(f"{message.name}: the connection is closed"))
        call = PromisedCall(message, self)
        try:
            frame, files = self._conversation.request(call, values)
        except PeerDisconnected as error:
            return Promise.rejected(error)
        if not self._watchdog.is_awake:
            self._watchdog.wake()
        if self._conversation.trailers:
            self._sender.send(frame, files)
        else:
            self._send_bare(call, frame, files, self._sender.send)
        if self._sender.size > self._sender.limit:
            self._wait_for_slow_peer()
        return call

    def post(self, one_way: type[OneWay], values: tuple[object, ...]) -> None:
        """Send a one-way message. On a closed connection it is dropped and counted.

        Raises:
            EncodeError: a value does not fit its parameter; nothing was sent.
            MessageTooLarge: the message is over a limit; nothing was sent.
            WrongThread: the connection belongs to another thread.
        """
        message = one_way.__ipc__
        if get_ident() != self._ident:
            raise self._unusable(message.name)
        conversation = self._conversation
        frame: Payload = ()
        files: Files = NONE
        if message.frame is not None and conversation.trailers:
            try:
                frame = message.frame(_NO_SERIAL, *values)
            except ENCODE_ERRORS:
                frame = ()  # The conversation finds the same, and says of which parameter.
        length = len(frame) if type(frame) is bytes else wire.frame_length(frame)
        if not 0 < length <= conversation.largest_plain:
            frame, files = conversation.frame(message, values)
        sender = self._sender
        if sender.flush_is_due:
            sender.put(frame, files)
        elif sender.takes_frames:
            sender.send(frame, files)
        else:
            self.dropped_posts += 1
            for file in files:
                file.close()
            return
        if sender.size > sender.limit:
            self._wait_for_slow_peer()

    def describe(self, timeout: float | None) -> str:
        """Ask the peer for the interface of the endpoint that is called, and wait for the answer.

        Raises:
            CallTimeout, NestedTooDeep, PeerDisconnected, RemoteError, WrongThread: as for call().
        """
        if get_ident() != self._ident or self._link.state is _CLOSED or self._sender.is_locked:
            raise self._unusable(DESCRIBE.name)
        if timeout is None:
            timeout = self._owner.timeout
        deadline = deadline_after(self._now_ns(), timeout)
        call = Call(DESCRIBE)
        if self._nesting.calls:
            call.began = self._now_ns()
            self._check_nesting(call)
        frame = self._conversation.describe(call)
        text: str = self._wait_for_answer(call, frame, [], timeout, deadline, None)
        return text

    # Waiting

    def flush(self, timeout: float | None) -> bool:
        """Pump the loop until the queue is empty; False if it was not emptied within `timeout` seconds."""
        deadline = deadline_after(self._now_ns(), timeout)
        sender = self._sender
        sender.flush()
        while sender.size:
            if deadline is not None and self._now_ns() >= deadline:
                return False
            self._thread.turn(_WAIT_FOR_EVENTS, deadline)
        return sender.takes_frames

    def _wait_for_answer(
        self,
        call: Call,
        frame: Payload,
        files: Files,
        timeout: float | None,
        deadline: int | None,
        wait: Wait | None,
    ) -> Any:
        if self._link.is_throttled:
            self._link.resume_serving()
        if not self._watchdog.is_awake:
            self._watchdog.wake()
        if self._conversation.trailers:
            self._sender.send_now(frame, files)
        else:
            self._send_bare(call, frame, files, self._sender.send_now)
        nesting = self._nesting
        call.deadline = deadline
        call.depth = len(nesting.serving)
        nesting.calls.append(call)
        try:
            if (wait or self._owner.wait) is not _PUMP:
                check_wait(f"{type(self._owner).__qualname__}.wait", wait or self._owner.wait)
                self._block_until_settled(call, timeout, deadline)
            thread = self._thread
            while not call.settled:
                short_turn(thread, deadline)
                if deadline is not None and not call.settled and self._now_ns() >= deadline:
                    raise _timed_out(call, timeout)
        finally:
            nesting.calls.pop()
            if not call.settled:
                self.abandon(call)
        if call.error is not None:
            raise call.error
        return call.value

    def _block_until_settled(self, call: Call, timeout: float | None, deadline: int | None) -> None:
        """Wait by LibIPC's own rule: other messages stay in the inbox, and are handled after the call."""
        self._link.look_closer()  # What the cursor has not passed is in the inbox, too.
        inbox = self._conversation.inbox
        looked_at = kept = 0
        try:
            while True:
                kept += _settle_from_inbox(call, inbox, looked_at)
                if call.settled:
                    break
                looked_at = len(inbox)
                self._check_blocked(call, timeout, deadline, kept)
                self._link.exchange(None if deadline is None else max(0.0, (deadline - self._now_ns()) / 1e9))
        finally:
            if inbox:
                self._link.serve_later()

    def _check_blocked(self, call: Call, timeout: float | None, deadline: int | None, kept: int) -> None:
        """Raise if the call can no longer be answered, or its deadline has passed."""
        if self._link.state is not State.OPEN:
            raise PeerDisconnected(f"{call.message.name}: the peer disconnected")
        limits = self._conversation.limits
        if len(self._conversation.inbox) > limits.max_elements:
            raise ProtocolViolation(f"{call.message.name}: too many messages came before the answer")
        if kept > limits.max_message_size + limits.max_send_queue:
            raise ProtocolViolation(
                f"{call.message.name}: {kept} bytes of other messages came before the answer "
                "(max_message_size and max_send_queue)"
            )
        if deadline is not None and self._now_ns() >= deadline:
            raise _timed_out(call, timeout)

    def abandon(self, call: OpenCall) -> None:
        """Stop waiting for a call, and tell the peer."""
        try:
            cancel = self._conversation.abandon(call)
        except ProtocolViolation as violation:
            self._owner.did_misbehave(str(violation))
            return
        if cancel is not None:
            self._sender.send(cancel, [])

    # Sending

    def _send_bare(
        self, call: OpenCall, frame: Payload, files: Files, send: Callable[[Payload, Files], None]
    ) -> None:
        """Open a call and send its request as a bare frame.

        Bare answers come in the order of the requests, so no finaliser may make a call between the two steps.
        """
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            self._conversation.open(call)
            send(frame, files)
        finally:
            if was_enabled:
                gc.enable()

    def _wait_for_slow_peer(self) -> None:
        """Wait until the queue is within its limit, or drop the peer.

        A client waits while its loop goes on: so LibIPC limits the rate of its clients. A service does not
        wait for a client that does not read.
        """
        sender = self._sender
        sender.flush()
        while self._link.waits_for_slow_peer and sender.size > sender.limit and not sender.is_locked:
            self._thread.turn(_WAIT_FOR_EVENTS)
            sender.flush()
        if is_overfull(sender) and not sender.is_locked:
            self._owner.did_misbehave(f"it does not read: {sender.size} bytes wait for it (max_send_queue)")

    # Errors

    def _unusable(self, name: str) -> Exception:
        if get_ident() != self._ident:
            return wrong_thread(name)
        if self._link.thread.closed:
            return EventLoopClosed()
        if self._sender.is_locked:
            return UsageError(
                f"{name}: a finaliser or signal handler cannot wait during a write; "
                "its async_ method does not wait"
            )
        return PeerDisconnected(f"{name}: the connection is closed")

    def _check_nesting(self, call: Call) -> None:
        """Raise if a call may not wait above those that wait on this thread already."""
        refusal = self._nesting.refusal(self._conversation.limits.max_nesting, call.began)
        if refusal is not None:
            message = call.message
            raise NestedTooDeep(f"{message.name}: {refusal}; use async_{message.handler}()")


def _settle_from_inbox(call: Call, inbox: deque[Event], looked_at: int) -> int:
    """Settle a call if its answer is in the inbox, at place `looked_at` or later.

    Returns the bytes of the messages there that are not its answer.
    """
    kept = 0
    for place, event in enumerate(islice(inbox, looked_at, None), looked_at):
        if isinstance(event, tuple):
            _kind, message, settled, values, _files, size = event
            if settled is call:
                del inbox[place]
                call.succeed(message.to_result(values))
                break
            kept += size
        elif isinstance(event, CallFailed) and event.call is call:
            del inbox[place]
            call.fail(event.error)
            break
        elif isinstance(event, DescriptionArrived) and event.call is call:
            del inbox[place]
            call.succeed(event.text)
            break
    return kept


def check_wait(what: str, wait: object) -> None:
    """Check that a `wait` is a Wait: any other value would pass for one of them.

    Raises:
        corelib.UsageError: it is not.
    """
    if not isinstance(wait, Wait):
        raise UsageError(f"{what}: wait is Wait.PUMP or Wait.BLOCK, not {value_shown(wait)}")


def wrong_thread(what: str) -> WrongThread:
    """Make the error for a connection that is used from another thread."""
    return WrongThread(
        f"{what}: this connection belongs to another thread; "
        "hand the work over with its loop's deferred_invoke()"
    )


def _timed_out(call: Call, timeout: float | None) -> CallTimeout:
    return CallTimeout(f"{call.message.name}: no answer within {timeout} s")
