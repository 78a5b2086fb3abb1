"""Owns how many processors a thread may use: its affinity, and the quotas of its process's control groups.
Must not know what they are used for.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator

_OWN_GROUPS = "/proc/self/cgroup"
_ALL_GROUPS = "/sys/fs/cgroup"


def usable() -> float:
    """The number of processors that the calling thread may use now; a fraction if a quota is one."""
    return min(len(os.sched_getaffinity(0)), _own_quota())


def least_quota(own_groups: str = _OWN_GROUPS, all_groups: str = _ALL_GROUPS) -> float:
    """The least quota, in processors, of the control groups in a file like /proc/self/cgroup.

    `all_groups` is the folder where all groups are mounted. Infinite if there is no limit."""
    groups = [line.split(":", 2) for line in _text(own_groups).splitlines()]
    folders = [
        folder for _, controllers, path in groups for folder in _folders(all_groups, controllers, path)
    ]
    return min(map(_quota, folders), default=math.inf)


@functools.cache
def _own_quota() -> float:
    return least_quota()


def _folders(all_groups: str, controllers: str, path: str) -> Iterator[str]:
    """The folders of a control group and of all groups around it, if it can limit processors (cgroups(7)).

    Version 2 of control groups names no controllers, version 1 has a tree for each. In a container the path
    may be the host's, so the root of the tree is always among the folders."""
    if controllers and "cpu" not in controllers.split(","):
        return
    tree = f"{all_groups}/cpu" if controllers else all_groups
    while path.strip("/"):
        yield tree + path
        path = os.path.dirname(path)
    yield tree


def _quota(folder: str) -> float:
    """The quota of a group in processors: `quota period` in a file, both in microseconds.

    In place of the quota the file has a word or -1 if there is no limit."""
    both = _text(f"{folder}/cpu.max") or (
        f"{_text(f'{folder}/cpu.cfs_quota_us')} {_text(f'{folder}/cpu.cfs_period_us')}"
    )
    quota, _, period = both.partition(" ")
    return int(quota) / int(period) if quota.isdigit() else math.inf


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
