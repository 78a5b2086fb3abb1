"""A message that is over a limit of its receiver is refused by its sender, in all three kinds of message."""

from __future__ import annotations

from typing import Any

import pytest

import ipcc
from ipclib import Limits, MessageTooLarge
from tests.ipclib.protocol.two_ends import End, joined

INTERFACE = """
struct Cost::Tree { String label; Vector<Cost::Tree> branches; Optional<Cost::Tree> next; }
endpoint CostServer
{
    names(Vector<String> values) => (Vector<String> values)
    numbers(Vector<Array<i16, 3>> values) => (Vector<Array<i16, 3>> values)
    json(JsonValue values) => (JsonValue values)
    trees(Cost::Tree values) => (Cost::Tree values)
    two(HashMap<String, bool> a, Optional<Vector<bool>> b)
        => (HashMap<String, bool> a, Optional<Vector<bool>> b)
    post_names(Vector<String> values) =|
    post_files(Vector<IPC::File> values) =|
}
endpoint CostClient
{
}
"""


@pytest.fixture(scope="module")
def cost(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("cost") / "Cost.ipc"
    path.write_text(INTERFACE)
    return ipcc.load(path)


def _ends(cost: Any, limits: Limits) -> tuple[End, End]:
    return End(cost.CostServer, cost.CostClient, limits), End(cost.CostClient, cost.CostServer, limits)


def _chain(cost: Any, length: int) -> Any:
    tree = cost.Tree("", [], None)
    for _ in range(length - 1):
        tree = cost.Tree("", [], tree)
    return tree


_LIMIT = 100


def _cases(cost: Any) -> dict[str, tuple[Any, tuple[Any, ...], tuple[Any, ...], str]]:
    """For each limit a message, the most that it may have, and a little more."""
    server = cost.CostServer
    tree = cost.Tree
    return {
        "strings": (
            server.Names,
            ([""] * _LIMIT,),
            ([""] * (_LIMIT + 1),),
            "101 elements; max_elements is 100",
        ),
        "long strings": (server.Names, (["x" * 99] * _LIMIT,), (["x" * 99] * (_LIMIT + 1),), "101 elements"),
        "numbers": (
            server.Numbers,
            ([(1, 2, 3)] * 33,),
            ([(1, 2, 3)] * 34,),
            "102 numbers; max_numbers is 100",
        ),
        "json": (server.Json, (["a"] * (_LIMIT - 1),), ([{}] * _LIMIT,), "101 elements"),
        "trees": (
            server.Trees,
            (tree("", [tree("", [], None)] * 15, None),),
            (tree("", [tree("", [], None)] * 16, None),),
            "102 elements",
        ),
        "chains": (
            server.Trees,
            (tree("", [_chain(cost, 7)] * 2, _chain(cost, 1)),),
            (tree("", [_chain(cost, 7)] * 2, _chain(cost, 2)),),
            "102 elements",
        ),
        "two parameters": (
            server.Two,
            ({str(number): True for number in range(_LIMIT - 1)}, [True]),
            ({str(number): True for number in range(_LIMIT - 1)}, [True] * 2),
            "101 elements",
        ),
    }


_NAMES = ("strings", "long strings", "numbers", "json", "trees", "chains", "two parameters")


@pytest.mark.parametrize("name", _NAMES)
def test_a_request_and_an_answer_are_received_or_refused_by_their_sender(cost: Any, name: str) -> None:
    message, most, more, reason = _cases(cost)[name]
    client, service = _ends(cost, Limits(max_elements=_LIMIT, max_numbers=_LIMIT))
    _call, frame = client.request(message, *most)
    service.receive(frame)
    ((_kind, _message, serial, values, _files, _size),) = service.inbox
    assert values == most
    result = most[0] if len(most) == 1 else most
    ((answer, _files),) = service.conversation.answer(message.__ipc__, serial, result)
    client.receive(joined(answer))
    ((_kind, _message, _call, values, _files, _size),) = client.inbox
    assert values == most
    with pytest.raises(MessageTooLarge, match=reason):
        client.request(message, *more)
    assert not client.conversation.open_calls
    with pytest.raises(MessageTooLarge, match=reason):
        service.conversation.answer(message.__ipc__, serial, more[0] if len(more) == 1 else more)


def test_a_one_way_message_is_refused_by_its_sender(cost: Any) -> None:
    client, service = _ends(cost, Limits(max_elements=_LIMIT))
    service.receive(client.post(cost.CostServer.PostNames, [""] * _LIMIT))
    assert len(service.inbox) == 1
    with pytest.raises(MessageTooLarge, match=r"CostServer\.post_names: 101 elements; max_elements is 100"):
        client.post(cost.CostServer.PostNames, [""] * (_LIMIT + 1))


def test_json_whose_escapes_would_take_too_long_is_refused_by_its_sender(cost: Any) -> None:
    client, _service = _ends(cost, Limits())
    with pytest.raises(MessageTooLarge, match="too many escapes"):
        client.request(cost.CostServer.Json, "\n" * 8_000_001)
    with pytest.raises(MessageTooLarge, match="too many escapes or long integers"):
        client.request(cost.CostServer.Json, [10**4200] * 2500)


def test_a_message_without_elements_counts_nothing(cost: Any, clock: Any) -> None:
    assert not clock.ClockServer.Add.__ipc__.counts
    assert cost.CostServer.Names.__ipc__.counts
    assert cost.CostServer.Two.__ipc__.counts
