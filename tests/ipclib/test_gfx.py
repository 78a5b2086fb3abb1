"""Bitmaps: pixels in shared memory as memoryviews, numpy arrays and images; nothing is copied unasked."""

from __future__ import annotations

import fcntl
import gc
import io
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib import UsageError
from ipclib import AnonymousBuffer, gfx
from ipclib import generated as g
from ipclib.gfx import BitmapFormat, ShareableBitmap
from tests.ipclib.values.round_trips import round_trip

_RED = (200, 1, 2, 100)
_IN_MEMORY = {
    BitmapFormat.BGRx8888: (2, 1, 200),
    BitmapFormat.BGRA8888: (2, 1, 200, 100),
    BitmapFormat.RGBA8888: (200, 1, 2, 100),
}


def _open_fds() -> int:
    gc.collect()  # What other tests left.
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def numpy() -> Any:
    return pytest.importorskip("numpy")


@pytest.fixture
def pillow() -> Any:
    return pytest.importorskip("PIL.Image")


def test_pixels_are_the_memory_itself() -> None:
    with ShareableBitmap.create(3, 2) as bitmap:
        assert (bitmap.pitch, bitmap.physical_width, bitmap.physical_height) == (12, 3, 2)
        assert not bitmap.pixels.readonly
        bitmap.pixels[:4] = b"BGRA"
        assert os.pread(bitmap.buffer.fd, 4, 0) == b"BGRA"
    assert not bitmap.is_valid
    with pytest.raises(UsageError, match="invalid"):
        bitmap.pixels  # noqa: B018


def test_the_receiver_writes_the_same_pixels() -> None:
    with ShareableBitmap.create(2, 2) as sent, round_trip(g.shareable_bitmap, sent) as arrived:
        arrived.pixels[-1] = 9
        assert sent.pixels[-1] == 9


def test_pixels_sealed_against_writing_arrive_read_only() -> None:
    bitmap = ShareableBitmap.create(1, 1)
    fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(fd, b"BGRA")
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)
    bitmap.buffer = AnonymousBuffer.create_from_fd(fd, 4)
    with round_trip(g.shareable_bitmap, bitmap) as arrived:
        assert arrived.pixels.readonly
        assert bytes(arrived.pixels) == b"BGRA"


def test_a_numpy_array_shares_the_pixels(numpy: Any) -> None:
    bitmap = ShareableBitmap.create(3, 2, scale=2)
    array = bitmap.to_numpy()
    assert (array.shape, array.dtype) == ((4, 6, 4), numpy.uint8)
    array[3, 5] = (1, 2, 3, 4)
    assert bytes(bitmap.pixels[-4:]) == b"\1\2\3\4"
    bitmap.pixels[0] = 7
    assert array[0, 0, 0] == 7
    numbers = array.view("<u4")[..., 0]
    assert (numbers.shape, numbers[3, 5]) == ((4, 6), 0x04030201)


def test_a_numpy_array_of_sealed_pixels_is_read_only(numpy: Any) -> None:
    fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(fd, b"BGRA")
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)
    array = ShareableBitmap(AnonymousBuffer.create_from_fd(fd, 4), 1, 1).to_numpy()
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 0


@pytest.mark.slow
def test_views_outlive_their_bitmap_and_then_give_the_memory_back(numpy: Any) -> None:
    before = _open_fds()
    bitmap = ShareableBitmap.create(2, 2)
    pixels, array = bitmap.pixels, bitmap.to_numpy()
    bitmap.close()
    bitmap.close()
    pixels[0] = 5
    assert array[0, 0, 0] == 5
    del pixels
    array[1, 1] = 6
    del array
    gc.collect()
    assert _open_fds() == before


@pytest.mark.parametrize("format", BitmapFormat)
def test_images_survive_the_way_in_and_out(pillow: Any, format: BitmapFormat) -> None:
    image = pillow.new("RGBA", (3, 2), (9, 8, 7, 0))
    image.putpixel((2, 1), _RED)
    bitmap = ShareableBitmap.from_image(image, format)
    assert (bitmap.width, bitmap.height, bitmap.scale, bitmap.format) == (3, 2, 1, format)
    expected = _IN_MEMORY[format]
    assert tuple(bitmap.pixels[-4:])[: len(expected)] == expected
    again = bitmap.to_image()
    assert again.getpixel((2, 1)) == _RED[: len(again.getbands())]
    assert again.tobytes() == image.convert(again.mode).tobytes(), "nothing is multiplied by its alpha"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "LA", "I"])
