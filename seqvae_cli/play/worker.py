"""One thread that does the work of all requests, one after another, from a queue that is bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Full, Queue
from typing import Any

from seqvae_cli.errors import MachineError

WAITING = 16
"""Requests that wait for the worker, at most."""


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


class BusyError(MachineError):
    """The queue is full."""


class Job:
    """Work that runs once; `check` is called between its parts."""

    def __init__(self, work: Callable[[Job], Any]) -> None:
        self.work = work
        self.answer: Future[Any] = Future()
        self._left = threading.Event()

    def cancel(self) -> None:
        """Called when the client has left: the work ends at the next `check`."""
        self._left.set()

    def check(self) -> None:
        """Raises `ClientGoneError` where the client has left."""
        if self._left.is_set():
            raise ClientGoneError

    def run(self) -> None:
        try:
            self.check()
            self.answer.set_result(self.work(self))
        except BaseException as error:  # the worker outlives any error; who waits gets it
            self.answer.set_exception(error)


class Worker:
    """A daemon thread: it does not keep the process from ending."""

    def __init__(self, waiting: int = WAITING) -> None:
        self._queue: Queue[Job] = Queue(waiting)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, work: Callable[[Job], Any]) -> Job:
        """Queues work. Raises `BusyError` where too much waits already."""
        job = Job(work)
        try:
            self._queue.put_nowait(job)
        except Full as error:
            raise BusyError("too many requests wait for the model", "try again in a moment") from error
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="seqvae-play", daemon=True)
                self._thread.start()
        return job

    def _loop(self) -> None:
        while True:
            self._queue.get().run()
