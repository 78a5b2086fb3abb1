"""Owns the asynchronous generators of coroutines: one that is left early runs its finally blocks.
Must not know coroutines: a function that runs one is passed in.

Python calls the hooks of the thread that iterates a generator for the first time, and the finalizer in
whichever thread drops it. The hooks are set when a thread runs its first coroutine and stay until its loop is
closed. While another framework runs in the thread and has set its own, ours are set for each step of a
coroutine.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import AsyncGenerator, Callable
from contextvars import Context
from functools import partial
from typing import Any

from corelib.errors import EventLoopClosed
from corelib.turn import thread_loop
from corelib.turn.instruments import describe
from corelib.turn.interrupts import calls_user_code
from corelib.turn.thread_loop import ThreadLoop

Generator = AsyncGenerator[Any, Any]
Run = Callable[..., Any]


class AsyncGenerators:
    """The generators that coroutines of one loop have begun and not ended."""

    __slots__ = ("__weakref__", "_abandoned", "_begun", "_closed", "_run_coroutine", "_thread", "finisher")

    def __init__(self, thread: ThreadLoop, run_coroutine: Callable[[Any], object]) -> None:
        self._thread = thread
        self._run_coroutine = run_coroutine
        self._begun: weakref.WeakSet[Generator] = weakref.WeakSet()
        self._closed = False
        self._abandoned = False
        self.finisher = self._finish
        """Our finalizer: while sys.get_asyncgen_hooks() has it, our hooks are set."""

    def run_with_hooks(self, context: Context) -> Run:
        """What runs a coroutine's steps in its context, with our hooks set: `run(method, *arguments)`."""
        theirs = sys.get_asyncgen_hooks().finalizer
        if theirs is not None and not isinstance(getattr(theirs, "__self__", None), AsyncGenerators):
            return partial(self._run_a_step, context.run)
        sys.set_asyncgen_hooks(self._note, self.finisher)
        return context.run

    def close(self) -> None:
        """Run the finally blocks of all, as far as their first await, and remove the hooks."""
        self._closed = True
        for generator in list(self._begun):
            self._finish_now(generator)
        # The hooks are those of the calling thread, which is another one's if that has ended.
        if sys.get_asyncgen_hooks().finalizer is self.finisher:
            sys.set_asyncgen_hooks(None, None)

    def abandon(self) -> None:
        """Run no finally blocks any more: in a forked child they are the parent's to run."""
        self._abandoned = True

    @calls_user_code
    def _run_a_step(self, run: Run, method: Callable[..., object], *arguments: object) -> object:
        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(self._note, self.finisher)
        try:
            return run(method, *arguments)
        finally:
            sys.set_asyncgen_hooks(*before)

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
