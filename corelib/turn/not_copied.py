"""Owns NotCopied: that an object which owns something refuses copy.copy, copy.deepcopy and pickle.
Must not know what is owned.
"""

from __future__ import annotations

from typing import NoReturn, SupportsIndex


class NotCopied:
    """The base of what owns an fd, a callback in a loop or a place in a tree.

    A copy would be a second owner, and close the fd a second time, when it may be another file's. Python's
    own files and sockets refuse in the same way."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"a {type(self).__name__} can be neither copied nor pickled, because it would have two owners: "
            "share this one, or make another"
        )
