"""Owns the wire's types as annotations: `x: i32` is an int to a type checker, and four bytes to ipclib.
Must not know who reads them (ipc_type.py).
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from ipclib.values import codecs

i8: TypeAlias = Annotated[int, codecs.i8]
i16: TypeAlias = Annotated[int, codecs.i16]
i32: TypeAlias = Annotated[int, codecs.i32]
i64: TypeAlias = Annotated[int, codecs.i64]
u8: TypeAlias = Annotated[int, codecs.u8]
u16: TypeAlias = Annotated[int, codecs.u16]
u32: TypeAlias = Annotated[int, codecs.u32]
u64: TypeAlias = Annotated[int, codecs.u64]
unsigned: TypeAlias = Annotated[int, codecs.u32]
size_t: TypeAlias = Annotated[int, codecs.u64]
float_: TypeAlias = Annotated[float, codecs.float_]
"""The `float` of the interface language, of 32 bits. Python's own float is a `double`."""
double: TypeAlias = Annotated[float, codecs.double]
