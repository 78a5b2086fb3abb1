"""Owns the run of all benchmarks: their tables, and one JSON file with all figures.
Must not know how anything is measured. Each runs by itself, too: `python -m benchmarks.calls` and so on.

    python -m benchmarks [--quick] [--json FILE] [--graphs FOLDER]"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import attrs

from benchmarks import calls, compiler, event_loop, growth, idle, imports, pictures, polling, values
from benchmarks.contest import open_files
from benchmarks.contest.contestants import CONTESTANTS
from benchmarks.contest.figures import Pace

_MESSAGES = 150
_IDLE_CLIENTS = 1000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run every benchmark in turn.")
    parser.add_argument("--quick", action="store_true", help="few short rounds, to see that everything works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    parser.add_argument("--graphs", type=Path, metavar="FOLDER", help="draw the curves in FOLDER")
    options = parser.parse_args()
    open_files.raise_limit()
    rounds = 3 if options.quick else 15
    pace = Pace(rounds=rounds, batch=0.02 if options.quick else 0.1, warm_up=0.1)
    report = calls.run(CONTESTANTS, pace, payloads=calls.PAYLOADS, clients=calls.CLIENTS)
    calls.show(report)
    if options.graphs:
        pictures.draw(report, options.graphs)
    figures: dict[str, Any] = {"calls": report.as_json()} | _others(rounds, 1.0 if options.quick else 5.0)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if report.failures else 0


def _others(rounds: int, seconds: float) -> dict[str, Any]:
    _title("busy polling")
    polled = polling.measure(seconds)
    polling.show(polled)
    _title("the loop")
    loops = event_loop.measure(rounds)
    event_loop.show(loops)
    _title("idle clients")
    idlers = idle.measure(_IDLE_CLIENTS, 2 * rounds + 1)
    idle.show(idlers)
    _title("as work grows")
    grown = growth.measure(rounds)
    growth.show(grown)
    _title(f"an interface of {_MESSAGES} messages, ms")
    compiled = compiler.measure(_MESSAGES, rounds)
    for what, milliseconds in compiled.items():
        print(f"  {what:<13} {milliseconds:7.1f}")
    _title("values")
    encoded = values.measure(rounds, 10_000)
    values.show(encoded)
    _title("imports")
    imported = imports.measure(rounds)
    imports.show(imported, 5)
    return {
        "polling": [attrs.asdict(one) for one in polled],
        "event loop": loops,
        "idle": attrs.asdict(idlers),
        "growth": grown,
        "compiler": compiled,
        "values": [attrs.asdict(row) for row in encoded],
        "imports": imported,
    }


def _title(text: str) -> None:
    print(f"\n--- {text} ---\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
