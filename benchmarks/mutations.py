"""Owns the search for damaged interfaces that crash the compiler, or hang it, instead of being refused.
Must not know anything inside the compiler. Seed and number determine a mutant.

    python -m benchmarks.mutations [--count N] [--seed N]"""

from __future__ import annotations

import argparse
import io
import random
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import FrameType

import attrs

from ipcc.compiler import compile_sources
from ipcc.diagnostics import CompileError
from ipcc.source import Source

ROOT = Path(__file__).parent.parent
FOLDERS = (str(ROOT / "tests" / "ipcc"),)
HANG_SECONDS = 2.0

_TOKEN = re.compile(rb"//[^\n]*|#[^\n]*|\w+|\s+|::|=>|=\||.", re.DOTALL)
_STRANGERS = (
    *(b"{", b"}", b"(", b")", b"<", b">", b"[", b"]", b",", b";", b":", b"::", b"=", b"=>", b"=|", b"->"),
    *(b"endpoint ", b"struct ", b"enum ", b'#include "', b"#include <a/b.py>\n", b"//", b"/// ", b"/*"),
    *(b"Vector<", b"Array<u8, 4>", b"Variant<", b"Optional<", b"i32", b"Empty", b"[File] ", b"_", b"class"),
    *(
        b"0",
        b"-1",
        b"0x",
        b"99999999999999999999",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xc3\xa9",
    ),
)

Units = list[bytes]


class Outcome(Enum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAILED = "failures"


@attrs.frozen
class Result:
    outcome: Outcome
    seconds: float
    trace: str = ""


class Hang(BaseException):
    """Raised in a compilation that takes too long; not an Exception, so that no handler catches it."""


# --- damage ---


def _delete(units: Units, dice: random.Random) -> None:
    at = dice.randrange(len(units))
    del units[at : at + dice.choice((1, 1, 1, 2, 5, 40))]


def _insert(units: Units, dice: random.Random) -> None:
    units.insert(dice.randrange(len(units) + 1), dice.choice((dice.choice(_STRANGERS), dice.choice(units))))


def _replace(units: Units, dice: random.Random) -> None:
    units[dice.randrange(len(units))] = dice.choice((dice.choice(_STRANGERS), dice.choice(units)))


def _duplicate(units: Units, dice: random.Random) -> None:
    at = dice.randrange(len(units))
    units[at:at] = units[at : at + dice.choice((1, 2, 10, 60))] * dice.choice((1, 1, 1, 1, 70))


def _swap(units: Units, dice: random.Random) -> None:
    one, other = dice.randrange(len(units)), dice.randrange(len(units))
    units[one], units[other] = units[other], units[one]


def _truncate(units: Units, dice: random.Random) -> None:
    del units[dice.randrange(len(units)) :]


_DAMAGE: tuple[Callable[[Units, random.Random], None], ...] = (
    *(_delete, _insert, _replace, _duplicate, _swap) * 3,
    _truncate,
)


def mutant(data: bytes, dice: random.Random) -> bytes:
    """Return the bytes after one to four kinds of damage, each to bytes or to tokens."""
    for _ in range(dice.choice((1, 1, 2, 4))):
        by_tokens = dice.random() < 0.7
        units = _TOKEN.findall(data) if by_tokens else [bytes((byte,)) for byte in data]
        if units:
            dice.choice(_DAMAGE)(units, dice)
        data = b"".join(units)
    return data


# --- trial ---


def trial(path: Path, data: bytes) -> Result:
    """Compile bytes as if they were the content of a file."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="surrogateescape").read()
    start = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    try:
        outcome, trace = _outcome(Source(str(path), text))
    except Hang:
        outcome, trace = Outcome.FAILED, f"hangs: not done after {HANG_SECONDS} s\n{traceback.format_exc()}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Result(outcome, time.perf_counter() - start, trace)


def _outcome(source: Source) -> tuple[Outcome, str]:
    try:
        compile(compile_sources([source], FOLDERS), source.name, "exec")
    except CompileError as error:
        return (Outcome.REFUSED, "") if error.diagnostics else (Outcome.FAILED, "refused without a reason\n")
    except Exception:
        return Outcome.FAILED, traceback.format_exc()
    return Outcome.ACCEPTED, ""


def _alarm(number: int, frame: FrameType | None) -> None:
    raise Hang


# --- the run ---


def interfaces() -> list[tuple[Path, bytes]]:
    """Return the interface files of tests and demos that compile undamaged."""
    paths = [path for name in ("tests", "demos") for path in sorted((ROOT / name).rglob("*.ipc"))]
    files = [(path, path.read_bytes()) for path in paths]
    return [(path, data) for path, data in files if trial(path, data).outcome is Outcome.ACCEPTED]


def run(count: int, seed: int) -> dict[Outcome, int]:
    """Try `count` mutants, print the failures and a summary, and return the number of each outcome."""
    files = interfaces()
    counts = dict.fromkeys(Outcome, 0)
    slowest = 0.0
    start = time.perf_counter()
    for number in range(count):
        dice = random.Random(f"{seed}:{number}")
        path, data = dice.choice(files)
        damaged = mutant(data, dice)
        result = trial(path, damaged)
        counts[result.outcome] += 1
        slowest = max(slowest, result.seconds)
        if result.outcome is Outcome.FAILED:
            print(
                f"--- seed {seed}, mutant {number} of {path.name}:\n{damaged!r}\n{result.trace}", flush=True
            )
    print(f"{count} mutants of {len(files)} interfaces, seed {seed}, {time.perf_counter() - start:.0f} s")
    for outcome, times in counts.items():
        print(f"  {outcome.value:<9} {times:8}")
    print(f"  slowest   {1000 * slowest:8.1f} ms", flush=True)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description="Try the compiler on damaged interfaces.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, _alarm)
    return 1 if run(options.count, options.seed)[Outcome.FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
