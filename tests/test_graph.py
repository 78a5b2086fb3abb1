"""Owns the tests of the benchmarks' graphs: what is on the page, and where.
Must not know what is measured."""

from __future__ import annotations

from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest

from benchmarks.graph import Role, Series, example, line_graph
from benchmarks.graph_axes import BYTES, COUNT, SECONDS, THOUSANDS, Axis, Scale, ticks
from benchmarks.graph_labels import Label, spread

SVG = "{http://www.w3.org/2000/svg}"

PAYLOAD = Axis("payload", BYTES)
TIME = Axis("time", SECONDS)
CLIENTS = Axis("clients", COUNT)
RATE = Axis("thousand calls a second", THOUSANDS, is_logarithmic=False)

OURS = Series("ours", [(16, 1e-5), (256, 1e-4), (4096, 1e-3)], Role.OURS)
FLOOR = Series("floor", [(16, 1e-4), (4096, 1e-2)], Role.FLOOR)
PEER = Series("a < b & c", [(16, 2e-4), (256, 9e-3)])


def page(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def labels(root: ElementTree.Element) -> list[Label]:
    return [
        Label(
            element.text or "",
            float(element.attrib["x"]),
            float(element.attrib["y"]),
            element.attrib["text-anchor"],
        )
        for element in root.iter(f"{SVG}text")
        if "label" in element.attrib["class"].split()
    ]


def lines(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """The series' points on the page, in the order in which they are drawn."""
    found = [group.find(f"{SVG}polyline") for group in root.iter(f"{SVG}g")]
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.attrib["points"].split())]
        for line in found
        if line is not None
    ]


def test_a_graph_is_a_picture_with_a_name_and_a_description() -> None:
    root = page(line_graph("Echo & size", "It <rises>.", PAYLOAD, TIME, [OURS], "a note"))
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    named = root.attrib["aria-labelledby"].split()
    assert [child.text for child in root if child.get("id") in named] == ["Echo & size", "It <rises>."]
    assert {"Echo & size", "a note", "payload", "time"} <= set(texts(root))


def test_every_series_is_drawn_and_named() -> None:
    root = page(line_graph("t", "d", PAYLOAD, TIME, [OURS, FLOOR, PEER]))
    assert [label.text for label in labels(root)] == ["ours", "floor", "a < b & c"]
    assert sorted(map(len, lines(root))) == [2, 2, 3]
    assert len(list(root.iter(f"{SVG}circle"))) == 7


def test_our_line_is_thick_the_floor_dashed_and_peers_differ() -> None:
    others = [PEER, PEER._replace(name="another")]
    root = page(line_graph("t", "d", PAYLOAD, TIME, [OURS, FLOOR, *others]))
    floor, one, other, ours = (
        group.find(f"{SVG}polyline").attrib  # type: ignore[union-attr]
        for group in root.iter(f"{SVG}g")
    )
    assert "stroke-dasharray" in floor
    assert float(ours["stroke-width"]) > float(floor["stroke-width"]) > float(one["stroke-width"])
    assert one["stroke"] != other["stroke"]


def test_points_of_a_logarithmic_axis_are_as_far_apart_as_their_ratio() -> None:
    root = page(line_graph("t", "d", PAYLOAD, TIME, [OURS]))
    (first, second, third) = lines(root)[0]
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.2)
    assert second[1] - first[1] == pytest.approx(third[1] - second[1], abs=0.2)
    assert first[1] > third[1], "more is higher up"


def test_points_of_a_linear_axis_are_as_far_apart_as_their_difference() -> None:
    points = [(1.0, 0.0), (10.0, 20e3), (100.0, 80e3)]
    root = page(line_graph("t", "d", CLIENTS, RATE, [Series("ours", points, Role.OURS)]))
    (first, second, third) = lines(root)[0]
    assert first[1] - third[1] == pytest.approx(4 * (first[1] - second[1]), abs=0.4)
    axis = next(element for element in root.iter(f"{SVG}line") if element.attrib["class"] == "axis")
    assert float(axis.attrib["y1"]) == first[1], "a linear axis begins at 0"


