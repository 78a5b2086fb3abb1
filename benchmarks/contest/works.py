"""Owns the works, as loops around a contestant's own calls that check every answer.
Must not know any contestant: those whose calls return answers use BlockingCalls, the others AwaitedCalls."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

WORKS = ("adds", "echoes", "echoes_bytes", "posts", "hand_overs", "connect", "adds_of_all")
"""adds(count), echoes(count, size), echoes_bytes(count, size): calls, one after the other.
posts(count, size): one-way messages, all of which must arrive.
hand_overs(count, size): memory that is passed without copying it.
connect(count): raise the number of connections to `count`.
adds_of_all(rounds): in each round a request on each connection, then all their answers."""


class WrongAnswer(Exception):
    """A contestant returned a wrong answer."""


def check(answer: object, expected: object) -> None:
    """Check an answer.

    Raises:
        WrongAnswer: it is not the expected one.
    """
    if answer != expected:
        raise WrongAnswer(f"{_shortened(answer)} instead of {_shortened(expected)}")


def texts(count: int, size: int) -> Iterator[str]:
    """Yield `count` texts of `size` bytes, each unlike the one before it."""
    return itertools.islice(itertools.cycle(("a" * size, "b" * size)), count)


def payloads(count: int, size: int) -> Iterator[bytes]:
    """Yield `count` byte strings of `size` bytes, each unlike the one before it."""
    return itertools.islice(itertools.cycle((b"\xaa" * size, b"\xbb" * size)), count)


class BlockingCalls:
    """Works of calls that return their answer."""

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
    """Works of calls that are awaited: a whole work is one coroutine."""

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
