"""Owns the limit of descriptors of a process: a connection takes one at either end.
Must not know connections."""

from __future__ import annotations

import resource


def raise_limit() -> int:
    """Raise the limit to the most that the system grants, and return it."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
