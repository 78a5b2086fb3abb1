"""Shared memory from one process to another: nothing is copied, and no peer's memory kills its reader."""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import AnonymousBuffer, EventLoop
from ipclib import Limits, MessageTooLarge, PeerDisconnected, ProtocolViolation, gfx

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent.parent
_SIZE = 256 * 1024
_TRIES = 1000


class Service:
    """memory_service.py in a process of its own."""

    def __init__(self, path: Path, *arguments: str) -> None:
        self.memory: Any = ipcc.load(HERE / "Memory.ipc")
        self.path = str(path)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ipclib.values.memory_service", self.path, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # It logs every violation.
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def client(self) -> Any:
        return self.memory.ConnectionToServer.connect(self.path)

    def open_fds(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with EventLoop():
        service = Service(tmp_path / "memory")
        yield service
        service.end()


@pytest.fixture
def trusting_service(tmp_path: Path) -> Iterator[Service]:
    with EventLoop():
        service = Service(tmp_path / "memory", "maps unsealed memory")
        yield service
        service.end()


def _unsealed(size: int) -> AnonymousBuffer:
    """Memory as LibIPC makes it: no process can seal it."""
    fd = os.memfd_create("LibIPC", os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return AnonymousBuffer.create_from_fd(fd, size, trusted=True)


@pytest.mark.slow
def test_memory_that_cannot_be_sealed_is_copied(service: Service) -> None:
    client = service.client()
    with _unsealed(_SIZE) as buffer:
        assert buffer.may_shrink
        assert client.inode(buffer).number != os.fstat(buffer.fd).st_ino
        client.mark(buffer, 1, 2)
        assert (buffer.data[0], buffer.data[-1]) == (0, 0)


@pytest.mark.slow
def test_a_service_that_trusts_its_clients_maps_memory_that_cannot_be_sealed(
    trusting_service: Service,
) -> None:
    client = trusting_service.client()
    with _unsealed(_SIZE) as buffer, AnonymousBuffer.create(_SIZE) as sealed:
        for shared in (buffer, sealed):
            assert client.inode(shared).number == os.fstat(shared.fd).st_ino
            client.mark(shared, 1, 2)
            assert (shared.data[0], shared.data[-1]) == (1, 2)
        assert not sealed.may_shrink


@pytest.mark.slow
def test_more_memory_than_a_receiver_would_copy_is_refused_by_its_sender(service: Service) -> None:
    client = service.memory.ConnectionToServer.connect(service.path, limits=Limits(max_copied_memory=1000))
    with _unsealed(1001) as large, _unsealed(1000) as small, AnonymousBuffer.create(5000) as sealed:
        with pytest.raises(MessageTooLarge, match="1001 bytes of unsealed memory; max_copied_memory is 1000"):
            client.read(large, 1)
        assert client.read(small, 1) == 1000
        assert client.read(sealed, 1) == 5000


@pytest.mark.slow
def test_64_mib_are_handed_over_and_never_copied(service: Service) -> None:
    client = service.client()
    with AnonymousBuffer.create(64 << 20) as buffer:
        assert tuple(getattr(client.inode(buffer), name) for name in ("number", "size")) == (
            os.fstat(buffer.fd).st_ino,
            64 << 20,
        )
        assert os.fstat(buffer.fd).st_blocks == 0, "nobody touched a page"
        client.mark(buffer, 1, 2)
        assert (buffer.data[0], buffer.data[-1]) == (1, 2)
        assert os.fstat(buffer.fd).st_blocks * 512 < 1 << 20


def test_pixels_are_painted_by_another_process(service: Service) -> None:
    client = service.client()
    with gfx.ShareableBitmap.create(5, 3, scale=2) as bitmap:
        bitmap.pixels[:4] = b"BGRA"
        assert client.paint(bitmap, 7) == b"BGRA" + bytes(236)
        assert bytes(bitmap.pixels) == b"\7" * 240


def _sealable(_folder: Path) -> int:
    return _sized(os.memfd_create("hostile", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC))


def _unsealable(_folder: Path) -> int:
    return _sized(os.memfd_create("hostile", os.MFD_CLOEXEC))


def _sealed_for_growing_alone(folder: Path) -> int:
    fd = _sealable(folder)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


def _on_disk(folder: Path) -> int:
    return _sized(os.open(folder / "hostile", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _sized(fd: int) -> int:
    os.ftruncate(fd, _SIZE)
    return fd


def _lent(fd: int) -> AnonymousBuffer:
    """A buffer on a descriptor of the same memory, without any of the care that create_from_fd() takes."""
    return AnonymousBuffer._own(os.dup(fd), _SIZE)


def _lent_for_reading(fd: int) -> AnonymousBuffer:
    return AnonymousBuffer._own(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC), _SIZE)


_MADE: list[Callable[[Path], int]] = [_sealable, _unsealable, _sealed_for_growing_alone, _on_disk]


@pytest.mark.slow
def test_memory_truncated_while_it_is_read_kills_nobody(service: Service, tmp_path: Path) -> None:
    """A hostile client shrinks what it passed at random moments, and grows it again to be believed again."""
    chance = random.Random(5)
    client = service.client()
    client.describe()  # So that it is accepted. After read() the service may still hold the buffer.
    before = service.open_fds()
    answered = refused = shrunk = kept = 0
    for _ in range(_TRIES):
        fd = chance.choice(_MADE)(tmp_path)
        with chance.choice([_lent, _lent_for_reading])(fd) as buffer:
            promise = client.async_read(buffer, chance.randint(1, 20))
        for _ in range(chance.randint(1, 8)):
            for _ in range(chance.randint(0, 3000)):
                pass
            try:
                os.ftruncate(fd, chance.choice([0, 4096, _SIZE - 1]))
                shrunk += 1
                os.ftruncate(fd, _SIZE)
            except PermissionError:
                kept += 1
        os.close(fd)
        try:
            assert promise.await_(timeout=30) % _SIZE == 0
            answered += 1
        except (PeerDisconnected, ProtocolViolation):
            refused += 1
            client = service.client()
        assert service.process.poll() is None
    assert answered > _TRIES // 10
    assert shrunk > _TRIES // 10
    assert kept > _TRIES // 100
    client.read(AnonymousBuffer.create(1), 1)
    # The answer may be here before the service has let go of what it answered.
    assert EventLoop.current().spin_until(lambda: service.open_fds() == before, 10.0)
