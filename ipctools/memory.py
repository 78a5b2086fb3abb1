"""Owns how byte strings, shared memory, bitmaps and Files are written, in place or as files of their own.
Must not know other types.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import stat
from typing import Any

from ipclib import AnonymousBuffer, File, gfx
from ipctools.attachments import Inputs, Outputs
from ipctools.misfit import Misfit, Word, within

_WANTED = 'a text, @PATH, {"base64": "..."} or {"text": "..."}'
BYTES_OBJECTS = (frozenset(("base64",)), frozenset(("text",)))
"""The members of the JSON objects that stand for bytes."""
_KINDS = {
    stat.S_ISREG: "regular file",
    stat.S_ISDIR: "folder",
    stat.S_ISCHR: "character device",
    stat.S_ISBLK: "block device",
    stat.S_ISFIFO: "pipe",
    stat.S_ISSOCK: "socket",
}


def parse_bytes(node: Any, inputs: Inputs) -> bytes:
    """Bytes from a text in UTF-8, from the file `@PATH`, or from an object that says which of both it is."""
    match node:
        case str() if node.startswith("@"):
            return inputs.content(node[1:])
        case str():
            return _encoded(node)
        case {"text": str(text)} if len(node) == 1:
            return _encoded(text)
        case {"base64": str(digits)} if len(node) == 1:
            try:
                return base64.b64decode(digits, validate=True)
            except (binascii.Error, ValueError) as error:
                raise Misfit(f"it is no base64: {error}") from None
    raise Misfit(f"write bytes as {_WANTED}")


def _encoded(text: str) -> bytes:
    # A word of the command line may have bytes that are not UTF-8 (PEP 383).
    try:
        return text.encode("utf-8", "surrogateescape" if isinstance(text, Word) else "strict")
    except UnicodeEncodeError:
        raise Misfit("the text is not UTF-8") from None


def show_bytes(value: bytes, outputs: Outputs, name: str) -> Any:
    """A text, if the bytes are one that parse_bytes() would read back."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
    if any(character < " " and character not in "\t\n" for character in text):
        return {"base64": base64.b64encode(value).decode()}
    return {"text": text} if text.startswith("@") else text


def parse_buffer(node: Any, inputs: Inputs) -> AnonymousBuffer:
    """Shared memory from its content, written as bytes are; null is no buffer."""
    if node is None or (isinstance(node, Word) and node == "null"):
        return AnonymousBuffer()
    return inputs.buffer(parse_bytes(node, inputs))


def show_buffer(value: AnonymousBuffer, outputs: Outputs, name: str) -> Any:
    """The content as bytes, or the file in which it was saved."""
    if not value.is_valid:
        return None
    content = bytes(value.data)
    return f"@{outputs.save(name, content)}" if outputs.saves else show_bytes(content, outputs, name)


def parse_bitmap(node: Any, inputs: Inputs) -> gfx.ShareableBitmap:
    """A bitmap from a PNG file `@PATH`, or from its size, format and pixels; null is none."""
    match node:
        case None:
            return gfx.ShareableBitmap()
        case str() if node.startswith("@"):
            return inputs.picture(node[1:])
        case {
            "width": int(width),
            "height": int(height),
            "scale": int(scale),
            "format": str(format),
            **rest,
        } if set(rest) == {"pixels"} and format in gfx.BitmapFormat.__members__:
            with within(".pixels"):
                content = parse_bytes(rest["pixels"], inputs)
            return _bitmap(width, height, scale, gfx.BitmapFormat[format], content, inputs)
    formats = ", ".join(gfx.BitmapFormat.__members__)
    raise Misfit(
        f"write a bitmap as @PICTURE.png, or as an object with width, height, scale, format ({formats}) and "
        "pixels"
    )


def _bitmap(
    width: int, height: int, scale: int, format: gfx.BitmapFormat, content: bytes, inputs: Inputs
) -> gfx.ShareableBitmap:
    try:
        size = gfx.bitmap_size(width, height, scale)
    except (ValueError, TypeError) as error:
        raise Misfit(str(error)) from None
    if len(content) != size:
        raise Misfit(f"its pixels take {size} bytes, and these are {len(content)}")
    bitmap = gfx.ShareableBitmap.create(width, height, scale, format)
    inputs.keep(bitmap)
    bitmap.pixels[:] = content
    return bitmap


def show_bitmap(value: gfx.ShareableBitmap, outputs: Outputs, name: str) -> Any:
    """Its size, format and pixels, or the PNG file in which it was saved."""
    if not value.is_valid:
        return None
    if outputs.saves:
        picture = io.BytesIO()
        try:
            value.save_png(picture)
        except ModuleNotFoundError as error:
            raise Misfit(f"to save a bitmap, {error}") from error
        return f"@{outputs.save(f'{name}.png', picture.getvalue())}"
    pixels = {"base64": base64.b64encode(bytes(value.pixels)).decode()}
    shape = {"width": value.width, "height": value.height, "scale": value.scale}
    return {**shape, "format": value.format.name, "pixels": pixels}


def parse_file(node: Any, inputs: Inputs) -> File:
    """Open the file `@PATH` for reading, or the one that an object names, in its mode."""
    match node:
        case str() if node.startswith("@"):
            return inputs.opened(node[1:], "r")
        case {"path": str(path), "mode": str(mode)} if len(node) == 2:
            return inputs.opened(path, mode)
    raise Misfit('write a file as @PATH, or as {"path": "...", "mode": "r+"}')


def show_file(value: File, outputs: Outputs, name: str) -> Any:
    """The kind and size of an open file; or the file in which the content of a regular one was saved."""
    status = os.fstat(value.fileno())
    kind = next((text for is_one, text in _KINDS.items() if is_one(status.st_mode)), "something else")
    if kind != "regular file":
        return {"file": kind}
    if outputs.saves:
        with open(os.dup(value.fileno()), "rb") as file:
            return f"@{outputs.save(name, _content(file.fileno(), status.st_size))}"
    return {"file": kind, "size": status.st_size}


def _content(fd: int, size: int) -> bytes:
    try:
        return os.pread(fd, size, 0)
    except OSError as error:
        raise Misfit(f"the file cannot be read: {error.strerror}") from error
