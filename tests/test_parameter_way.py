"""Owns the tests of the benchmark that traces the way of one parameter.
Must not know which functions of corelib and ipclib a call passes."""

from __future__ import annotations

import pytest

from benchmarks.parameter_way import Step, Ways, changes, measure, shortest


@pytest.fixture(scope="module")
def ways() -> Ways:
    return measure()


def functions(way: list[Step]) -> list[str]:
    return [step.function for step in way]


def test_the_client_s_way_begins_at_the_proxy_and_ends_with_the_decoded_answer(ways: Ways) -> None:
    assert ways.client[0].function == "ClockServerProxy.add"
    assert ways.client[0].file.endswith("tests/ipcc/GoldenClock.ipc>")
    assert [step.depth for step in ways.client].count(0) == 1
    generated = [step.function for step in ways.client if step.file == ways.client[0].file]
    assert len(generated) >= 3, "the proxy, the request's encoding and the answer's decoding"


def test_the_service_s_way_is_one_turn_that_passes_the_handler(ways: Ways) -> None:
    assert ways.service[0].file.startswith("corelib/turn/")
    assert [step.depth for step in ways.service].count(0) == 1
    assert [name.rpartition(".")[2] for name in functions(ways.service)].count("add") == 1


def test_the_way_has_no_function_of_the_tracer(ways: Ways) -> None:
    own = [step.function for step in [*ways.client, *ways.service] if step.file.startswith("benchmarks/")]
    assert [name.rpartition(".")[2] for name in own] == ["add"]


def test_a_parameter_passes_few_functions_and_few_files(ways: Ways) -> None:
    assert ways.functions <= 30
    assert ways.changes <= 25


def test_the_entry_of_a_way_counts_as_a_change_of_file() -> None:
    way = [Step(name, file, 1, 0) for name, file in (("a", "one.py"), ("b", "one.py"), ("c", "two.py"))]
    assert changes(way) == 2


def test_the_shortest_way_has_the_fewest_functions_and_then_the_fewest_changes() -> None:
    there_and_back = [Step("f", file, 1, 0) for file in ("one.py", "two.py", "one.py")]
    in_one_file = [Step("f", "one.py", 1, 0)] * 3
    longer = [Step("f", "one.py", 1, 0)] * 4
    assert shortest([longer, there_and_back, in_one_file]) == in_one_file
