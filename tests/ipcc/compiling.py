"""Owns short ways to write an interface, compile it, and pass values through the generated code.

Must not know which interface or which values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipcc.checker import check
from ipcc.compiler import compile_files, model_of
from ipcc.diagnostics import CompileError, Report
from ipcc.model import Compilation
from ipcc.parser import parse
from ipcc.source import Source
from ipcc.tokens import tokenize
from ipclib.values.decoding import Decoding


def write(path: str | Path, text: str) -> str:
    """Write a file, with its folders; return its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def model(text: str) -> Compilation:
    """The model of a text without mistakes."""
    report = Report()
    source = Source("x.ipc", text)
    compilation = check([parse(source, tokenize(source, report), report)], report)
    assert not report, list(report)
    return compilation


def errors(*paths: str, **options: Any) -> str:
    """The diagnostics of files that do not compile."""
    with pytest.raises(CompileError) as caught:
        compile_files(list(paths), **options)
    return str(caught.value)


def signed_text(path: str, **options: Any) -> str:
    """The text that the signature of a file's only message is computed from."""
    (endpoint,) = model_of([path], **options).endpoints
    (message,) = endpoint.messages
    return message.signed_text


# Generated code has no public encoder and decoder. The compiler writes `_encode` and `_decode`, which
# the runtime calls, and so do these functions.


def encode(message: Any, *values: object) -> bytes:
    """The bytes that a generated message class makes of values."""
    payload = message.__ipc__.encode([], *values)
    return payload if isinstance(payload, bytes) else b"".join(payload)


def decode(message: Any, data: bytes) -> object:
    """The values that a generated message class makes of exactly these bytes."""
    decoding = Decoding()
    decoding.end, decoding.elements = len(data), 1000
    decoded, end = message.__ipc__.decode(memoryview(data), 0, decoding)
    assert end == len(data)
    return decoded


def round_trip(message: Any, *values: object) -> object:
    """The values, encoded and decoded."""
    return decode(message, encode(message, *values))
