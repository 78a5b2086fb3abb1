"""Owns NotCopied, by which an object refuses copy.copy(), copy.deepcopy() and pickle.
Must not know what the object owns.
"""

from __future__ import annotations

from typing import NoReturn, SupportsIndex


class NotCopied:
    """The base of objects that own what exists once: an fd, a callback in a loop, a place in a tree.

    A copy would be a second owner. It would close the fd a second time, when it may be another file's.
    Python's own files and sockets refuse in the same way. Other packages may use this base too."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be copied or pickled.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"{type(self).__name__} objects cannot be copied or pickled, as what they own would have two "
            "owners: share the object, or make another"
        )
