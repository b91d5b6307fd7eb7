"""A new run, and `fit(...)`, which trains one and yields events. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from seqvae_cli.config import layers
from seqvae_cli.config.schema import Settings
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DivergedError, MachineError, UsageError
from seqvae_cli.runs import checkpoint, loading, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files
from seqvae_cli.system.runtime import resolve_device, resolve_precision
from seqvae_cli.training.events import Event
from seqvae_cli.training.loop import Trainer


def start(settings: Settings, corpus: Corpus, *, preset: str = "default", name: str | None = None) -> Run:
    """A new run folder for `settings` on `corpus`. Raises where training could not begin: before any data is read."""
    resolve_precision(settings.runtime.precision, resolve_device(settings.runtime.device))
    _check_splits(corpus)
    corpus.verify()
    settings = settings.model_copy(update={"data": corpus.path.name})
    return registry.create(
        f"{corpus.name}-{preset}",
        name=name,
        config=layers.dump(settings),
        tokenizer=(corpus.path / "tokenizer.json").read_bytes(),
        corpus={"name": corpus.name, "folder": corpus.path.name, "hash": corpus.hash},
    )


def _check_splits(corpus: Corpus) -> None:
    for split in ("train", "valid"):
        if split not in corpus.splits or not len(corpus.split(split)):
            raise UsageError(f"corpus {corpus.name} has no {split} sentences", "prepare it with --valid or a fraction")


def fit(
    run: Run, corpus: Corpus, *, resume: bool = False, epochs: int | None = None, stop: Callable[[], bool] = bool
) -> Iterator[Event]:
    """Trains `run` on `corpus` until its last epoch, an early stop, or until `stop()` is true.

    Seeds and uses torch's global random streams. With `resume` it goes on from the newest checkpoint that verifies;
    `epochs` then replaces the number of epochs in all, for later resumes too. Stopped, it saves first.

    Raises `DivergedError` when the loss is no number (the last finite checkpoint stays), `MachineError`,
    `CheckpointError`, `DataError`.
    """
    run.check_corpus(corpus.path.name, corpus.hash)
    corpus.verify()
    _check_splits(corpus)
    resolve_device(loading.load_parts(run)[0].runtime.device)  # else a run is marked failed for want of it
    with run.lock():
        run.start()
        files.sweep(run.path)
        for folder in ("best", "last"):
            checkpoint.sweep(run.path / folder)
        try:
            trainer = Trainer(run, corpus, stop, epochs)
            if resume:
                yield from trainer.resume()
            yield from trainer.train()
        except DivergedError as error:
            _mark(run, "diverged", error.message)
            raise
        except BaseException as error:
            # Also where the consumer stops listening (GeneratorExit) or a second Ctrl-C ends it at once.
            interrupted = isinstance(error, GeneratorExit | KeyboardInterrupt)
            _mark(run, "interrupted" if interrupted else "failed", None if interrupted else repr(error))
            raise


def _mark(run: Run, status: str, failure: str | None) -> None:
    """Best effort: the error that brought us here is the one to report, not a full disk on top of it."""
    try:
        run.update(status=status, holder=None, failure=failure)
    except MachineError:
        return
