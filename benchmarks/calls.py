"""Owns the benchmark of calls between processes: its works, and tables beside the floor and other libraries.
Must not know how contestants are run and measured: contest/ owns that.

    python -m benchmarks.calls [--rounds N] [--only NAME]... [--against PYTHON] [--quick] [--curves]"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import attrs

from benchmarks import interpreter, pictures
from benchmarks.contest import open_files
from benchmarks.contest.contestants import CONTESTANTS, Contestant, named
from benchmarks.contest.figures import (
    Comparison,
    Curve,
    Figure,
    Pace,
    Report,
    Samples,
    Work,
    compare,
    figures_of,
)
from benchmarks.contest.other_installation import NAME as OTHER
from benchmarks.contest.other_installation import other_installation
from benchmarks.contest.rounds import clients_curves, contest, measure, payload_curves

ADD = Work("add(i32, i32)", "adds")
HAND_OVER = Work("hand-over of 64 MiB", "hand_overs", 64 * 1024 * 1024)
WORKS = (
    ADD,
    Work("echo of 1,024 characters", "echoes", 1024),
    Work("echo of 1 MiB of bytes", "echoes_bytes", 1024 * 1024, "MB/s"),
    Work("one-way, 32 characters", "posts", 32, "thousand/s"),
    HAND_OVER,
)
PAYLOADS = tuple(4**power for power in range(2, 13))
CLIENTS = (1, 10, 100, 500, 1000, 2000)
_FEW_PAYLOADS = (4 << 10, 16 << 10, 64 << 10, 128 << 10)
_FEW_CLIENTS = (10, 100, 1000)

_BYTES_ONLY = {"multiprocessing, bytes"}
"""Variants that are compared by payload size alone."""
_PEERS = {one.name for one in CONTESTANTS if not one.variant_of} - {"floor", "bare epoll", "ours"}
_DISTRIBUTIONS = ("attrs", "uvloop", "pyzmq", "msgpack", "rpyc", "Pyro5", "grpcio", "protobuf", "dbus-fast")


def run(
    contestants: Sequence[Contestant],
    pace: Pace,
    works: Sequence[Work] = WORKS,
    payloads: Sequence[int] = (),
    clients: Sequence[int] = (),
) -> Report:
    """Run the contest, and the curves over `payloads` and `clients` in a third of the rounds."""
    present = [contestant for contestant in contestants if not contestant.missing]
    with contest(present, pace) as held:
        samples = measure(held, works, _show_progress)
        failures = held.failures
    report = Report(
        environment=interpreter.environment(_DISTRIBUTIONS),
        pace=pace,
        figures=figures_of(samples),
        samples=samples,
        comparisons=_comparisons(samples),
        skipped={one.name: f"needs {', '.join(one.missing)}" for one in contestants if one.missing},
        failures=failures,
    )
    peers = [one for one in present if one.variant_of is None or one.name == OTHER or one.name in _BYTES_ONLY]
    fewer = attrs.evolve(pace, rounds=max(1, pace.rounds // 3))
    if payloads:
        report.payload_curves = payload_curve(peers, payloads, fewer, report.failures)
    if clients:
        report.clients_curves = clients_curve(peers, clients, fewer, report.failures)
    return report


def payload_curve(
    contestants: Sequence[Contestant],
    sizes: Sequence[int],
    pace: Pace,
    failures: list[str],
) -> list[Curve]:
    """Measure the seconds of an echo of each size in bytes; append failures to `failures`."""
    with contest(contestants, pace) as held:
        curves = payload_curves(held, sizes, _show_progress)
        failures += held.failures
    return curves


def clients_curve(
    contestants: Sequence[Contestant],
    counts: Sequence[int],
    pace: Pace,
    failures: list[str],
) -> list[Curve]:
    """Measure the calls a second with each number of connections; append failures to `failures`."""
    with contest(contestants, pace) as held:
        curves = clients_curves(held, counts, _show_progress)
        failures += held.failures
    return curves


def show(report: Report) -> None:
    """Print the tables."""
    print(", ".join(f"{name} {text}" for name, text in report.environment.items()))
    print(interpreter.warning())
    for work, figures in groupby(report.figures, key=lambda figure: figure.work):
        _show_work(work, sorted(figures, key=lambda figure: _place(figure.contestant)))
    for comparison in report.comparisons:
        print(f"{comparison.what:84} {comparison.ratio:6.2f} {comparison.seconds * 1e6:12,.1f} us")
    _show_curves("echo by number of bytes, us", report.payload_curves, 1e6)
    _show_ratios("ours: of the time of", report.payload_curves)
    _show_curves("thousand calls a second by number of connections", report.clients_curves, 1e-3)
    _show_ratios("ours: times the rate of", report.clients_curves)
    for name, why in report.skipped.items():
        print(f"left out: {name} ({why})")


def _show_work(work: Work, figures: Sequence[Figure]) -> None:
    compared = "times the floor's" if work.is_rate else "of the floor's time"
    print(
        f"{work.title:28}{work.unit:>12}{'quartiles':>22}{compared:>22}{'CPU us for one':>18}"
        f"{'on one CPU':>12}"
    )
    for figure in figures:
        low, high = sorted((work.in_unit(figure.seconds.low), work.in_unit(figure.seconds.high)))
        print(
            f"  {figure.contestant:26}{work.in_unit(figure.seconds.median):12,.1f}"
            f"{f'{low:,.1f} - {high:,.1f}':>22}{_ratio(figure):>22}{figure.cpu_seconds * 1e6:18,.1f}"
            f"{figure.on_one_processor:12.0%}"
        )
    print()


def _ratio(figure: Figure) -> str:
    if figure.ratio is None:
        return "-"
    return f"{1 / figure.ratio if figure.work.is_rate else figure.ratio:.2f}"


def _place(name: str) -> tuple[int, bool]:
    """Order figures as CONTESTANTS, with the other installation after ours."""
    return CONTESTANTS.index(named("ours" if name == OTHER else name)), name == OTHER


def _show_curves(title: str, curves: Sequence[Curve], scale: float) -> None:
    if not curves:
        return
    places = sorted({point.at for curve in curves for point in curve.points})
    print(f"\n{title}\n{'':26}" + "".join(f"{place:>12,}" for place in places))
    for curve in curves:
        values = {point.at: f"{point.value.median * scale:,.1f}" for point in curve.points}
        print(f"  {curve.contestant:24}" + "".join(f"{values.get(place, '-'):>12}" for place in places))


def _show_ratios(title: str, curves: Sequence[Curve]) -> None:
    ours = next((curve for curve in curves if curve.contestant == "ours"), None)
    if ours is None or len(curves) == 1:
        return
    places = [point.at for point in ours.points]
    print(f"{title:26}" + "".join(f"{place:>12,}" for place in places))
    for curve in curves:
        if curve is not ours:
            ratios = ours.ratios_to(curve)
            cells = [f"{ratios[place]:.2f}" if place in ratios else "-" for place in places]
            print(f"  {curve.contestant:24}" + "".join(f"{cell:>12}" for cell in cells))


def _comparisons(samples: Sequence[Samples]) -> list[Comparison]:
    """Return the ratios that are not to the floor: of two contestants at one work, or of two works."""
    found = {(one.work, one.contestant): one for one in samples}
    comparisons = [
        *compare(
            "add, ours with no polling: of bare epoll's time",
            found.get((ADD, "ours, no polling")),
            found.get((ADD, "bare epoll")),
        ),
        *compare(
            "add, each process on a CPU of its own (no polling): of bare epoll's time",
            found.get((ADD, "ours, two CPUs")),
            found.get((ADD, "bare epoll, two CPUs")),
        ),
        *compare(
            "add, both processes on one CPU (no polling): of bare epoll's time",
            found.get((ADD, "ours, one CPU")),
            found.get((ADD, "bare epoll, one CPU")),
        ),
        *compare(
            "hand-over of 64 MiB, ours: of our add's time",
            found.get((HAND_OVER, "ours")),
            found.get((ADD, "ours")),
        ),
    ]
    for work in dict.fromkeys(one.work for one in samples):
        peers = [one for one in samples if one.work == work and one.contestant in _PEERS]
        if peers:
            quickest = min(peers, key=lambda one: statistics.median(one.wall))
            comparisons += compare(
                f"{work.title}, ours: of the time of the quickest peer, {quickest.contestant}",
                found.get((work, "ours")),
                quickest,
            )
        comparisons += compare(
            f"{work.title}, ours: of the time of the other installation",
            found.get((work, "ours")),
            found.get((work, OTHER)),
        )
    return comparisons


def _show_progress(progress: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)


def main() -> int:
    names = [contestant.name for contestant in CONTESTANTS]
    parser = argparse.ArgumentParser(
        description="Compare the cost of calls: this library, blocking sockets, others."
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument(
        "--against", metavar="PYTHON", help="also run this library as that interpreter's environment has it"
    )
    parser.add_argument("--quick", action="store_true", help="three short rounds, to see that it works")
    parser.add_argument("--warm-up", type=float, default=0.1, help="uncounted seconds before each batch")
    parser.add_argument(
        "--curves", action="store_true", help="measure more payload sizes and numbers of clients"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    parser.add_argument("--graphs", type=Path, metavar="FOLDER", help="draw the curves in FOLDER")
    arguments = parser.parse_args()
    open_files.raise_limit()
    signal.signal(signal.SIGTERM, lambda _signo, _frame: sys.exit(1))  # So that the contestants end, too.
    contestants = [one for one in CONTESTANTS if one.name in (arguments.only or names)]
    with tempfile.TemporaryDirectory(prefix="contest-") as folder:
        if arguments.against:
            contestants.append(other_installation(arguments.against, Path(folder)))
        report = run(
            contestants,
            Pace(
                rounds=3 if arguments.quick else arguments.rounds,
                batch=0.02 if arguments.quick else 0.1,
                warm_up=arguments.warm_up,
            ),
            payloads=PAYLOADS if arguments.curves else _FEW_PAYLOADS,
            clients=CLIENTS if arguments.curves else _FEW_CLIENTS,
        )
    _show_progress("")
    show(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    if arguments.graphs:
        pictures.draw(report, arguments.graphs)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
