"""One thread that does the work of requests, one after another, from a queue that is bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
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
        self.left = threading.Event()
        """Whether the client has left."""

    def check(self) -> None:
        """Raises `ClientGoneError` where the client has left."""
        if self.left.is_set():
            raise ClientGoneError

    def run(self) -> None:
        try:
            self.check()
            answer = self.work(self)
        except BaseException as error:  # the worker outlives any error; who waits gets it
            self.answer.set_exception(error)
        else:
            self.answer.set_result(answer)


class Worker:
    """A daemon thread: it does not keep the process from ending."""

    def __init__(self, waiting: int = WAITING) -> None:
        self._most = waiting
        self._waiting: deque[Job] = deque()
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def submit(self, work: Callable[[Job], Any]) -> Job:
        """Queues work. Raises `BusyError` where too much waits already."""
        job = Job(work)
        with self._changed:
            if len(self._waiting) >= self._most:
                raise BusyError("too many requests wait for the model", "try again in a moment")
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="seqvae-worker", daemon=True)
                self._thread.start()
            self._changed.notify()
        return job

    @property
    def waiting(self) -> int:
        """Jobs in the queue; one that runs is not."""
        return len(self._waiting)

    def cancel(self, job: Job) -> None:
        """For a client that has left: a job that waits leaves the queue, one that runs ends at its next `check`."""
        job.left.set()
        with self._changed:
            if job not in self._waiting:
                return
            self._waiting.remove(job)
        job.run()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                job = self._waiting.popleft()
            job.run()
