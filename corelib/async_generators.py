"""Owns the asynchronous generators of coroutines: one that is left early runs its finally blocks.
Must not know coroutines: a function that runs one is passed in.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

from corelib.errors import EventLoopClosed
from corelib.turn import thread_loop
from corelib.turn.instruments import describe
from corelib.turn.interrupts import calls_user_code
from corelib.turn.thread_loop import ThreadLoop

Generator = AsyncGenerator[Any, Any]


class AsyncGenerators:
    """The generators that coroutines of one loop have begun and not ended.

    Python calls the hooks of the thread that iterates a generator for the first time, and the finalizer in
    whichever thread drops it. A thread's hooks are set at its first coroutine and removed when its loop is
    closed. While another framework's hooks are set, as during a run of asyncio, each step of a coroutine
    sets ours and restores theirs."""

    __slots__ = ("__weakref__", "_abandoned", "_begun", "_closed", "_finalizer", "_run_coroutine", "_thread")

    def __init__(self, thread: ThreadLoop, run_coroutine: Callable[[Any], object]) -> None:
        """Set the calling thread's hooks, unless another framework has set its own."""
        self._thread = thread
        self._run_coroutine = run_coroutine
        self._begun: weakref.WeakSet[Generator] = weakref.WeakSet()
        self._closed = False
        self._abandoned = False
        self._finalizer = self._finish
        set_now = sys.get_asyncgen_hooks().finalizer
        if set_now is None or isinstance(getattr(set_now, "__self__", None), AsyncGenerators):
            sys.set_asyncgen_hooks(self._note, self._finalizer)
        else:
            thread.has_foreign_hooks = True

    @calls_user_code
    def run_with_hooks(self, run: Callable[..., object], *arguments: object) -> object:
        """Return `run(*arguments)`, a step of a coroutine, during which our hooks are set."""
        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(self._note, self._finalizer)
        try:
            return run(*arguments)
        finally:
            sys.set_asyncgen_hooks(*before)

    def close(self) -> None:
        """Run the finally blocks of all, as far as their first await, and remove the hooks."""
        self._closed = True
        for generator in list(self._begun):
            self._finish_now(generator)
        # The hooks are those of the calling thread, which is another one's if that has ended.
        if sys.get_asyncgen_hooks().finalizer is self._finalizer:
            sys.set_asyncgen_hooks(None, None)

    def abandon(self) -> None:
        """Run no finally blocks any more: in a forked child they are the parent's to run."""
        self._abandoned = True

    def _note(self, generator: Generator) -> None:
        self._begun.add(generator)

    def _finish(self, generator: Generator) -> None:
        """Have the loop close a generator that nobody refers to any more."""
        self._begun.discard(generator)
        if self._abandoned:
            return
        if not self._closed:
            try:
                self._thread.queue.post(partial(self._close_in_a_coroutine, generator))
                return
            except EventLoopClosed:
                pass
        self._finish_now(generator)

    def _close_in_a_coroutine(self, generator: Generator) -> None:
        self._run_coroutine(generator.aclose())

    @calls_user_code
    def _finish_now(self, generator: Generator) -> None:
        closing = generator.aclose()
        try:
            closing.send(None)
        except (StopIteration, StopAsyncIteration):
            return
        except BaseException as error:
            thread_loop.report(error, "closing of an asynchronous generator", generator)
            return
        closing.close()
        torn = RuntimeError(f"{describe(generator)} awaits in a finally block, but its event loop is closed")
        thread_loop.report(torn, "closing of an asynchronous generator", generator)