def test_a_scale_maps_its_ends_to_the_given_places() -> None:
    scale = Scale(1, 100, 50, 250, is_logarithmic=True)
    assert [scale.at(value) for value in (1, 10, 100)] == pytest.approx([50, 150, 250])
    assert Scale(0, 10, 300, 100, is_logarithmic=False).at(2.5) == 250


def test_a_tick_stands_where_its_value_is() -> None:
    root = page(line_graph("t", "d", PAYLOAD, TIME, [OURS]))
    places = {element.text: float(element.attrib["x"]) for element in root.iter(f"{SVG}text")}
    (first, second, third) = lines(root)[0]
    assert [places["16 B"], places["256 B"], places["4 KiB"]] == [first[0], second[0], third[0]]


@pytest.mark.parametrize(
    ("axis", "low", "high", "expected"),
    [
        (PAYLOAD, 16, 16 * 1024**2, ["16 B", "256 B", "4 KiB", "64 KiB", "1 MiB", "16 MiB"]),
        (PAYLOAD, 512, 4096, ["512 B", "1 KiB", "2 KiB", "4 KiB"]),
        (TIME, 1e-5, 0.05, ["10 µs", "100 µs", "1 ms", "10 ms"]),
        (TIME, 2e-5, 5e-4, ["20 µs", "50 µs", "100 µs", "200 µs", "500 µs"]),
        (TIME, 1e-9, 10, ["1 ns", "100 ns", "10 µs", "1 ms", "100 ms", "10 s"]),
        (CLIENTS, 1, 2000, ["1", "10", "100", "1,000"]),
        (RATE, 0, 80e3, ["0", "20", "40", "60", "80"]),
    ],
)
def test_ticks_are_round_and_few(axis: Axis, low: float, high: float, expected: list[str]) -> None:
    assert [axis.unit.text(value) for value in ticks(low, high, axis)] == expected


def test_labels_that_have_room_stay_at_their_wanted_places() -> None:
    assert spread([100, 10, 50], 16, 0, 200) == [100, 10, 50]


def test_labels_keep_their_order_and_their_distance() -> None:
    wanted = [100.0, 101.0, 99.0, 130.0, 0.0, 1.0]
    places = spread(wanted, 16, 0, 200)
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    in_order = [places[index] for index in order]
    assert all(lower - upper >= 16 - 1e-9 for upper, lower in pairwise(in_order))
    assert in_order[0] >= 0
    assert in_order[-1] <= 200


def test_names_overlap_neither_each_other_nor_a_line() -> None:
    crowd = [
        *(Series(f"peer {number}", [(16, 1e-4), (4096, 1e-3 + number * 1e-6)]) for number in range(8)),
        *(Series(f"short {number}", [(16, 1e-4), (256, 3e-4 + number * 1e-6)]) for number in range(3)),
    ]
    root = page(line_graph("t", "d", PAYLOAD, TIME, [OURS, FLOOR, *crowd]))
    assert len(labels(root)) == 13
    assert not [(one, other) for one, other in combinations(labels(root), 2) if one.overlaps(other)]
    assert not [label for label in labels(root) for line in lines(root) if label.is_crossed_by(line)]


def test_a_series_may_have_one_point() -> None:
    root = page(line_graph("t", "d", PAYLOAD, TIME, [Series("one", [(16, 1e-3)])]))
    assert [label.text for label in labels(root)] == ["one"]


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        ([], "needs a series"),
        ([Series("empty", [])], "'empty' has no points"),
        ([Series("zero", [(16, 0.0)])], "'zero': 0.0 has no place on the axis 'time'"),
        ([Series("nan", [(16, float("nan"))])], "'nan': nan has no place"),
    ],
)
def test_an_error_names_what_cannot_be_drawn(series: list[Series], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        line_graph("t", "d", PAYLOAD, TIME, series)


def test_the_same_figures_give_the_same_text() -> None:
    assert example() == example()
