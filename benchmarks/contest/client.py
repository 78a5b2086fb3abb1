"""A contestant's client, in this process: python -m benchmarks.contest.client NAME ADDRESS

Says which works it can do, then does those that its standard input asks for, one JSON line each way. An
error ends it, for pair.py to report.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.contest import open_files
from benchmarks.contest.contestants import named
from benchmarks.contest.works import WORKS


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


def main() -> None:
    name, address = sys.argv[1:]
    open_files.raise_limit()
    client = named(name).load().Client(address)
    _say([work for work in WORKS if hasattr(client, work)])
    for line in sys.stdin:
        work, *arguments = json.loads(line)
        do = getattr(client, work)
        start = time.perf_counter_ns()
        do(*arguments)
        _say((time.perf_counter_ns() - start) / 1e9)


if __name__ == "__main__":
    main()
