"""Owns the tests of the decoder's worker: what it decodes, what it refuses, and that the app survives it.
Must not know how the worker and the app talk."""

from __future__ import annotations

import resource
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from corelib import EventLoop
from demos.decoder import pictures, worker
from demos.decoder.__main__ import Pictures

CHECKOUT = Path(__file__).parents[2]
GOOD = pictures.encoded((2, 3, bytes(range(6))))


def test_a_picture_is_read_back_from_its_file() -> None:
    assert pictures.decoded(GOOD) == (2, 3, bytes(range(6)))
    assert pictures.decoded(pictures.encoded((0, 0, b""))) == (0, 0, b"")


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"no picture",
        GOOD[:-1],
        GOOD[:12],
        pictures.box(b"size", b"\0\1\0\1"),
        pictures.box(b"size", b"\0\1") + pictures.box(b"grey", zlib.compress(b"x")),
        pictures.encoded((2, 2, b"three")),
    ],
)
def test_a_file_that_is_not_a_picture_decodes_to_none(file: bytes) -> None:
    assert pictures.decoded(file) is None


def test_pixels_come_back_in_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    with EventLoop() as loop:
        app = Pictures()
        bitmap = app.decode(GOOD)
        assert bitmap is not None
        with bitmap:
            assert (bitmap.width, bitmap.height) == (2, 3)
            assert bytes(bitmap.pixels) == b"".join(bytes([grey] * 3 + [255]) for grey in range(6))
        assert app.decode(b"a text") is None
        assert app.workers == 1
        app.close()
        process = app.worker
        assert loop.spin_until(lambda: process.exit_code == 0, timeout=30)


@pytest.mark.slow
def test_a_worker_cannot_raise_its_limits_again() -> None:
    source = (
        "import resource; from demos.decoder.worker import drop_rights; drop_rights()\n"
        "for name in ('AS', 'CPU', 'NOFILE', 'FSIZE', 'CORE'):\n"
        "    print(name, *resource.getrlimit(getattr(resource, 'RLIMIT_' + name)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=30
    )
    limits = {name: (int(soft), int(hard)) for name, soft, hard in map(str.split, done.stdout.splitlines())}
    assert limits["AS"] == (worker.MEMORY, worker.MEMORY)
    assert limits["NOFILE"] == (worker.DESCRIPTORS, worker.DESCRIPTORS)
    assert resource.RLIM_INFINITY not in [hard for _soft, hard in limits.values()]


@pytest.mark.slow
def test_the_app_outlives_its_workers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demos.decoder"], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    outcomes = [
        line.partition(" of ")[0] + ":" + line.partition("bytes:")[2] for line in done.stdout.splitlines()
    ]
    assert outcomes == [
        "worker 1, a picture: 64 x 48 pixels, grey from 0 to 110",
        "worker 1, a text: not a picture",
        "worker 1, a bomb: refused: the picture takes more memory than a decoder may use",
        "worker 1, an endless one: the worker ended (SIGXCPU)",
        "worker 2, the picture again: 64 x 48 pixels, grey from 0 to 110",
    ]
