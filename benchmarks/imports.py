"""Owns the benchmark of imports: their times in a fresh interpreter, with and without bytecode, by module.
Must not know anything inside the packages. The interpreter's own start is not counted.

    python -m benchmarks.imports [--rounds N] [--modules N] [--json FILE]"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("corelib", "ipclib", "ipcc")

_IMPORT = """
import time
start = time.perf_counter()
import {name}
print(time.perf_counter() - start)
"""
_IMPORT_TIME = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")
"""A line of -X importtime: a module's own microseconds, those with its imports, and its name."""


def import_seconds(folder: Path, name: str) -> float:
    return float(_run(folder, "-c", _IMPORT.format(name=name)).stdout)


def module_seconds(folder: Path, name: str) -> dict[str, float]:
    """Return the own seconds of each module that the import loads and the interpreter had not loaded."""
    alone = _own_times(_run(folder, "-X", "importtime", "-c", "pass").stderr)
    brought = _own_times(_run(folder, "-X", "importtime", "-c", f"import {name}").stderr)
    return {module: seconds for module, seconds in brought.items() if module not in alone}


def _own_times(text: str) -> dict[str, float]:
    return {module: int(microseconds) / 1e6 for microseconds, module in _IMPORT_TIME.findall(text)}


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(folder)
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )


def _copy(package: str, folder: Path) -> None:
    shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))


def first_imports(rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each package without its bytecode."""
    samples: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name in PACKAGES:
            with tempfile.TemporaryDirectory() as folder:
                for package in PACKAGES:
                    _copy(package, Path(folder))
                samples[name].append(import_seconds(Path(folder), name))
    return _medians(samples)


def later_imports(folder: Path, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each package with its bytecode."""
    samples: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name in PACKAGES:
            samples[name].append(import_seconds(folder, name))
    return _medians(samples)


def costly_modules(folder: Path, name: str, rounds: int) -> dict[str, float]:
    """Return each module's own median milliseconds, the largest first.

    Measuring takes time itself, so their sum is more than the import takes."""
    samples: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for module, seconds in module_seconds(folder, name).items():
            samples[module].append(seconds)
    return dict(sorted(_medians(samples).items(), key=lambda entry: -entry[1]))


def _medians(samples: dict[str, list[float]]) -> dict[str, float]:
    return {name: 1000 * statistics.median(seconds) for name, seconds in samples.items()}


Figures = dict[str, dict[str, float]]


def measure(rounds: int) -> Figures:
    """Return milliseconds: each package's first and later imports, and each module of `import ipclib`."""
    first = first_imports(min(rounds, 3))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for package in PACKAGES:
            _copy(package, folder)
            import_seconds(folder, package)  # Writes the bytecode.
        later = later_imports(folder, rounds)
        modules = costly_modules(folder, "ipclib", rounds)
    return {"first": first, "later": later, "modules of ipclib": modules}


def show(figures: Figures, modules: int) -> None:
    print(f"{'milliseconds':<24}{'first':>10}{'later':>10}")
    for name in PACKAGES:
        print(f"{'import ' + name:<24}{figures['first'][name]:10.1f}{figures['later'][name]:10.1f}")
    print("\nmodules that `import ipclib` loads, each without its own imports")
    own = figures["modules of ipclib"]
    for name, milliseconds in list(own.items())[:modules]:
        print(f"  {name:<34}{milliseconds:10.1f}")
    rest = sum(list(own.values())[modules:])
    print(f"  {f'{max(len(own) - modules, 0)} others':<34}{rest:10.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how long imports take.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--modules", type=int, default=20, metavar="N", help="show the N that take longest")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    options = parser.parse_args()
    figures = measure(options.rounds)
    show(figures, options.modules)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
