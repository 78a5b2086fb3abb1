"""Calls that code of the user makes while another is encoded, sent or received: each gets its own answer."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import EventLoop, LocalSocket, Promise, UsageError
from ipclib import PeerDisconnected
from tests.ipclib.collector import Finaliser, collecting
from tests.ipclib.pairs import link_of

HERE = Path(__file__).parent
GUARD = 30.0


class Handlers:
    """Serves Entering.ipc."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.numbers: list[int] = []

    def double_it(self, number: Any) -> int:
        return 2 * int(number.number)

    def give(self, number: int) -> Any:
        return self.number_type(number)  # type: ignore[attr-defined]

    def note(self, number: Any) -> None:
        self.numbers.append(number.number)

    def noted(self) -> list[int]:
        return self.numbers

    def plain(self, number: int) -> int:
        return number


class Ends:
    """A client and a service of Entering.ipc, and the class that runs code of the user."""

    def __init__(self, entering: Any, number_type: Any, trailers: bool) -> None:
        self.Number = number_type
        here, there = LocalSocket.pair()
        self.client = entering.ConnectionToServer(here, trailers=trailers)
        service = type("Service", (Handlers, entering.ConnectionFromClient), {"number_type": number_type})
        self.service = service(there, 1, trailers=trailers)

    def close(self) -> None:
        self.client.shutdown()
        self.service.shutdown()


@pytest.fixture
def number_type(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(HERE))  # The generated module imports entering_types.
    number_type = importlib.import_module("entering_types").Number
    with monkeypatch.context() as patches:
        patches.setattr(number_type, "encoding", lambda number: None)
        patches.setattr(number_type, "decoding", lambda number: None)
        yield number_type


@pytest.fixture
def entering(number_type: Any) -> Any:
    return ipcc.load(HERE / "Entering.ipc", types=[str(HERE / "entering_types.py")])


@pytest.fixture(params=[True, False], ids=["trailers", "bare"])
def ends(loop: EventLoop, entering: Any, number_type: Any, request: pytest.FixtureRequest) -> Iterator[Ends]:
    ends = Ends(entering, number_type, request.param)
    yield ends
    ends.close()


def _once(act: Callable[[], object]) -> Callable[[int], object]:
    """Acts at the first call alone, as the inner values are encoded too."""
    left = [act]

    def enter(_number: int) -> None:
        if left:
            left.pop()()

    return enter


@pytest.mark.parametrize("outer", ["call", "promise"])
@pytest.mark.parametrize("inner", ["call", "promise"])
def test_a_call_made_by_an_encode_gets_its_own_answer(ends: Ends, outer: str, inner: str) -> None:
    answers: list[Any] = []

    def call_again() -> None:
        number = ends.Number(100)
        answers.append(
            ends.client.double_it(number) if inner == "call" else ends.client.async_double_it(number)
        )

    ends.Number.encoding = staticmethod(_once(call_again))
    if outer == "call":
        assert ends.client.double_it(ends.Number(1)) == 2
    else:
        assert ends.client.async_double_it(ends.Number(1)).await_(GUARD) == 2
    (answer,) = answers
    assert (answer.await_(GUARD) if isinstance(answer, Promise) else answer) == 200
    assert link_of(ends.client).conversation.open_calls == {}


def test_posts_made_by_an_encode_leave_before_what_is_encoded(ends: Ends) -> None:
    ends.Number.encoding = staticmethod(_once(lambda: ends.client.async_note(ends.Number(1))))
    ends.client.async_note(ends.Number(2))
    assert ends.client.noted() == [1, 2]


def test_an_index_method_is_code_of_the_user_too(ends: Ends) -> None:
    class Index:
        def __index__(self) -> int:
            answers.append(ends.client.plain(7))
            return 8

    answers: list[int] = []
    assert ends.client.plain(Index()) == 8
    assert answers == [7]


def test_an_encode_that_closes_the_connection_fails_its_call(ends: Ends) -> None:
    ends.Number.encoding = staticmethod(_once(ends.client.shutdown))
    with pytest.raises(PeerDisconnected, match=r"double_it: the connection is closed"):
        ends.client.double_it(ends.Number(1))
    ends.Number.encoding = staticmethod(lambda number: None)
    assert link_of(ends.client).conversation.open_calls == {}


def test_an_encode_that_closes_the_connection_rejects_its_promise(ends: Ends) -> None:
    ends.Number.encoding = staticmethod(_once(ends.client.shutdown))
    with pytest.raises(PeerDisconnected, match=r"double_it: the connection is closed"):
        ends.client.async_double_it(ends.Number(1)).await_(GUARD)


def test_an_encode_that_closes_the_connection_loses_its_post(ends: Ends) -> None:
    ends.Number.encoding = staticmethod(_once(ends.client.shutdown))
    ends.client.async_note(ends.Number(1))
    assert ends.client.counters.dropped_posts == 1


