"""Owns URL and Origin, which arrive as they were sent: neither is parsed or normalised.
Must not know messages, frames, sockets or loops.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

import attrs

from ipclib.values.codecs import Codec, byte_string, empty, optional, string, u16, u32
from ipclib.values.containers import array
from ipclib.values.structures import Converted, structure
from ipclib.values.variant import variant

Host: TypeAlias = IPv4Address | IPv6Address | str | None


@attrs.frozen
class Origin:
    """Where a document comes from: scheme, host and port. The port is None for the scheme's default."""

    scheme: str
    host: Host = None
    port: int | None = None


@attrs.frozen
class BlobEntry:
    """The blob of a `blob:` URL: its MIME type, its bytes, and the origin that made it."""

    type: str
    data: bytes
    origin: Origin


@attrs.frozen
class URL:
    """The text of a URL, and its blob if it is a `blob:` URL."""

    text: str
    blob_entry: BlobEntry | None = None

    def __str__(self) -> str:
        return self.text


_SEGMENTS = struct.Struct(">8H")


def _ipv6_to_wire(value: IPv6Address) -> tuple[int, ...]:
    if value.scope_id is not None:
        raise ValueError(f"the wire has no place for the scope {value.scope_id!r} of an IPv6 address")
    return _SEGMENTS.unpack(value.packed)


def _ipv6_from_wire(segments: tuple[int, ...]) -> IPv6Address:
    return IPv6Address(_SEGMENTS.pack(*segments))


_ipv4: Codec[IPv4Address] = Converted("IPv4Address", u32, int, IPv4Address, IPv4Address)
_ipv6: Codec[IPv6Address] = Converted(
    "IPv6Address", array(u16, 8), _ipv6_to_wire, _ipv6_from_wire, IPv6Address
)
_host: Codec[Host] = variant(_ipv4, _ipv6, string, empty)

origin: Codec[Origin] = structure(Origin, string, _host, optional(u16))
url: Codec[URL] = structure(URL, string, optional(structure(BlobEntry, string, byte_string, origin)))
