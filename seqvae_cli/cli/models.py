"""Opens the model that a command line names, and warns about the sentences it has read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seqvae_cli.cli import display, progress
from seqvae_cli.errors import UsageError, counted
from seqvae_cli.system.processes import ALONE, Processes, joined, of_environment

if TYPE_CHECKING:
    import torch

    from seqvae_cli.api import Model
    from seqvae_cli.latent.streams import Tally
    from seqvae_cli.runs.run import Run


def open_device(name: str, processes: Processes = ALONE) -> torch.device:
    """The device of that name, or that of one of `processes`.

    Raises `UsageError` for an unknown name, `MachineError` for a device that is absent.
    """
    from seqvae_cli.config import layers
    from seqvae_cli.system import runtime

    try:
        layers.resolve(overrides={"runtime.device": name})
    except UsageError as error:
        raise UsageError(error.message, f"devices: {', '.join(runtime.devices())}") from error
    return runtime.resolve_device(name, processes)


def find_run(argument: str | None, option: str | None) -> Run:
    """The trained run given as argument or option, else the latest. Raises `UsageError`, `NotFoundError`."""
    if argument and option and argument != option:
        raise UsageError(f"two runs are named: {argument!r} and {option!r}", "name one")
    from seqvae_cli.runs import registry

    return registry.find(next((name for name in (argument, option) if name is not None), "latest"), trained=True)


def open_model(
    argument: str | None, option: str | None, device: str, threads: int, processes: Processes = ALONE
) -> Model:
    """The model of the run given as argument or option, else of the latest run, on `device`. Raises `UsageError`."""
    with progress.working("loading the model"):
        from seqvae_cli import api
        from seqvae_cli.system import runtime

        chosen = open_device(device, processes)
        runtime.set_threads(threads, processes.local_size)
        model = api.load(find_run(argument, option), device=str(chosen))
    display.detail(f"run {model.run.name}, weights of step {model.step}, on {chosen}")
    return model


class Cuts:
    """Counts the sentences that were decoded, and those cut at `--max-len`."""

    def __init__(self, max_len: int) -> None:
        self.max_len, self.sentences, self.cut = max_len, 0, 0

    def add(self, cut: bool) -> None:
        self.sentences += 1
        self.cut += cut

    def warn(self) -> None:
        """Warns, once, where sentences were cut."""
        if self.cut:
            sentences = "sentence was" if self.sentences == 1 else "sentences were"
            display.warn(f"{self.cut} of {self.sentences} {sentences} cut at {self.max_len} tokens", "raise --max-len")


@contextmanager
def shared_model(option: str | None, device: str, threads: int) -> Iterator[Model]:
    """The model of a command whose sentences the processes of `torchrun` share: the first answers, the others follow.

    Raises `UsageError`.
    """
    display.settings.quiet |= bool(of_environment().rank)
    with joined() as processes:
        model = open_model(None, option, device, threads, processes)
        model.processes = processes
        yield model


def follow(answers: Iterable[object]) -> None:
    """What all processes but the first do: they compute their part of the answers, and show none."""
    for _ in answers:
        pass


@contextmanager
def counting(empty: str = "kept") -> Iterator[Tally]:
    """The tally of a stream, which is told at its end, and at Ctrl-C, the only end that some streams have.

    empty: what becomes of the rows of empty sentences.
    """
    from seqvae_cli.latent.streams import Tally

    tally = Tally()
    try:
        yield tally
    except KeyboardInterrupt:
        warn_of(tally, empty)
        raise
    warn_of(tally, empty)


def warn_of(tally: Tally, empty: str = "kept") -> None:
    """Warns of unknown words, with their share and the first of them, and of empty sentences, with their fate."""
    if tally.unknown:
        unknown = f"{tally.unknown:,} of {counted(tally.words, tally.noun)}"
        among = ": " if sum(tally.names.values()) == tally.unknown else ", among them "
        names = ", ".join(map(_quoted, tally.names))
        display.warn(f"{unknown} {'is' if tally.unknown == 1 else 'are'} unknown, read as <unk>{among}{names}")
    if tally.empty:
        rows = "1 empty sentence; its row is" if tally.empty == 1 else f"{tally.empty} empty sentences; their rows are"
        display.warn(f"{rows} {empty}")


def _quoted(word: str) -> str:
    """A word in quotes, so that spaces show; what no terminal shows is escaped, and a long word is cut."""
    return repr(word if len(word) <= 40 else f"{word[:40]}...")
