"""Owns `python -m tests.abuse [--quick] [--only TEXT]... [--list]`: attacks, and a table of their outcomes.
Must not know how an attack works. Exit code 0: each ended as it must, memory grew by at most 16 MiB, and the
canary lost no call and waited at most 250 ms (2,000 where the largest messages are served)."""

from __future__ import annotations

import argparse
import logging
import sys

from tests.abuse.attack import Result, carry_out
from tests.abuse.attacks import ATTACKS
from tests.abuse.stage import Failed

_HEAD = (
    f"{'attack':40} {'tries':>6}  {'canary: calls':>13} {'lost':>4} {'worst':>7}  {'fds':>9}  "
    f"{'growth':>8} {'peak':>8}  {'time':>6}  outcome"
)


def _row(result: Result) -> str:
    return (
        f"{result.name:40} {result.tries:6}  {result.canary_calls:13} {result.canary_lost:4} "
        f"{result.worst_ms:4.0f} ms  {result.fds_before:4}/{result.fds_after:4}  "
        f"{result.growth / 2**20:4.1f} MiB {result.peak / 2**20:4.0f} MiB  {result.seconds:4.0f} s  "
        f"{'' if result.is_within else 'OVER: '}{result.outcome}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.abuse", description="Attack a service in many ways, and show what came of it."
    )
    parser.add_argument("--quick", action="store_true", help="run the short forms, as the tests do")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="run the attacks with TEXT in their name"
    )
    parser.add_argument("--list", action="store_true", help="print the attacks' names and exit")
    options = parser.parse_args()
    chosen = [
        attack
        for name, attack in ATTACKS.items()
        if not options.only or any(text in name for text in options.only)
    ]
    if options.list:
        print("\n".join(attack.name for attack in chosen))
        return 0
    # The library logs each bad server in this very process, in the middle of the table.
    logging.getLogger("ipclib").setLevel(logging.CRITICAL)
    all_well = True
    print(_HEAD)
    for attack in chosen:
        try:
            result = carry_out(attack, options.quick)
        except (Failed, TimeoutError) as error:
            all_well = False
            print(f"{attack.name:40} FAILED: {type(error).__name__}: {error}", flush=True)
            continue
        all_well = all_well and result.is_within
        print(_row(result), flush=True)
    return 0 if all_well else 1


if __name__ == "__main__":
    sys.exit(main())