def test_calls_made_by_a_decode_get_their_own_answers(ends: Ends) -> None:
    answers: list[int] = []
    ends.Number.decoding = staticmethod(_once(lambda: answers.append(ends.client.plain(7))))
    assert ends.client.give(1).number == 1
    assert answers == [7]
    assert ends.client.plain(2) == 2


def test_a_service_s_decode_may_call_the_client(ends: Ends) -> None:
    ends.client.ask = lambda number: number.number
    asked: list[int] = []
    ends.Number.decoding = staticmethod(_once(lambda: asked.append(ends.service.ask(ends.Number(5)))))
    assert ends.client.double_it(ends.Number(1)) == 2
    assert asked == [5]


def test_a_decode_that_closes_the_connection_fails_the_call(ends: Ends) -> None:
    ends.Number.decoding = staticmethod(_once(ends.client.shutdown))
    with pytest.raises(PeerDisconnected):
        ends.client.give(1)
    assert link_of(ends.client).conversation.open_calls == {}


def _enter(ends: Ends, answers: list[tuple[int, Promise[int]]], number: int) -> None:
    answers.append((number, ends.client.async_plain(number)))
    ends.client.async_note(ends.Number(number))


_THRESHOLDS = [
    threshold if threshold % 7 == 1 else pytest.param(threshold, marks=pytest.mark.slow)
    for threshold in (*range(1, 30), 40, 60, 90)
]
_MORE_THRESHOLDS = [*_THRESHOLDS, *(pytest.param(more, marks=pytest.mark.slow) for more in (140, 200))]


@pytest.mark.parametrize("threshold", _MORE_THRESHOLDS)
def test_a_finaliser_may_call_and_post_at_every_allocation_of_a_call(ends: Ends, threshold: int) -> None:
    """Bare answers come in order, so that a call in between would get another's answer."""
    ends.client.plain(0)
    answers: list[tuple[int, Promise[int]]] = []
    numbers = iter(range(1000, 2000))
    with collecting(threshold):
        Finaliser(lambda: _enter(ends, answers, next(numbers)), times=5)
        assert ends.client.plain(1) == 1
        assert ends.client.double_it(ends.Number(2)) == 4
        assert ends.client.async_plain(3).await_(GUARD) == 3
        ends.client.async_note(ends.Number(4))
        assert ends.client.give(5).number == 5
    assert answers
    for number, answer in answers:
        assert answer.await_(GUARD) == number
    assert sorted(ends.client.noted()) == [4, *(number for number, _answer in answers)]
    assert link_of(ends.client).conversation.open_calls == {}


@pytest.mark.parametrize("threshold", _MORE_THRESHOLDS)
def test_a_finaliser_may_wait_for_an_answer_unless_its_connection_is_being_written(
    ends: Ends, threshold: int
) -> None:
    """Another message than those that it interrupts: a bare answer would wait for theirs."""
    outcomes: list[object] = []

    def wait() -> None:
        try:
            outcomes.append(ends.client.double_it(ends.Number(1000 + len(outcomes))))
        except UsageError as error:
            outcomes.append(str(error))

    ends.client.plain(0)
    with collecting(threshold):
        Finaliser(wait, times=4)
        assert ends.client.plain(1) == 1
        assert ends.client.give(2).number == 2
        assert ends.client.async_plain(3).await_(GUARD) == 3
    assert outcomes
    for place, outcome in enumerate(outcomes):
        assert outcome == 2 * (1000 + place) or "while its connection is being written to" in str(outcome)
    assert ends.client.plain(9) == 9


@pytest.mark.parametrize("threshold", _THRESHOLDS)
def test_a_finaliser_may_close_the_connection_at_every_allocation_of_a_call(
    ends: Ends, threshold: int
) -> None:
    calls: list[Promise[int]] = []
    with collecting(threshold):
        Finaliser(ends.client.shutdown)
        for number in range(3):
            try:
                calls.append(ends.client.async_plain(number))
                assert ends.client.plain(number) == number
            except PeerDisconnected:
                break
    assert not ends.client.is_open
    for call in calls:
        assert call.is_settled
        call.when_rejected(lambda error: None)
    link = link_of(ends.client)
    assert (link.conversation.open_calls, link.sender.size) == ({}, 0)


@pytest.mark.parametrize("threshold", _THRESHOLDS)
def test_a_service_s_finaliser_may_post_while_answers_are_sent(ends: Ends, threshold: int) -> None:
    asked: list[Promise[int]] = []
    ends.client.ask = lambda number: number.number
    with collecting(threshold):
        Finaliser(lambda: asked.append(ends.service.async_ask(ends.Number(len(asked)))), times=5)
        assert [ends.client.plain(number) for number in range(5)] == list(range(5))
    assert [answer.await_(GUARD) for answer in asked] == list(range(len(asked)))
    assert asked
