"""Owns a contestant's server in a process of its own: `python -m benchmarks.contest.server MODULE ADDRESS`.
Must not know what is measured. It prints a line when clients may connect."""

from __future__ import annotations

import sys

from benchmarks.contest import open_files
from benchmarks.contest.contestants import load


def _ready(*further_pids: int) -> None:
    print("ready", *further_pids, flush=True)


def main() -> None:
    module, address = sys.argv[1:]
    open_files.raise_limit()
    load(module).serve(address, _ready)


if __name__ == "__main__":
    main()
