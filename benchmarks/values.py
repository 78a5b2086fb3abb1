"""Owns the benchmark of values: containers that are encoded and decoded, beside pickle and msgpack.
Must not know processes and sockets: `benchmarks.calls` measures those.

    python -m benchmarks.values [--rounds N] [--elements N] [--json FILE]"""

from __future__ import annotations

import argparse
import importlib.util
import json
import pickle
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from benchmarks import interpreter, values_ipc
from ipclib import Limits
from ipclib.values.decoding import Decoding

PICKLE_PROTOCOL = 5
_LIMITS = Limits()
_BATCH = 0.02
"""Approximate seconds of a batch."""


@attrs.frozen
class Way:
    """A library's way to encode and decode one value."""

    encode: Callable[[], Any]
    decode: Callable[[], Any]


@attrs.define
class Row:
    """The seconds that each library took for one value, in each round."""

    value: str
    encode: dict[str, list[float]] = attrs.field(factory=dict)
    decode: dict[str, list[float]] = attrs.field(factory=dict)

    def ratio(self, other: str) -> float:
        """Return the median ratio of our time for both to the other's in the same round."""
        both = [
            [one + two for one, two in zip(self.encode[name], self.decode[name], strict=True)]
            for name in ("ours", other)
        ]
        return float(statistics.median(mine / theirs for mine, theirs in zip(*both, strict=True)))


def values(count: int) -> dict[str, tuple[Any, Any, type | None]]:
    """Return values of `count` elements by name: the message, the value, and the class of its structs."""
    server = values_ipc.ValuesServer
    return {
        "Vector<i32>": (server.Numbers, list(range(count)), None),
        "Vector<double>": (server.Doubles, [number * 0.5 for number in range(count)], None),
        "Vector of structs of numbers": (
            server.Points,
            [values_ipc.Point(number, -number, 7) for number in range(count)],
            values_ipc.Point,
        ),
        "Vector of mixed structs": (
            server.Items,
            [
                values_ipc.Item(number, f"item {number}", number * 0.5, number % 2 == 0)
                for number in range(count)
            ],
            values_ipc.Item,
        ),
        "Vector<String>": (server.Names, [f"name {number}" for number in range(count)], None),
        "HashMap<String, i32>": (
            server.NumbersByName,
            {f"name {number}": number for number in range(count)},
            None,
        ),
        "HashMap<i32, i32>": (server.NumbersByNumber, {number: -number for number in range(count)}, None),
    }


def _ours(message: Any, value: Any) -> Way:
    described = message.__ipc__
    data = described.encode([], value)

    def decode() -> Any:
        decoding = Decoding()
        decoding.end, decoding.elements = len(data), _LIMITS.max_elements
        return described.decode(data, 0, decoding)[0][0]

    return Way(partial(described.encode, [], value), decode)


def _pickled(value: Any) -> Way:
    data = pickle.dumps(value, PICKLE_PROTOCOL)
    return Way(partial(pickle.dumps, value, PICKLE_PROTOCOL), partial(pickle.loads, data))


def _packed(value: Any, struct: type | None) -> Way:
    """msgpack has no structs: it is given their fields, and its lists become structs again."""
    import msgpack

    unpack = partial(msgpack.unpackb, strict_map_key=False)
    if struct is None:
        return Way(partial(msgpack.packb, value), partial(unpack, msgpack.packb(value)))

    def encode() -> Any:
        return msgpack.packb([attrs.astuple(one, recurse=False) for one in value])

    data = encode()
    return Way(encode, lambda: [struct(*fields) for fields in unpack(data)])


def measure(rounds: int, count: int) -> list[Row]:
    """Measure each value with each library in interleaved rounds; each must decode to what was encoded."""
    rows = []
    for name, (message, value, struct) in values(count).items():
        ways = {"ours": _ours(message, value), "pickle": _pickled(value)}
        if importlib.util.find_spec("msgpack"):
            ways["msgpack"] = _packed(value, struct)
        for library, way in ways.items():
            assert way.decode() == value, f"{library} changes a {name}"
        row = Row(name)
        times = max(1, round(_BATCH / _seconds(ways["ours"].encode, 1)))
        for _ in range(rounds):
            for library, way in ways.items():
                row.encode.setdefault(library, []).append(_seconds(way.encode, times))
                row.decode.setdefault(library, []).append(_seconds(way.decode, times))
        rows.append(row)
    return rows


def _seconds(run: Callable[[], Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def show(rows: list[Row]) -> None:
    """Print the table."""
    libraries = list(rows[0].encode)
    print(
        f"{'encode / decode, us':30}"
        + "".join(f"{name:>20}" for name in libraries)
        + "".join(f"{'both, of ' + name:>17}" for name in libraries[1:])
    )
    for row in rows:
        medians = [
            [statistics.median(times[name]) * 1e6 for times in (row.encode, row.decode)] for name in libraries
        ]
        cells = [f"{encode:,.0f} / {decode:,.0f}" for encode, decode in medians]
        ratios = [f"{row.ratio(name):.2f}" for name in libraries[1:]]
        print(
            f"  {row.value:28}"
            + "".join(f"{cell:>20}" for cell in cells)
            + "".join(f"{ratio:>17}" for ratio in ratios)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Encode and decode containers, beside pickle and msgpack.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--elements", type=int, default=10_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    options = parser.parse_args()
    print(interpreter.warning())
    rows = measure(options.rounds, options.elements)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([attrs.asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
