"""How many descriptors a process may have: a connection takes one at either end."""

from __future__ import annotations

import resource


def raise_limit() -> int:
    """To the most that the system grants, which is returned."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
