"""Owns what the codecs of one message share: Decoding while it is decoded, Outgoing while it is encoded.
Must not know frames, sockets, or where descriptors come from.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, TypeAlias

from ipclib.errors import ProtocolViolation
from ipclib.values.file import File

Files: TypeAlias = list[File]
Buffer: TypeAlias = bytes | memoryview
"""The bytes that values are decoded from."""

MAX_NUMBERS = 4 * 1024 * 1024
"""The default of Limits.max_numbers."""
MAX_COPIED = 64 * 1024 * 1024
"""The default of Limits.max_copied_memory."""
MAX_WORK = 400_000_000
"""Nanoseconds that one message may cost beyond its bytes and elements: for colliding keys of maps, and for
the escapes and long integers of JSON."""

MOST_PER_BYTE = 16
"""How often an element counts at most, for each byte that it takes."""

_VALUES_PER_ELEMENT = 4
_COPIED_FOR_TEXTS = 1024 * 1024
"""Bytes. Texts are decoded a third faster from bytes than from a view, but a larger frame is not copied."""
_U32 = Struct("=I")


class Unrepresentable(ProtocolViolation):
    """A value that an honest peer may send, but that this process cannot hold.

    Its message is refused, and the connection stays.
    """


def is_unrepresentable(error: BaseException) -> bool:
    """Whether an error of decode() is no violation: Unrepresentable, or a text of encoded surrogates.

    LibIPC takes such texts. No str should hold them, because it could not be encoded again.
    """
    if not isinstance(error, UnicodeDecodeError):
        return isinstance(error, Unrepresentable)
    try:
        error.object.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def weight(values: int, smallest: int) -> int:
    """How often an element counts that is made of so many values, in at least `smallest` bytes.

    A value takes up to 0.3 us to decode, so a limit on elements limits time, whatever the elements are.
    """
    return max(1, min(-(-values // _VALUES_PER_ELEMENT), MOST_PER_BYTE * smallest))


class Outgoing(Files):
    """The Files of one message while it is encoded, and what the message will cost its receiver.

    A codec that is given a list instead encodes the same bytes and counts nothing.
    """

    __slots__ = ("copied", "elements", "has_empty_memory", "numbers", "work")

    def __init__(self) -> None:  # Without list's, which has nothing to do, and is a call.
        self.elements = 0
        """Elements of its containers, as Decoding.spend() counts them."""
        self.numbers = 0
        """Fixed-width numbers of its containers."""
        self.work = 0
        """Nanoseconds that Decoding.spend_work() will subtract."""
        self.copied = 0
        """Bytes of shared memory that its receiver has to copy."""
        self.has_empty_memory = False
        """Whether it has shared memory of 0 bytes, which silences the connection of LibIPC."""


def _decoded(view: Buffer) -> str:
    return str(view, "utf-8")


class Decoding:
    """The limits of one message while it is decoded, and the Files that came with it.

    A connection uses one Decoding for all its messages, and sets `end`, `elements`, `numbers`, `work` and
    `files` before each: that takes 70 ns, and a method that did so would take 130.
    """

    __slots__ = (
        "_copy",
        "_taken",
        "_viewed",
        "copied",
        "depth",
        "elements",
        "end",
        "files",
        "maps_unsealed",
        "max_copied",
        "numbers",
        "work",
    )

    def __init__(self, max_copied: int = MAX_COPIED, *, maps_unsealed: bool = False) -> None:
        self.end = 0
        """The offset of the payload's end."""
        self.elements = 0
        """Elements that the message's containers may still have."""
        self.numbers = MAX_NUMBERS
        """Fixed-width numbers that the message's containers may still have."""
        self.work = MAX_WORK
        """Nanoseconds that the message may still cost beyond its bytes and elements."""
        self.depth = 0
        """How many structs that contain themselves surround the value that is being decoded."""
        self.maps_unsealed = maps_unsealed
        """Whether shared memory that cannot be sealed is mapped, instead of copied."""
        self.max_copied = max_copied
        self.copied = 0
        """Bytes of shared memory that had to be copied; at most `max_copied`."""
        self.files: Files = []
        """The Files that came with the message, in the order of its parameters."""
        self._taken = 0
        """How many of the Files parameters have taken."""
        self._viewed: Buffer = b""
        """The view whose bytes texts() has copied."""
        self._copy = b""

    def take_file(self) -> File:
        """Take the next File for a parameter.

        Raises:
            ProtocolViolation: fewer came than the message needs.
        """
        if self._taken == len(self.files):
            raise ProtocolViolation("fewer descriptors came than the message needs")
        file = self.files[self._taken]
        self._taken += 1
        return file

    def check_files(self) -> None:
        """Check that every File was taken, and prepare for the next message.

        Raises:
            ProtocolViolation: more came than the message needs.
        """
        left = len(self.files) - self._taken
        self._taken = self.copied = 0
        if self._viewed:
            self._viewed = self._copy = b""
        if left:
            raise ProtocolViolation(f"{left} descriptors that no message takes")

    def count(self, data: Buffer, at: int, smallest: int, each: int = 1) -> int:
        """Read an element count at an offset, where each element takes at least `smallest` bytes.

        Each element is subtracted `each` times from those that the message may still have.

        Raises:
            ProtocolViolation: so many elements cannot follow, or are more than the message may have.
        """
        (count,) = _U32.unpack_from(data, at)
        available = (self.end - at - 4) // smallest if smallest else len(self.files) - self._taken
        if count > available:
            raise ProtocolViolation(f"a count of {count} where at most {available} elements can follow")
        self.spend(count * each)
        return int(count)

    def texts(self, data: Buffer, at: int) -> tuple[Buffer, Callable[[Any], str]]:
        """Return the bytes to decode texts from, at an offset and after it, and what decodes a slice of them.

        The bytes of a view are copied once for a message, unless that would take longer than to decode it:
        a view may hold many messages.
        """
        if type(data) is bytes:
            return data, bytes.decode
        if data is not self._viewed:
            if self.end > _COPIED_FOR_TEXTS or self.end > 2 * (self.end - at):
                return data, _decoded
            self._viewed, self._copy = data, bytes(data[: self.end])
        return self._copy, bytes.decode

    def cut_off(self, length: int, at: int) -> ProtocolViolation:
        """Make the error for a text or byte string that would end after the payload."""
        return ProtocolViolation(f"a length of {length} bytes where {self.end - at} follow")

    def spend(self, elements: int) -> None:
        """Subtract elements from those that the message may still have.

        Raises:
            ProtocolViolation: the message may not have so many.
        """
        self.elements -= elements
        if self.elements < 0:
            raise ProtocolViolation("more elements than max_elements allows")

    def spend_numbers(self, count: int) -> None:
        """Subtract fixed-width numbers from those that the message may still have.

        Raises:
            ProtocolViolation: the message may not have so many.
        """
        self.numbers -= count
        if self.numbers < 0:
            raise ProtocolViolation("more numbers than max_numbers allows")

    def spend_work(self, nanoseconds: int, what: str) -> None:
        """Subtract the cost of something that a peer can make slower than its bytes and elements say.

        Raises:
            ProtocolViolation: the message may not cost so much; `what` is the reason.
        """
        self.work -= nanoseconds
        if self.work < 0:
            raise ProtocolViolation(what)
