"""The processes that share a training, an evaluation or a stream of sentences, as `torchrun` starts them.

WORLD_SIZE is their number, RANK the number of this one; LOCAL_WORLD_SIZE and LOCAL_RANK are the same among those of one
machine. They meet at MASTER_ADDR:MASTER_PORT. The first process, of rank 0, writes files and speaks for all.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from seqvae_cli.errors import LostProcessError, MachineError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that a process leaves the first one to say what all of them find."""

LOST = "another process has ended"
LOST_HINT = "a training goes on from its last checkpoint, with any number of processes: seqvae train --resume auto"
ALONE_HINT = "torchrun is for `train`, `eval`, `encode`, `score` and `reconstruct`; elsewhere unset WORLD_SIZE"


@dataclass(frozen=True)
class Processes:
    """The processes of a training, seen from one of them: what it shares with the others. By default it is alone.

    Every process has to call the same methods in the same order. They raise `LostProcessError` where another one has
    ended.
    """

    rank: int = 0
    """The number of this process, from 0."""
    size: int = 1
    """How many there are, on all machines together."""
    local_rank: int = 0
    """The number of this process among those of its machine."""
    local_size: int = 1
    """How many there are on this machine."""
    store: Any = None
    """Where they meet, a `torch.distributed.Store`; None for a process that is alone."""

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def several(self) -> bool:
        return self.size > 1

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, the same bits in each."""
        if not self.several:
            return values
        total = values.detach().clone()
        with _lost():
            _distributed().all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        if not self.several:
            return flag
        import torch

        # On the CPU: to read it does not wait for another device.
        return bool(self.sum(torch.tensor(float(flag), dtype=torch.float32, device="cpu")))

    def same(self, tensors: Iterable[Tensor]) -> None:
        """Writes the values of the first process into the tensors of all."""
        if self.several:
            with _lost():
                for tensor in tensors:
                    _distributed().broadcast(tensor.detach(), src=0)

    def from_first(self, value: T) -> T:
        """The value that the first process gives, in every process. What the others give is ignored."""
        if not self.several:
            return value
        held: list[Any] = [value]
        with _lost():
            _distributed().broadcast_object_list(held, src=0)
        return cast(T, held[0])

    def by_first(self, action: Callable[[], T]) -> T:
        """What `action` gives in the first process, in every process; the others do not call it."""
        return self.from_first(action() if self.first else cast(T, None))

    def gathered(self, value: T) -> list[T]:
        """The values of all processes by rank, in the first process; empty in the others."""
        if not self.several:
            return [value]
        found: list[Any] | None = [None] * self.size if self.first else None
        with _lost():
            _distributed().gather_object(value, found, dst=0)
        return found or []

    def speaks(self) -> bool:
        """Whether this process is the one to say why the training ends: the first that asks."""
        if self.store is None:
            return True
        try:
            return bool(self.store.add("spoken", 1) == 1)
        except RuntimeError:  # the store ended with its machine
            return True


ALONE = Processes()


def of_environment(environment: Mapping[str, str] | None = None) -> Processes:
    """What the environment says of the processes; they have not met. Raises `UsageError` where it makes no sense."""
    found = os.environ if environment is None else environment
    size = _number(found, "WORLD_SIZE", 1)
    if size <= 1:
        return ALONE
    rank = _number(found, "RANK")
    # A launcher that does not count by machine: as if every process had its own.
    local_rank, local_size = _number(found, "LOCAL_RANK", 0), _number(found, "LOCAL_WORLD_SIZE", 1)
    if not (0 <= rank < size and 0 <= local_rank < local_size <= size):
        given = f"RANK {rank}, WORLD_SIZE {size}, LOCAL_RANK {local_rank}, LOCAL_WORLD_SIZE {local_size}"
        raise UsageError(f"the environment does not describe processes: {given}", ALONE_HINT)
    return Processes(rank, size, local_rank, local_size)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, "")
    if not text and default is not None:
        return default
    try:
        return int(text)
    except ValueError:
        stands = f"{name} is {text!r}" if text else f"WORLD_SIZE is above 1, and {name} is not set"
        raise UsageError(stands, ALONE_HINT) from None


def check_alone(what: str) -> None:
    """Raises `UsageError` where a launcher started several processes of `what`, which is made for one."""
    found = of_environment()
    if found.several:
        raise UsageError(f"{what} runs as one process, and WORLD_SIZE is {found.size}", ALONE_HINT)


def leave_to_first() -> None:
    """Delays the other processes of a machine, so that the first prints the error before the launcher ends them all.

    For errors that every process finds by itself before they are connected; afterwards `one_voice` chooses who prints.
    """
    if "torch" in sys.modules and _distributed().is_available() and _distributed().is_initialized():
        return
    with suppress(UsageError):
        if of_environment().local_rank:
            with _ends_silently():
                time.sleep(PATIENCE)


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes of the environment, which meet here; `ALONE` where there is one. Within, `one_voice` speaks.

    gloo carries what is on the CPU, NCCL what is on CUDA devices. Raises `MachineError` where they do not meet.
    """
    found = of_environment()
    if not found.several:
        yield found
        return
    import torch

    distributed = _distributed()
    if not distributed.is_available():
        raise MachineError("this build of torch has no torch.distributed", "train in one process")
    with_nccl = torch.cuda.is_available() and distributed.is_nccl_available()
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, size = next(rendezvous("env://"))
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if with_nccl else "gloo", store=store, rank=rank, world_size=size
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise MachineError(f"process {found.rank} of {found.size} cannot meet the others: {reason}") from error
    met = Processes(found.rank, found.size, found.local_rank, found.local_size, store)
    with one_voice(met):
        yield met
    # Not after an error: another process may be gone, and NCCL would wait for it.
    distributed.destroy_process_group()


@contextmanager
def one_voice(processes: Processes) -> Iterator[None]:
    """An exception passes in one process only, the first that fails; in the others it becomes `SystemExit`.

    They leave after the first process, which may have a failure to write down, or after `PATIENCE`.
    """
    try:
        yield
    except Exception as error:
        if processes.speaks():
            raise
        with suppress(RuntimeError), _ends_silently():
            if processes.store is not None and not processes.first:
                processes.store.wait(["left"], timedelta(seconds=PATIENCE))
        raise SystemExit(getattr(error, "exit_code", 1)) from error
    finally:
        if processes.first and processes.store is not None:
            with suppress(RuntimeError):
                processes.store.set("left", "")


@contextmanager
def _ends_silently() -> Iterator[None]:
    """Within, the SIGTERM of a launcher ends the process without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _distributed() -> Any:
    import torch.distributed

    return torch.distributed


@contextmanager
def _lost() -> Iterator[None]:
    """Turns what torch says of a closed connection into `LostProcessError`."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(LOST, LOST_HINT) from error
