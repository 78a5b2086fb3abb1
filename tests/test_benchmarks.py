"""Owns the tests of the contest of calls: two contestants do each work, and the report has every figure.
Must not know how fast anything is."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from benchmarks import calls, values
from benchmarks.contest import pair
from benchmarks.contest.contestants import Contestant, named
from benchmarks.contest.figures import Comparison, Pace, Samples, Work, compare, figures_of
from benchmarks.contest.frames import ADD, ECHO, Frames, add_frame, frame
from benchmarks.contest.other_installation import other_installation
from ipcc import compile_files

CONTEST = Path(calls.__file__).parent / "contest"
TINY_PACE = Pace(rounds=1, batch=0.001, warm_up=0.0)
TINY = (
    ("adds", 3),
    ("echoes", 3, 1024),
    ("echoes_bytes", 2, 1024 * 1024),
    ("posts", 2500, 32),
    ("connect", 3),
    ("adds_of_all", 2),
)


@pytest.mark.parametrize(
    ("name", "works"),
    [
        pytest.param("floor", TINY, marks=pytest.mark.slow),
        ("ours", (*TINY, ("hand_overs", 2, 1 << 26))),
    ],
)
def test_a_contestant_does_each_work(name: str, works: tuple[tuple[str, int]]) -> None:
    with pair.Pair(named(name)) as both:
        assert both.works == {work for work, *_arguments in works}
        for work, *arguments in works:
            cost = both.run(work, *arguments)
            assert cost.wall > 0
            assert cost.cpu > 0


@pytest.mark.slow
def test_the_report_has_every_figure() -> None:
    two = [named("floor"), named("ours"), Contestant("absent", "absent", modules_needed=("no.such_module",))]
    report = calls.run(two, TINY_PACE, payloads=(16,), clients=(2,))
    assert {(one.work.method, one.contestant) for one in report.figures} == {
        (work.method, name)
        for work in calls.WORKS
        for name in ("floor", "ours")
        if (work.method, name) != ("hand_overs", "floor")
    }
    ours = next(one for one in report.figures if one.work == calls.ADD and one.contestant == "ours")
    floor = next(one for one in report.figures if one.work == calls.ADD and one.contestant == "floor")
    assert ours.ratio == pytest.approx(ours.seconds.median / floor.seconds.median)
    assert report.skipped == {"absent": "needs no.such_module"}
    assert not report.failures
    for curves, place in ((report.payload_curves, 16), (report.clients_curves, 2)):
        assert sorted((curve.contestant, curve.points[0].at) for curve in curves) == [
            ("floor", place),
            ("ours", place),
        ]
    assert json.loads(json.dumps(report.as_json()))["pace"]["rounds"] == 1


@pytest.mark.slow
def test_a_contestant_that_fails_is_reported_and_the_others_go_on() -> None:
    broken = Contestant("broken", "frames")  # A module that is not a contestant.
    report = calls.run([broken, named("floor")], TINY_PACE, works=(calls.ADD,))
    assert [one.contestant for one in report.figures] == ["floor"]
    [failure] = report.failures
    assert failure.startswith("broken: it ended")
    assert "Traceback" in failure


def test_a_server_that_ends_is_noticed() -> None:
    with pair.Pair(named("bare epoll")) as both:
        os.kill(both.pids[0], signal.SIGKILL)
        with pytest.raises(pair.ContestantFailed, match=r"bare epoll: .* ended"):
            both.run("adds", 1)


def test_a_closed_pair_leaves_neither_folder_nor_processes() -> None:
    both = pair.Pair(named("floor"))
    folder = Path(both.address).parent
    both.close()
    assert not folder.exists()
    for pid in both.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_frames_are_found_wherever_the_stream_is_cut() -> None:
    stream = add_frame(1, 2) + frame(ECHO, b"text") + frame(ECHO)
    whole = [(ADD, b"\1\0\0\0\2\0\0\0"), (ECHO, b"text"), (ECHO, b"")]
    for size in range(1, len(stream) + 1):
        frames = Frames()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [one for piece in pieces for one in frames.cut(piece)] == whole


def test_ratios_are_of_times_in_the_same_round() -> None:
    work = Work("work", "adds")
    floor = Samples(work, "floor", "floor", wall=[1.0, 2.0, 4.0], cpu=[1.0, 1.0, 1.0])
    ours = Samples(work, "ours", "floor", wall=[0.5, 0.5, 3.0], cpu=[2.0, 4.0, 3.0])
    [_floor, figure] = figures_of([floor, ours])
    assert figure.ratio == 0.5
    assert figure.cpu_seconds == 3.0
    assert (figure.seconds.low, figure.seconds.median, figure.seconds.high) == (0.5, 0.5, 1.75)
    assert compare("both", ours, floor) == [Comparison("both", 0.5, 0.5)]
    assert compare("one", ours, None) == []


def test_the_generated_module_of_the_contest_is_current() -> None:
    assert compile_files([str(CONTEST / "Bench.ipc")]) == (CONTEST / "bench_ipc.py").read_text()


def test_each_library_decodes_what_it_encoded() -> None:
    rows = values.measure(rounds=2, count=20)
    assert [row.value for row in rows] == list(values.values(1))
    for row in rows:
        assert all(len(times) == 2 for times in (*row.encode.values(), *row.decode.values()))
        assert row.ratio("pickle") > 0


@pytest.mark.slow
def test_another_installation_takes_part(tmp_path: Path) -> None:
    other = other_installation(sys.executable, tmp_path)
    report = calls.run([named("floor"), named("ours"), other], TINY_PACE, works=(calls.ADD,), payloads=(16,))
    assert [one.contestant for one in report.figures] == ["floor", "ours", other.name]
    assert "add(i32, i32), ours: of the time of the other installation" in [
        one.what for one in report.comparisons
    ]
    ours, theirs = (
        next(curve for curve in report.payload_curves if curve.contestant == name)
        for name in ("ours", other.name)
    )
    assert list(ours.ratios_to(theirs)) == [16]
