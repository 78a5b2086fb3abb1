"""The names that generated modules stand on. Programs import from `ipclib` itself.

Owns nothing: it is the one list of what generated code may use.
"""

from corelib import Promise
from ipclib.codecs import (
    BOOLEANS,
    Buffer,
    Files,
    Frame,
    Octets,
    Payload,
    boolean,
    byte_string,
    double,
    file,
    flag,
    float_,
    hash_map,
    i8,
    i16,
    i32,
    i64,
    octets,
    optional,
    string,
    u8,
    u16,
    u32,
    u64,
    vector,
)
from ipclib.connection import Answer, Proxy, Stub, Unhandled, Wait
from ipclib.connection_from_client import ConnectionFromClient
from ipclib.connection_to_server import ConnectionToServer
from ipclib.file import File
from ipclib.message import Endpoint, OneWay, Request, Response

__all__ = [
    "BOOLEANS",
    "Answer",
    "Buffer",
    "ConnectionFromClient",
    "ConnectionToServer",
    "Endpoint",
    "File",
    "Files",
    "Frame",
    "Octets",
    "OneWay",
    "Payload",
    "Promise",
    "Proxy",
    "Request",
    "Response",
    "Stub",
    "Unhandled",
    "Wait",
    "boolean",
    "byte_string",
    "double",
    "file",
    "flag",
    "float_",
    "hash_map",
    "i8",
    "i16",
    "i32",
    "i64",
    "octets",
    "optional",
    "string",
    "u8",
    "u16",
    "u32",
    "u64",
    "vector",
]
