"""Owns the list of names that generated modules use, and the version of that contract.
Must not know any generated module. Programs import from `ipclib` itself.
"""

from corelib import AnonymousBuffer, Promise
from ipclib import gfx
from ipclib.connection.calls import Wait
from ipclib.connection.connection import Proxy, Stub
from ipclib.connection.connection_from_client import ConnectionFromClient
from ipclib.connection.connection_to_server import ConnectionToServer
from ipclib.connection.handlers import Unhandled
from ipclib.connection.serving import Answer
from ipclib.protocol.message import Endpoint, OneWay, Request, Response
from ipclib.protocol.plain_frames import NOT_DELIVERED, Cursor
from ipclib.protocol.wire import (
    AROUND_TRAILED,
    NO_SERIAL,
    TAG,
    TRAILER,
    frame_struct,
    head_struct,
    joined_if_small,
)
from ipclib.runtime import require
from ipclib.values.codecs import (
    BOOLEANS,
    ENCODE_ERRORS,
    Codec,
    Octets,
    Payload,
    boolean,
    byte_string,
    double,
    empty,
    file,
    flag,
    float_,
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
)
from ipclib.values.containers import HashMap, Vector, array, hash_map, ordered_hash_map, vector
from ipclib.values.core_values import OpenMode, ProxyData, open_mode, proxy_data
from ipclib.values.decoding import Buffer, Decoding, Files
from ipclib.values.file import File
from ipclib.values.gfx_codecs import (
    color,
    float_point,
    float_rect,
    float_size,
    int_point,
    int_rect,
    int_size,
    shareable_bitmap,
)
from ipclib.values.ipc_type import registered
from ipclib.values.json_value import Json, json_value
from ipclib.values.shared_memory import anonymous_buffer
from ipclib.values.structures import NumberStructure, Struct, Structure, enumeration, recursive, structure
from ipclib.values.times import Duration, UnixDateTime, date_time, duration, unix_date_time
from ipclib.values.urls import URL, Origin, origin, url
from ipclib.values.variant import Alternative, variant

__all__ = [
    "AROUND_TRAILED",
    "BOOLEANS",
    "ENCODE_ERRORS",
    "NOT_DELIVERED",
    "NO_SERIAL",
    "TAG",
    "TRAILER",
    "URL",
    "Alternative",
    "AnonymousBuffer",
    "Answer",
    "Buffer",
    "Codec",
    "ConnectionFromClient",
    "ConnectionToServer",
    "Cursor",
    "Decoding",
    "Duration",
    "Endpoint",
    "File",
    "Files",
    "HashMap",
    "Json",
    "NumberStructure",
    "Octets",
    "OneWay",
    "OpenMode",
    "Origin",
    "Payload",
    "Promise",
    "Proxy",
    "ProxyData",
    "Request",
    "Response",
    "Struct",
    "Structure",
    "Stub",
    "Unhandled",
    "UnixDateTime",
    "Vector",
    "Wait",
    "anonymous_buffer",
    "array",
    "boolean",
    "byte_string",
    "color",
    "date_time",
    "double",
    "duration",
    "empty",
    "enumeration",
    "file",
    "flag",
    "float_",
    "float_point",
    "float_rect",
    "float_size",
    "frame_struct",
    "gfx",
    "hash_map",
    "head_struct",
    "i8",
    "i16",
    "i32",
    "i64",
    "int_point",
    "int_rect",
    "int_size",
    "joined_if_small",
    "json_value",
    "octets",
    "open_mode",
    "optional",
    "ordered_hash_map",
    "origin",
    "proxy_data",
    "recursive",
    "registered",
    "require",
    "shareable_bitmap",
    "string",
    "structure",
    "u8",
    "u16",
    "u32",
    "u64",
    "unix_date_time",
    "url",
    "variant",
    "vector",
]
