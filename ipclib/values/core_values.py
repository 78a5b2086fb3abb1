"""Owns LibCore's own values in messages: proxies, and the modes of open files.
Must not know messages, frames, sockets or loops.
"""

from __future__ import annotations

import enum

import attrs

from ipclib.values.codecs import Codec, i32, u32
from ipclib.values.structures import enumeration, structure


class ProxyType(enum.IntEnum):
    """The protocol of a proxy."""

    DIRECT = 0
    SOCKS5 = 1


@attrs.frozen
class ProxyData:
    """A proxy: its protocol, its IPv4 address as one number (127.0.0.1 is 0x7F000001), and its port."""

    type: ProxyType = attrs.field(converter=ProxyType, default=ProxyType.DIRECT)
    host_ipv4: int = 0
    port: int = 0


class OpenMode(enum.IntFlag, boundary=enum.KEEP):
    """Core::File::OpenMode. Flags that are not known here are kept."""

    NOT_OPEN = 0
    READ_ONLY = 1
    WRITE_ONLY = 2
    READ_WRITE = 3
    APPEND = 4
    TRUNCATE = 8
    MUST_BE_NEW = 16
    KEEP_ON_EXEC = 32
    NONBLOCKING = 64
    DONT_CREATE = 128


proxy_data: Codec[ProxyData] = structure(ProxyData, enumeration(ProxyType, i32), u32, i32)
open_mode: Codec[OpenMode] = enumeration(OpenMode, u32)
