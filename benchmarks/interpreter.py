"""Owns what a benchmark says of the machine and the interpreter that it runs on.
Must not know what is measured."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def environment(distributions: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, the kernel and the distributions that are installed."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "cpus": str(len(os.sched_getaffinity(0))),
        **{name: installed for name in distributions if (installed := _version(name))},
    }


def warning() -> str:
    """Return a warning if the interpreter was built without optimisation; empty if not."""
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        return ""
    return (
        "warning: this Python was built without --enable-optimizations; those of distributions are up "
        "to a fifth faster, and libraries in C gain less from it"
    )


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
