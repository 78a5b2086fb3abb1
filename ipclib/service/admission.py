"""Owns the rule of which users' processes may be clients. Must not know sockets or connections."""

from __future__ import annotations

import os
from collections.abc import Collection


def admitted_uids(allowed: Collection[int] | None) -> frozenset[int]:
    """The uids whose processes may be clients: root and this user, unless others are given."""
    return frozenset({0, os.geteuid()} if allowed is None else allowed)
