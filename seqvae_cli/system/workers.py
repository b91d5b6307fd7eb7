"""Worker processes that apply a function to items, in order, while this process reads on.

A worker is a Python of its own that imports what the function needs, and nothing of the program that called: a script
needs no `if __name__ == "__main__"`, and torch is not loaded. Requests and answers go through its standard input and
output, which no one else writes to. It ends with the input: also where this process was killed. Ctrl-C in a terminal
does not reach it.
"""

from __future__ import annotations

import itertools
import os
import pickle
import queue
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

from seqvae_cli.errors import MachineError, SeqvaeError

T = TypeVar("T")
R = TypeVar("R")

_START = "import sys; sys.path[:] = sys.argv[1:]; from seqvae_cli.system import workers; workers.serve()"
_OWN_GROUP: dict[str, Any] = (
    {"process_group": 0}
    if os.name == "posix"
    else {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
)


class Workers:
    """Up to `count` processes, started when they are needed. Use it in a `with`, which ends them.

    alone: items that this process works on before it starts the others, over all calls of `map`, so that a small
        input starts none. With a `count` of 1 it works on all of them.
    """

    def __init__(self, count: int, alone: int = 0) -> None:
        self.count = count if sys.executable and not hasattr(sys, "frozen") else 1
        self.alone = alone
        self._threads: ThreadPoolExecutor | None = None
        self._processes: list[_Process] = []
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for process in self._processes:
            process.kill()
        if self._threads:
            self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.close()

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """`function` of each item, in order. At most three items a worker are held at once.

        The function, the items and the answers can be pickled. Raises what the function raises, after the answers
        before; what reading the items raises (a `SeqvaeError`), after all answers; `MachineError` where a worker dies.
        """
        rest = iter(items)
        for item in itertools.islice(rest, self.alone if self.count > 1 else None):
            self.alone -= 1
            yield function(item)
        threads = self._started()
        if threads is None:
            yield from map(function, rest)
            return
        packed = pickle.dumps(function, pickle.HIGHEST_PROTOCOL)
        pending: deque[Future[R]] = deque()
        failure: SeqvaeError | None = None
        while True:
            try:
                item = next(rest)
            except StopIteration:
                break
            except SeqvaeError as error:
                failure = error
                break
            pending.append(threads.submit(self._answer, packed, item))
            if len(pending) >= 3 * self.count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
        if failure is not None:
            raise failure

    def _started(self) -> ThreadPoolExecutor | None:
        """A thread for each worker, which waits for its answers; None where this process works alone."""
        if self._threads is None and self.count > 1:
            with suppress(OSError):  # no process may be started here, or no more of them
                while len(self._processes) < self.count:
                    self._processes.append(_Process())
                    self._idle.put(self._processes[-1])
            self.count = max(1, len(self._processes))
            self._threads = ThreadPoolExecutor(self.count, "worker") if self._processes else None
        return self._threads

    def _answer(self, function: bytes, item: Any) -> Any:
        process = self._idle.get()
        try:
            return process.answer(function, item)
        finally:
            self._idle.put(process)


class _Process:
    """A worker process."""

    def __init__(self) -> None:
        self._function: bytes | None = None
        words = [sys.executable, "-P", "-c", _START, *sys.path]
        self._popen = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **_OWN_GROUP)

    def answer(self, function: bytes, item: Any) -> Any:
        """The function, pickled, of an item. Raises what it raises."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        try:
            new = None if function is self._function else function
            pickle.dump((new, item), self._popen.stdin, pickle.HIGHEST_PROTOCOL)
            self._popen.stdin.flush()
            self._function = function
            good, answer = pickle.load(self._popen.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            code = self._popen.wait()
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            hint = "too little memory? --workers 1 needs the least"
            raise MachineError(f"a worker process {how}", hint) from error
        if not good:
            raise answer
        return answer

    def kill(self) -> None:
        self._popen.kill()

    def close(self) -> None:
        """Waits for the end of the process, which was killed."""
        with suppress(OSError), self._popen:  # a request that was not written whole
            pass


def serve() -> None:
    """The work of a worker process: reads functions and items from its standard input, and writes the answers."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    function: Callable[[Any], Any] = str
    with suppress(EOFError, BrokenPipeError):  # the process that started this one has ended
        while True:
            new, item = pickle.load(requests)
            try:
                function = function if new is None else pickle.loads(new)
                answer = pickle.dumps((True, function(item)), pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                error.add_note(f"in a worker process:\n{traceback.format_exc()}")
                answer = pickle.dumps((False, error), pickle.HIGHEST_PROTOCOL)
            answers.write(answer)
            answers.flush()
