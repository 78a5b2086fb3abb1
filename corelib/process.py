"""Owns Process: a program that runs beside the loop, its input and output as they come, and its end.
Must not know what the program does.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

from corelib.coroutine import run_async, sleep_ms
from corelib.errors import UsageError
from corelib.notifier import HasFileno, Notifier
from corelib.process_pipes import Input, OnOutput, Output, own
from corelib.promise import Promise
from corelib.sockets.stream_socket import Buffer
from corelib.turn import forked, thread_loop
from corelib.turn.instruments import brief
from corelib.turn.interrupts import calls_user_code
from corelib.turn.not_copied import NotCopied

logger = logging.getLogger("corelib")

Argument = str | bytes | os.PathLike[str]

# A shell reports this for a program whose exit code it cannot get.
_UNKNOWN_CODE = 255
# Python ignores these for its own sake, and subprocess restores them in a program itself.
_RESTORED = frozenset({signal.SIGPIPE, signal.SIGXFSZ})


class Process(NotCopied):
    """A child process.

    The loop of the thread that spawned it keeps this object alive until the process has exited and `on_exit`
    was called. `on_exit` is called once, in a turn, after all output that the process wrote was delivered. If
    the process leaves another one with the same output, that is not waited for: its output is delivered
    later.

    When the loop is closed first, the process goes on with its pipes closed, and a thread reaps it. A forked
    child does not get its parent's processes."""

    __slots__ = (
        "__weakref__",
        "_exited",
        "_input",
        "_on_exit",
        "_outputs",
        "_pidfd",
        "_popen",
        "_program",
    )

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        on_output: OnOutput | None,
        on_error_output: OnOutput | None,
        on_exit: Callable[[int], object] | None,
    ) -> None:
        """Watch a process; called by `spawn`."""
        self._popen = popen
        self._program = popen.args
        self._on_exit = on_exit
        self._exited: Promise[int] = Promise()
        # Keep one permanent listener so that a withdrawn one never cancels it.
        self._exited.when_resolved(lambda code: None)
        self._pidfd = _open_pidfd(popen.pid)
        """Refers to the process even after its pid is another's; None if something else has reaped it."""
        self._input = None if popen.stdin is None else Input(own(popen.stdin))
        self._outputs = [
            Output(own(pipe), name, callback)
            for pipe, name, callback in (
                (popen.stdout, "on_output", on_output),
                (popen.stderr, "on_error_output", on_error_output),
            )
            if pipe is not None and callback is not None
        ]
        run_async(self._follow())

    @classmethod
    def spawn(
        cls,
        arguments: Sequence[Argument],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        inherit_fds: Iterable[int | HasFileno] = (),
        stdin: int | HasFileno | None = None,
        on_output: OnOutput | None = None,
        on_error_output: OnOutput | None = None,
        on_exit: Callable[[int], object] | None = None,
    ) -> Process:
        """Start a program, given by its name, which is looked up in $PATH, and its arguments.

        It gets fds 0 to 2 and `inherit_fds`, under the same numbers, and no others; no signal is ignored or
        blocked. `stdin` is a file, or as for subprocess.Popen: PIPE for write(), DEVNULL, None for our own.
        The callbacks get its output in pieces as they come; without a callback the output goes to our own.
        `on_exit` is called with the exit code, see `exit_code`.

        Raises:
            OSError: the program cannot be started: FileNotFoundError, PermissionError and so on, with its
                name.
            UsageError: a single string, a closed fd, or SIGCHLD is ignored, so the kernel drops exit codes.
            NoEventLoop: the thread has no loop.
        """
        thread_loop.current()
        _require_list(arguments)
        _require_exit_codes()
        with forked.child_will_exec():
            popen: subprocess.Popen[bytes] = subprocess.Popen(
                list(arguments),
                bufsize=0,
                stdin=cast(int, stdin),  # It takes whatever has a fileno().
                stdout=None if on_output is None else subprocess.PIPE,
                stderr=None if on_error_output is None else subprocess.PIPE,
                env=env,
                cwd=cwd,
                pass_fds=[_open_fd(file) for file in inherit_fds],
                # Only if needed: without it subprocess may use vfork, which copies no page tables.
                preexec_fn=_listen_to_signals if _is_deaf_to_signals() else None,
            )
        try:
            return cls(popen, on_output, on_error_output, on_exit)
        except BaseException:
            with popen:
                popen.kill()
            raise

    @property
    def pid(self) -> int:
        """The id of the process; after its exit the kernel may give it to another."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether no exit has been observed yet."""
        return self._popen.returncode is None

    @property
    def exit_code(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it runs.

        255, which is logged, if something else reaped the process (by os.waitpid(-1)), however early."""
        return self._popen.returncode

    @property
    def exited(self) -> Promise[int]:
        """A promise of the exit code; it resolves after on_exit was called."""
        return self._exited

    @property
    def unwritten(self) -> int:
        """The number of bytes of write() for which the pipe has had no room yet."""
        return 0 if self._input is None else len(self._input.unsent)

    def write(self, data: Buffer) -> None:
        """Send it bytes without blocking.

        Bytes that the pipe does not take now are queued, without bound (see `unwritten`), and dropped if the
        process closes its standard input or exits.

        Raises:
            BrokenPipeError: the process has closed its standard input or exited.
            UsageError: called after close_stdin(), or without `stdin=subprocess.PIPE`.
        """
        self._piped_input().write(data)

    def close_stdin(self) -> None:
        """Let it read the end of file after the bytes written so far; twice is fine.

        Raises:
            UsageError: it was spawned without `stdin=subprocess.PIPE`.
        """
        self._piped_input().end()

    def send_signal(self, signo: int) -> bool:
        """Send it a signal; False if it has exited. Never reaches another process with the same pid.

        Raises:
            PermissionError: the process has become another user's.
        """
        if self._pidfd is None or self._pidfd.closed:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd.fileno(), signo)
        except ProcessLookupError:
            return False
        return True

    def terminate(self) -> bool:
        """Ask it to end (SIGTERM); False if it has exited."""
        return self.send_signal(signal.SIGTERM)

    def kill(self) -> bool:
        """End it (SIGKILL); False if it has exited."""
        return self.send_signal(signal.SIGKILL)

    def _piped_input(self) -> Input:
        if self._input is None:
            raise UsageError(f"{self!r} has no pipe for its input: spawn it with stdin=subprocess.PIPE")
        return self._input

    async def _follow(self) -> None:
        try:
            await self._end()
            await Promise.after([output.drained() for output in self._outputs])
        except BaseException:  # The loop is closed.
            for output in self._outputs:
                output.close()
            raise
        try:
            self._call_on_exit(self._popen.returncode)
        finally:
            self._exited.resolve(self._popen.returncode)

    async def _end(self) -> None:
        end = None if self._pidfd is None else Notifier(self._pidfd, Notifier.Type.READ)
        try:
            await (sleep_ms(0) if end is None else end)
        finally:
            if end is not None:
                end.close()
            if self._input is not None:
                self._input.close()
            self._reap()
            if self.is_running:
                self._reap_later()

    def _reap(self, options: int = os.WEXITED | os.WNOHANG) -> None:
        if self._pidfd is None:
            self._lose_exit_code()
            return
        # Not by Popen, which takes 0 for a code that it cannot get.
        try:
            result = os.waitid(os.P_PIDFD, self._pidfd.fileno(), options)
        except ChildProcessError:
            self._lose_exit_code()
        else:
            if result is None:
                return
            exited = result.si_code == os.CLD_EXITED
            self._popen.returncode = result.si_status if exited else -result.si_status
        self._pidfd.close()

    def _lose_exit_code(self) -> None:
        logger.warning("%r: its exit code is lost, another waitpid reaped it", self)
        self._popen.returncode = _UNKNOWN_CODE

    def _reap_later(self) -> None:
        # When the interpreter ends no thread can be started any more; then init reaps.
        with contextlib.suppress(RuntimeError):
            name = f"reaper of {self.pid}"
            threading.Thread(target=self._reap, args=(os.WEXITED,), name=name, daemon=True).start()

    @calls_user_code
    def _call_on_exit(self, code: int) -> None:
        if self._on_exit is None:
            return
        try:
            self._on_exit(code)
        except BaseException as error:
            thread_loop.report(error, "on_exit", self._on_exit)

    def __repr__(self) -> str:
        if self.is_running:
            state = "running"
        else:
            code = self._popen.returncode
            state = f"exited with {code}" if code >= 0 else f"ended by {_name_of_signal(-code)}"
        return f"<Process {self.pid} of {brief(self._program)}, {state}>"


def _name_of_signal(signo: int) -> str:
    try:
        return signal.Signals(signo).name
    except ValueError:  # A real-time signal.
        return f"signal {signo}"


def _open_pidfd(pid: int) -> io.FileIO | None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        pidfd = own(os.pidfd_open(pid))
        # If something else has reaped the process, its pid may be a stranger's by now: ChildProcessError.
        os.waitid(os.P_PIDFD, pidfd.fileno(), os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return pidfd
    return None  # FileIO closes the fd with its last reference.


def _require_list(arguments: Sequence[Argument]) -> None:
    if isinstance(arguments, (str, bytes, os.PathLike)) or not arguments:
        raise UsageError(f"a program and its arguments are a list, ['ls', '-l'], not {arguments!r}")


def _require_exit_codes() -> None:
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        raise UsageError(
            "SIGCHLD is ignored, so exit codes are lost: signal.signal(signal.SIGCHLD, signal.SIG_DFL) first"
        )


def _open_fd(file: int | HasFileno) -> int:
    try:
        fd = file if isinstance(file, int) else file.fileno()
        os.fstat(fd)
    except (OSError, OverflowError, ValueError) as error:
        raise UsageError(
            f"{f'fd {file}' if isinstance(file, int) else repr(file)} cannot be inherited, it is not open: "
            "keep it open until spawn()"
        ) from error
    return fd


def _is_deaf_to_signals() -> bool:
    """Whether a program would inherit blocked or ignored signals."""
    if signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        return True
    return any(signal.getsignal(signo) == signal.SIG_IGN for signo in signal.valid_signals() - _RESTORED)


def _listen_to_signals() -> None:
    # Runs between fork and exec, where little is safe if there are threads; these calls are.
    for signo in signal.valid_signals():
        if signal.getsignal(signo) == signal.SIG_IGN:
            signal.signal(signo, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
