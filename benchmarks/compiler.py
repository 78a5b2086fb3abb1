"""Owns the benchmark of a large interface: the times to compile it and to import its module elsewhere.
Must not know anything inside ipcc and ipclib. The import of ipclib itself is not counted.

    python -m benchmarks.compiler [--messages N] [--rounds N] [--json FILE]"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ipcc import compile_files

ROOT = Path(__file__).parent.parent

_SHAPES = (
    "(i32 a, i32 b) => (i32 sum)",
    "(String name, u64 size, bool is_folder) => (bool done)",
    "(Vector<String> names, Optional<i32> limit) => (HashMap<String, i32> found, bool more)",
    "(ByteBuffer data, u32 offset) => ()",
    "(String text, double when) =|",
    "(IPC::File file, ByteString path) => (IPC::File opened)",
)

_IMPORT = """
import sys, time
sys.path[:0] = [{root!r}, {folder!r}]
import ipclib.generated
start = time.perf_counter()
import large_ipc
print(time.perf_counter() - start)
"""


def interface(messages: int) -> str:
    """Return an interface of `messages` messages, in turn of the shapes that services have."""
    lines = [f"    message_{number}{_SHAPES[number % len(_SHAPES)]}" for number in range(messages)]
    return "\n".join(["endpoint LargeServer", "{", *lines, "}", ""])


def compile_seconds(path: Path) -> float:
    start = time.perf_counter()
    compile_files([str(path)])
    return time.perf_counter() - start


def import_seconds(folder: Path) -> float:
    script = _IMPORT.format(root=str(ROOT), folder=str(folder))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def measure(messages: int, rounds: int) -> dict[str, float]:
    """Return medians in milliseconds; the first import also writes the bytecode and counts apart."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "Large.ipc"
        source.write_text(interface(messages))
        (folder / "large_ipc.py").write_text(compile_files([str(source)]))
        first_import = import_seconds(folder)
        compiles = [compile_seconds(source) for _ in range(rounds)]
        imports = [import_seconds(folder) for _ in range(rounds)]
    return {
        "compile": 1000 * statistics.median(compiles),
        "first import": 1000 * first_import,
        "import": 1000 * statistics.median(imports),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the compiler on a large interface.")
    parser.add_argument("--messages", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    figures = measure(options.messages, options.rounds)
    print(f"{options.messages} messages, median of {options.rounds}")
    for what, milliseconds in figures.items():
        print(f"  {what:<13} {milliseconds:7.1f} ms")
    if options.json:
        options.json.write_text(json.dumps({"messages": options.messages, "milliseconds": figures}, indent=2))


if __name__ == "__main__":
    main()
