"""Owns a contestant's client in a process of its own: `python -m benchmarks.contest.client MODULE ADDRESS`.
Must not know what is measured. It prints the works that it can do, and does those that its input names,
one JSON line each way; an error ends it, and pair.py reports it."""

from __future__ import annotations

import json
import sys
import time

from benchmarks.contest import open_files
from benchmarks.contest.contestants import load
from benchmarks.contest.works import WORKS


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


def main() -> None:
    module, address = sys.argv[1:]
    open_files.raise_limit()
    client = load(module).Client(address)
    _say([work for work in WORKS if hasattr(client, work)])
    for line in sys.stdin:
        work, *arguments = json.loads(line)
        do = getattr(client, work)
        start = time.perf_counter_ns()
        do(*arguments)
        _say((time.perf_counter_ns() - start) / 1e9)


if __name__ == "__main__":
    main()
