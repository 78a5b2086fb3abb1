"""Owns the public names of ipclib: typed inter-process communication over Unix sockets.
Must not know anything but where they are defined. docs/architecture.md says in which order to read the files.
"""

from corelib import AnonymousBuffer, PeerCredentials, Promise, __version__
from corelib.turn import interrupts
from ipclib import gfx
from ipclib.connection.calls import Wait
from ipclib.connection.connection import Connection, Counters
from ipclib.connection.connection_from_client import ConnectionFromClient
from ipclib.connection.connection_to_server import ConnectionToServer
from ipclib.errors import (
    BadDeclaration,
    CallTimeout,
    EncodeError,
    ErrorKind,
    HandlerError,
    IncompatibleModule,
    IPCError,
    MessageTooLarge,
    NestedTooDeep,
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
from ipclib.limits import Limits
from ipclib.rate import Rate
from ipclib.service import activation as activation
from ipclib.service.multi_server import MultiServer
from ipclib.service.serve import serve
from ipclib.service.single_server import take_over_accepted_client
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
from ipclib.values.file import File
from ipclib.values.ipc_type import codec_of, ipc_type
from ipclib.values.json_value import Json
from ipclib.values.times import Duration, UnixDateTime
from ipclib.values.urls import URL, BlobEntry, Origin
from ipclib.values.variant import Alternative

interrupts.protect(__name__)

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
    "IncompatibleModule",
    "Json",
    "Limits",
    "MessageTooLarge",
    "MultiServer",
    "NestedTooDeep",
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
    "serve",
    "size_t",
    "take_over_accepted_client",
    "u8",
    "u16",
    "u32",
    "u64",
    "unsigned",
]
