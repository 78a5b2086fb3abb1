"""Typed inter-process communication over Unix sockets: the runtime of generated interfaces.

Reading order: file, codecs, message, framing and protocol (no input or output); structures and variant, on
which the types of times, urls, core_values, json_value, gfx and shared_memory stand; annotations, coder and
registered, for types of a program's own; outbox, connection and its two ends, multi_server.
"""

from corelib import AnonymousBuffer, PeerCredentials, Promise, __version__
from ipclib import gfx
from ipclib.connection import Connection, Counters
from ipclib.connection_from_client import ConnectionFromClient
from ipclib.connection_to_server import ConnectionToServer
from ipclib.errors import (
    BadDeclaration,
    CallTimeout,
    EncodeError,
    ErrorKind,
    HandlerError,
    IPCError,
    MessageTooLarge,
    NothingToTakeOver,
    PeerDisconnected,
    ProtocolViolation,
    RemoteError,
    SchemaMismatch,
    ServiceUnavailable,
    TakeoverError,
    UnknownMessage,
    WrongThread,
)
from ipclib.file import File
from ipclib.limits import Limits
from ipclib.link import Wait
from ipclib.multi_server import MultiServer
from ipclib.rate import Rate
from ipclib.single_server import take_over_accepted_client
from ipclib.values.annotations import (
    double,
    float_,
    i8,
    i16,
    i32,
    i64,
    size_t,
    u8,
    u16,
    u32,
    u64,
    unsigned,
)
from ipclib.values.coder import Decoder, Encoder
from ipclib.values.core_values import OpenMode, ProxyData, ProxyType
from ipclib.values.json_value import Json
from ipclib.values.registered import codec_of, ipc_type
from ipclib.values.times import Duration, UnixDateTime
from ipclib.values.urls import URL, BlobEntry, Origin
from ipclib.values.variant import Alternative

__all__ = [
    "URL",
    "Alternative",
    "AnonymousBuffer",
    "BadDeclaration",
    "BlobEntry",
    "CallTimeout",
    "Connection",
    "ConnectionFromClient",
    "ConnectionToServer",
    "Counters",
    "Decoder",
    "Duration",
    "EncodeError",
    "Encoder",
    "ErrorKind",
    "File",
    "HandlerError",
    "IPCError",
    "Json",
    "Limits",
    "MessageTooLarge",
    "MultiServer",
    "NothingToTakeOver",
    "OpenMode",
    "Origin",
    "PeerCredentials",
    "PeerDisconnected",
    "Promise",
    "ProtocolViolation",
    "ProxyData",
    "ProxyType",
    "Rate",
    "RemoteError",
    "SchemaMismatch",
    "ServiceUnavailable",
    "TakeoverError",
    "UnixDateTime",
    "UnknownMessage",
    "Wait",
    "WrongThread",
    "__version__",
    "codec_of",
    "double",
    "float_",
    "gfx",
    "i8",
    "i16",
    "i32",
    "i64",
    "ipc_type",
    "size_t",
    "take_over_accepted_client",
    "u8",
    "u16",
    "u32",
    "u64",
    "unsigned",
]
