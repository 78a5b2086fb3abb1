"""The names that generated modules stand on. Programs import from `ipclib` itself.

Owns nothing: it is the one list of what generated code may use.
"""

from corelib import AnonymousBuffer, Promise
from ipclib import gfx
from ipclib.connection import Proxy, Stub
from ipclib.connection_from_client import ConnectionFromClient
from ipclib.connection_to_server import ConnectionToServer
from ipclib.file import File
from ipclib.link import Wait
from ipclib.protocol.message import Endpoint, OneWay, Request, Response
from ipclib.serving import Answer, Unhandled
from ipclib.values.codecs import (
    BOOLEANS,
    Buffer,
    Codec,
    Files,
    Frame,
    Octets,
    Payload,
    array,
    boolean,
    byte_string,
    double,
    empty,
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
    ordered_hash_map,
    string,
    u8,
    u16,
    u32,
    u64,
    vector,
)
from ipclib.values.core_values import OpenMode, ProxyData, open_mode, proxy_data
from ipclib.values.gfx_codecs import color, float_point, float_rect, float_size, int_point, int_rect, int_size
from ipclib.values.json_value import Json, json_value
from ipclib.values.registered import registered
from ipclib.values.shared_memory import anonymous_buffer, shareable_bitmap
from ipclib.values.structures import enumeration, recursive, structure
from ipclib.values.times import Duration, UnixDateTime, date_time, duration, unix_date_time
from ipclib.values.urls import URL, Origin, origin, url
from ipclib.values.variant import Alternative, variant

__all__ = [
    "BOOLEANS",
    "URL",
    "Alternative",
    "AnonymousBuffer",
    "Answer",
    "Buffer",
    "Codec",
    "ConnectionFromClient",
    "ConnectionToServer",
    "Duration",
    "Endpoint",
    "File",
    "Files",
    "Frame",
    "Json",
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
    "Stub",
    "Unhandled",
    "UnixDateTime",
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
    "gfx",
    "hash_map",
    "i8",
    "i16",
    "i32",
    "i64",
    "int_point",
    "int_rect",
    "int_size",
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

_VERSION = 1


def require(module: str, version: int) -> None:
    """Check that a generated module was written for this version of the runtime.

    Raises:
        ImportError: the module was written for another version.
    """
    if version != _VERSION:
        raise ImportError(
            f"{module} was generated for version {version} of ipclib.generated, and the installed ipclib has"
            f" version {_VERSION}: run ipcc again, or install the ipclib that fits the module",
            name=module,
        )
