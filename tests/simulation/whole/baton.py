"""A real thread beside the simulated loop, of which only one runs at a time: so a seed decides what they do together.

The flush is code for a thread of its own, which blocks. It runs in one here too, until it asks the loop for something;
then the loop runs, in virtual time, until it has the answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

from tests.simulation.deaths import NodeDied

T = TypeVar("T")


class Baton:
    """`run` is for the loop, `wait` for what it runs. One thing at a time."""

    def __init__(self) -> None:
        self._to_thread, self._to_loop = threading.Semaphore(0), threading.Semaphore(0)
        self._asked: Coroutine[Any, Any, Any] | None = None
        self._answer: Any = None
        self._error: BaseException | None = None
        self._dead = self._ended = False

    # ---- on the loop ------------------------------------------------------------------------------------------------

    async def run(self, work: Callable[[], T]) -> T:
        """Run this on a thread. If the task is cancelled, the thread's node has died: it ends where it waits."""
        result: list[T] = []
        failure: list[BaseException] = []

        def live() -> None:
            try:
                result.append(work())
            except BaseException as error:
                failure.append(error)
            self._ended = True
            self._to_loop.release()

        self._ended = False
        thread = threading.Thread(target=copy_context().run, args=(live,), daemon=True)
        thread.start()
        try:
            self._to_loop.acquire()
            while not self._ended:
                await self._serve()
        except BaseException:
            self._kill()
            raise
        finally:
            thread.join()
        if failure:
            raise failure[0]
        return result[0]

    async def _serve(self) -> None:
        asked, self._asked, self._answer, self._error = self._asked, None, None, None
        assert asked is not None
        try:
            self._answer = await asked
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._error = error
        self._pass_on()

    def _pass_on(self) -> None:
        self._to_thread.release()
        self._to_loop.acquire()

    def _kill(self) -> None:
        self._dead = True
        while not self._ended:
            self._pass_on()

    # ---- on the thread ----------------------------------------------------------------------------------------------

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Let the loop run it, and return its result."""
        if self._dead:
            coroutine.close()
            raise NodeDied
        self._asked = coroutine
        self._to_loop.release()
        self._to_thread.acquire()
        if self._dead:
            raise NodeDied
        if self._error is not None:
            raise self._error
        answer: T = self._answer
        return answer

    def pause(self, seconds: float) -> None:
        self.wait(asyncio.sleep(seconds))