def test_an_image_of_any_mode_is_taken(pillow: Any, mode: str) -> None:
    image = pillow.new("RGB", (2, 2), (255, 255, 255)).convert(mode)
    assert ShareableBitmap.from_image(image).to_image().getpixel((1, 1)) == (255, 255, 255, 255)


@pytest.mark.parametrize("format", BitmapFormat)
def test_png_files_are_saved_and_loaded(pillow: Any, format: BitmapFormat, tmp_path: Path) -> None:
    bitmap = ShareableBitmap.create(4, 3, format=format)
    bitmap.pixels[:] = bytes(range(48))
    bitmap.save_png(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    again = ShareableBitmap.load_png(tmp_path / "picture.png", format)
    assert again.to_image().tobytes() == bitmap.to_image().tobytes()
    memory = io.BytesIO()
    again.save_png(memory)
    assert ShareableBitmap.load_png(io.BytesIO(memory.getvalue())).width == 4


def test_a_file_that_is_no_png_is_refused(pillow: Any, tmp_path: Path) -> None:
    pillow.new("RGB", (1, 1)).save(tmp_path / "picture.bmp")
    with pytest.raises(OSError, match="cannot identify"):
        ShareableBitmap.load_png(tmp_path / "picture.bmp")
    with pytest.raises(FileNotFoundError):
        ShareableBitmap.load_png(tmp_path / "nothing.png")


@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 3), st.sampled_from(BitmapFormat))
def test_every_shape_has_its_views(width: int, height: int, scale: int, format: BitmapFormat) -> None:
    numpy, _pillow = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    with ShareableBitmap.create(width, height, scale, format) as bitmap:
        array = bitmap.to_numpy()
        assert array.shape == (height * scale, width * scale, 4)
        array[:] = 255
        assert bytes(bitmap.pixels) == b"\xff" * bitmap.pitch * bitmap.physical_height
        image = bitmap.to_image()
        assert image.size == (width * scale, height * scale)
        with ShareableBitmap.from_image(image) as again:
            assert numpy.array_equal(again.to_numpy(), array)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["to_numpy()", "to_image()", "save_png('x')", "load_png('x')"])
def test_the_error_without_numpy_and_pillow_says_what_to_install(call: str) -> None:
    extra = "numpy" if "numpy" in call else "pillow"
    code = f"""
import sys
sys.modules["numpy"] = sys.modules["PIL"] = None
from ipclib.gfx import ShareableBitmap
try:
    ShareableBitmap.create(1, 1).{call}
except ModuleNotFoundError as error:
    assert "pip install 'corelib-ipc[{extra}]'" in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        ((-1, 1, 1), "no bitmap is -1x1"),
        ((1, -1, 1), "no bitmap is 1x-1"),
        ((1, 1, 0), "at scale 0"),
        ((1 << 30, 0, 0xFFFFFFFF), "larger than"),
        ((0, 1 << 30, 0xFFFFFFFF), "larger than"),
        ((23171, 23171, 1), "larger than"),
        ((1 << 14, 1 << 14, 2), "larger than"),
        ((65536, 65536, 65536), "larger than"),
    ],
)
def test_a_geometry_that_no_bitmap_has_is_refused_before_any_memory_is_taken(
    geometry: tuple[int, int, int], reason: str
) -> None:
    before = _open_fds()
    with pytest.raises(ValueError, match=reason):
        ShareableBitmap.create(*geometry)
    with AnonymousBuffer.create(16) as buffer, pytest.raises(ValueError, match=reason):
        ShareableBitmap(buffer, *geometry)
    assert _open_fds() == before


def test_an_image_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    class Enormous:
        size = (1 << 20, 1 << 20)

    with pytest.raises(ValueError, match="larger than"):
        gfx.ShareableBitmap.from_image(Enormous())


@pytest.mark.parametrize("number", [math.inf, math.nan, 1.5, True, None], ids=repr)
def test_a_bitmap_is_measured_in_whole_numbers(number: Any) -> None:
    for size in ((number, 1, 1), (1, number, 1), (1, 1, number)):
        with pytest.raises(TypeError, match="whole numbers, not"):
            gfx.ShareableBitmap.create(*size)
