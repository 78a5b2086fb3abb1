"""Typed inter-process communication over Unix sockets: the runtime of generated interfaces.

Reading order: file, codecs, message, framing and protocol (no input or output); outbox, connection
and its two ends, multi_server.
"""

from corelib import PeerCredentials, Promise
from ipclib.connection import Connection, Counters, Wait
from ipclib.connection_from_client import ConnectionFromClient
from ipclib.connection_to_server import ConnectionToServer
from ipclib.errors import (
    CallTimeout,
    EncodeError,
    ErrorKind,
    HandlerError,
    IPCError,
    MessageTooLarge,
    PeerDisconnected,
    ProtocolViolation,
    RemoteError,
    SchemaMismatch,
    ServiceUnavailable,
    UnknownMessage,
    WrongThread,
)
from ipclib.file import File
from ipclib.limits import Limits
from ipclib.multi_server import MultiServer

__all__ = [
    "CallTimeout",
    "Connection",
    "ConnectionFromClient",
    "ConnectionToServer",
    "Counters",
    "EncodeError",
    "ErrorKind",
    "File",
    "HandlerError",
    "IPCError",
    "Limits",
    "MessageTooLarge",
    "MultiServer",
    "PeerCredentials",
    "PeerDisconnected",
    "Promise",
    "ProtocolViolation",
    "RemoteError",
    "SchemaMismatch",
    "ServiceUnavailable",
    "UnknownMessage",
    "Wait",
    "WrongThread",
]
