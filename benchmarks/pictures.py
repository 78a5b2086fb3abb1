"""Owns the pictures of the contest's curves for the documentation: titles, axes and names.
Must not know how the curves were measured, nor SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.contest.figures import Curve, Report
from benchmarks.graph import Role, Series, line_graph
from benchmarks.graph_axes import BYTES, COUNT, SECONDS, THOUSANDS, Axis

_ROLES = {"ours": Role.OURS, "floor": Role.FLOOR}
_NAMES = {"ours": "this library", "floor": "floor: blocking sockets"}


def draw(report: Report, folder: Path) -> list[Path]:
    """Write `round-trip.svg` and `clients.svg` if there are curves for them; return the written files."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = report.environment
    machine = f"{environment['cpus']} processors, {environment['python']}, medians of interleaved rounds"
    pictures = {
        "round-trip.svg": _round_trip(report.payload_curves, machine),
        "clients.svg": _clients(report.clients_curves, machine),
    }
    written = []
    for name, picture in pictures.items():
        if picture:
            (folder / name).write_text(picture)
            written.append(folder / name)
    return written


def _round_trip(curves: Sequence[Curve], note: str) -> str:
    if not curves:
        return ""
    return line_graph(
        "Time of a round trip by payload size",
        "An echo by its number of bytes: this library, blocking sockets without any library, and others.",
        Axis("bytes each way", BYTES),
        Axis("time of a call", SECONDS),
        _series(curves),
        note,
    )


def _clients(curves: Sequence[Curve], note: str) -> str:
    if not curves:
        return ""
    return line_graph(
        "Calls a second by number of clients",
        "One call is open on each connection: this library, blocking sockets with a thread for each client, "
        "and other libraries.",
        Axis("connections", COUNT),
        Axis("thousand calls a second", THOUSANDS),
        _series(curves),
        note,
    )


def _series(curves: Sequence[Curve]) -> list[Series]:
    return [
        Series(
            _NAMES.get(curve.contestant, curve.contestant),
            [(point.at, point.value.median) for point in curve.points],
            _ROLES.get(curve.contestant, Role.PEER),
        )
        for curve in curves
        if curve.points
    ]
