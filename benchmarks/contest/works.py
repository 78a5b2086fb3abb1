"""The works, as loops around a contestant's own calls, with every answer checked.

Knows no contestant. Those whose calls return answers take BlockingCalls, those whose calls are awaited
take AwaitedCalls.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

WORKS = ("adds", "echoes", "echoes_bytes", "posts", "hand_overs", "connect", "adds_of_all")
"""adds(count), echoes(count, size), echoes_bytes(count, size): calls, one after the other.
posts(count, size): one-way messages of which none may be lost.
hand_overs(count, size): memory, passed without copying it.
connect(count): bring the number of connections to `count`.
adds_of_all(rounds): in each round a request on each connection, then all their answers."""


class WrongAnswer(Exception):
    """A contestant did not do its work."""


def check(answer: object, expected: object) -> None:
    """Raise WrongAnswer unless they are equal."""
    if answer != expected:
        raise WrongAnswer(f"{_shortened(answer)} in place of {_shortened(expected)}")


def texts(count: int, size: int) -> Iterator[str]:
    """`count` texts of `size` bytes, each unlike the one before it."""
    return itertools.islice(itertools.cycle(("a" * size, "b" * size)), count)


def payloads(count: int, size: int) -> Iterator[bytes]:
    """The same as bytes."""
    return itertools.islice(itertools.cycle((b"\xaa" * size, b"\xbb" * size)), count)


class BlockingCalls:
    """Calls that return their answer."""

    def __init__(
        self,
        add: Callable[[int, int], int],
        echo: Callable[[str], str],
        echo_bytes: Callable[[bytes], bytes],
    ) -> None:
        self._add = add
        self._echo = echo
        self._echo_bytes = echo_bytes

    def adds(self, count: int) -> None:
        add = self._add
        for number in range(count):
            answer = add(number, 1)
            if answer != number + 1:
                check(answer, number + 1)

    def echoes(self, count: int, size: int) -> None:
        echo = self._echo
        for text in texts(count, size):
            answer = echo(text)
            if answer != text:
                check(answer, text)

    def echoes_bytes(self, count: int, size: int) -> None:
        echo_bytes = self._echo_bytes
        for data in payloads(count, size):
            answer = echo_bytes(data)
            if answer != data:
                check(answer, data)


class AwaitedCalls:
    """Calls that are awaited: a whole work is one coroutine."""

    def __init__(
        self,
        run: Callable[[Coroutine[Any, Any, None]], None],
        add: Callable[[int, int], Awaitable[int]],
        echo: Callable[[str], Awaitable[str]],
        echo_bytes: Callable[[bytes], Awaitable[bytes]],
    ) -> None:
        self._run = run
        self._add = add
        self._echo = echo
        self._echo_bytes = echo_bytes

    def adds(self, count: int) -> None:
        self._run(self._adds(count))

    def echoes(self, count: int, size: int) -> None:
        self._run(self._echoes(count, size))

    def echoes_bytes(self, count: int, size: int) -> None:
        self._run(self._echoes_bytes(count, size))

    async def _adds(self, count: int) -> None:
        add = self._add
        for number in range(count):
            answer = await add(number, 1)
            if answer != number + 1:
                check(answer, number + 1)

    async def _echoes(self, count: int, size: int) -> None:
        echo = self._echo
        for text in texts(count, size):
            answer = await echo(text)
            if answer != text:
                check(answer, text)

    async def _echoes_bytes(self, count: int, size: int) -> None:
        echo_bytes = self._echo_bytes
        for data in payloads(count, size):
            answer = await echo_bytes(data)
            if answer != data:
                check(answer, data)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
