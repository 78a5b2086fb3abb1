"""A contestant's server, in this process: python -m benchmarks.contest.server NAME ADDRESS

Says on its standard output when clients may connect.
"""

from __future__ import annotations

import sys

from benchmarks.contest import open_files
from benchmarks.contest.contestants import named


def _ready(*further_pids: int) -> None:
    print("ready", *further_pids, flush=True)


def main() -> None:
    name, address = sys.argv[1:]
    open_files.raise_limit()
    named(name).load().serve(address, _ready)


if __name__ == "__main__":
    main()
