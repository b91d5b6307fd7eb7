"""The library's front door: a trained model as one object, sentences in and out as plain strings.

    from seqvae_cli import load

    model = load("latest")
    codes = model.encode(["stock prices rose", "the president resigned"])
    model.decode(codes.mean(0))

A method answers as the command of its name does; errors are those of `seqvae_cli.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from seqvae_cli.config import layers
from seqvae_cli.data import corpus, prepare, sources
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.evaluation.evaluate import Evaluation, evaluate
from seqvae_cli.evaluation.metrics import Score
from seqvae_cli.latent import generate
from seqvae_cli.latent.generate import ANCESTRAL, GREEDY, MAX_LEN, Strategy
from seqvae_cli.latent.paths import walk
from seqvae_cli.runs import loading
from seqvae_cli.runs.loading import Bundle
from seqvae_cli.runs.registry import Run
from seqvae_cli.system import runtime
from seqvae_cli.training import session
from seqvae_cli.training.events import Event

__all__ = ["Model", "Score", "Strategy", "load", "prepare_corpus", "train_model"]


class Model:
    """A trained sentence VAE. L is the number of its latent dimensions."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def __repr__(self) -> str:
        return f"<seqvae model {self.run.name}, step {self.bundle.step}, {self.latent_size} latent dimensions>"

    @property
    def run(self) -> Run:
        """The run it comes from: `run.metrics()` are its epochs, `run.path` its folder."""
        return self.bundle.run

    @property
    def latent_size(self) -> int:
        return self.bundle.settings.model.latent_size

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """The posterior means of N sentences: [N, L]. Raises `UsageError` for a sentence without words."""
        return self.posterior(sentences)[0]

    def posterior(self, sentences: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The posterior means and standard deviations of N sentences: two of [N, L]."""
        self.bundle.need_latent()
        codes = list(generate.encode(self.bundle.model, self._ids(sentences), precision=self.bundle.precision))
        empty = np.empty((0, self.latent_size), np.float32)
        means, scales = (np.stack([np.asarray(code[i]) for code in codes]) if codes else empty for i in (0, 1))
        return means, scales

    def decode(
        self, codes: ArrayLike | Tensor, strategy: Strategy = GREEDY, *, seed: int = 0, max_len: int = MAX_LEN
    ) -> list[str]:
        """A sentence for each of the codes [N, L]; one code [L] gives a list of one."""
        _check(seed=(seed, 0), max_len=(max_len, 1))
        self.bundle.need_latent()
        try:
            z = np.atleast_2d(
                np.asarray(codes.detach().cpu().float() if isinstance(codes, Tensor) else codes, np.float32)
            )
        except (ValueError, TypeError) as error:
            raise UsageError(f"codes are numbers of shape (N, {self.latent_size})") from error
        if z.ndim != 2 or z.shape[1] != self.latent_size or not np.isfinite(z).all():
            raise UsageError(f"codes of shape {z.shape} are not finite numbers of shape (N, {self.latent_size})")
        uniforms = np.empty((len(z), max_len), np.float32)
        for i, row in enumerate(uniforms):
            row[:] = runtime.stream(seed, i).random(max_len, dtype=np.float32)
        decoded = generate.decode(
            self.bundle.model,
            torch.from_numpy(z),
            strategy,
            uniforms=torch.from_numpy(uniforms),
            max_len=max_len,
            precision=self.bundle.precision,
        )
        return self._texts(decoded)

    def reconstruct(
        self, sentences: Sequence[str], strategy: Strategy = GREEDY, *, max_len: int = MAX_LEN
    ) -> list[str]:
        """What the model makes of each sentence: the decoding of its posterior mean."""
        return self.decode(self.encode(sentences), strategy, max_len=max_len)

    def sample(
        self,
        count: int = 10,
        strategy: Strategy = ANCESTRAL,
        *,
        start: str = "",
        seed: int = 0,
        max_len: int = MAX_LEN,
    ) -> list[str]:
        """Sentences decoded from draws of the prior, each beginning with the words of `start`."""
        _check(count=(count, 0), seed=(seed, 0), max_len=(max_len, 1))
        precision, first = self.bundle.precision, self._start(start)
        sampled = generate.sample(
            self.bundle.model, count, strategy, seed=seed, start=first, max_len=max_len, precision=precision
        )
        return self._texts(sampled)

    def interpolate(
        self,
        first: str,
        last: str,
        steps: int = 11,
        strategy: Strategy = GREEDY,
        *,
        path: str | None = None,
        even: bool = False,
        max_len: int = MAX_LEN,
    ) -> list[str]:
        """The sentences along the path between two posterior means, both ends included, decoded greedily or by a beam.

        `path`: linear or spherical; None: the one that stays among the codes. `even`: steps at which the sentence
        changes evenly, not the code.
        """
        _check(steps=(steps, 2), max_len=(max_len, 1))
        a, b = torch.from_numpy(self.encode([first, last]))
        options: dict[str, Any] = {"max_len": max_len, "precision": self.bundle.precision}
        return self._texts(walk(self.bundle.model, a, b, steps, strategy, kind=path, even=even, **options).sentences)

    def score(self, sentences: Sequence[str], *, samples: int = 1, seed: int = 0) -> list[Score]:
        """-ELBO and importance-weighted bound (K = `samples`) of each sentence, in nats."""
        _check(samples=(samples, 1), seed=(seed, 0))
        precision = self.bundle.precision
        ids = self._ids(sentences)
        return list(metrics.score(self.bundle.model, ids, samples=samples, seed=seed, precision=precision))

    def evaluate(self, split: str = "test", *, samples: int = 500, elbo_samples: int = 1, seed: int = 0) -> Evaluation:
        """All figures on a split of the corpus that the model was trained on."""
        _check(samples=(samples, 1), elbo_samples=(elbo_samples, 1), seed=(seed, 0))
        data = corpus.find(str(self.run.info["corpus"]["folder"]))
        return evaluate(self.bundle, data, split, samples=samples, elbo_samples=elbo_samples, seed=seed)

    def _ids(self, sentences: Sequence[str]) -> list[NDArray[np.int64]]:
        if isinstance(sentences, str):
            raise UsageError("one sentence is given where several are meant", "put it in a list")
        ids = [np.array(self.bundle.tokenizer.encode(sentence), dtype=np.int64) for sentence in sentences]
        if any(not len(words) for words in ids):
            raise UsageError("an empty sentence has no code", "leave it out")
        return ids

    def _start(self, start: str) -> list[int]:
        if unknown := self.bundle.tokenizer.unknown(start):
            raise UsageError(f"start {unknown[0]!r}: the model does not know this word")
        return self.bundle.tokenizer.encode(start)

    def _texts(self, decoded: Iterable[list[int]]) -> list[str]:
        return [self.bundle.tokenizer.decode(words) for words in decoded]


def load(run: str = "latest", *, device: str = "auto") -> Model:
    """The best checkpoint of a run: its name, a unique prefix of it, `latest` or `best`; verified before it is read.

    Raises `NotFoundError`, `CheckpointError`, `MachineError` for a device that is not there.
    """
    return Model(loading.load(run, runtime.resolve_device(device)))


def prepare_corpus(
    source: str | Path,
    *,
    name: str | None = None,
    sentences: int = 20_000,
    from_folder: str | Path | None = None,
    tokenizer: str | None = None,
) -> Corpus:
    """A prepared corpus: `toy` (built in, of so many `sentences`), one that is known such as `ptb`, or a text file.

    Only a known corpus uses the network, and not where `from_folder` has its files. `tokenizer`: word, whitespace or
    char; None: word for text, whitespace for a known corpus, whose words are told apart already.
    """
    if from_folder is not None and source not in corpus.CORPORA:
        raise UsageError(f"from_folder does not go with {str(source)!r}", f"known corpora: {', '.join(corpus.CORPORA)}")
    if name is not None and source in corpus.CORPORA:
        raise UsageError(f"corpus {source} has its own name", "leave name out")
    if source == "toy" and tokenizer is not None:
        raise UsageError("corpus toy has its own words", "leave tokenizer out")
    if source == "toy":
        return prepare.prepare_toy(sentences=sentences, name=name or "toy").corpus
    if isinstance(source, str) and source in corpus.CORPORA:
        folder = None if from_folder is None else Path(from_folder)
        return prepare.prepare_known(source, from_dir=folder, tokenizer=tokenizer or "whitespace").corpus
    text = sources.text_source(Path(source))
    return prepare.prepare_text(text, name or sources.name_of(str(source)), tokenizer=tokenizer or "word").corpus


def train_model(
    settings: Mapping[str, Any] | None = None,
    *,
    data: str | Corpus | None = None,
    preset: str = "default",
    name: str | None = None,
    callback: Callable[[Event], object] = lambda _: None,
) -> Model:
    """Trains a new run and gives its best model. `settings` have dotted names, such as {"train.epochs": 5}.

    `callback` is told each event of the training (`training.events`); what it raises ends the training, saved as of the
    last checkpoint. `data` is a prepared corpus or its name; None: that of the settings, or the last one prepared.
    """
    resolved = layers.resolve(preset, overrides=settings)
    if data and resolved.data:
        raise UsageError("the corpus is named twice", "leave data out of the settings, or the argument out")
    named = data or resolved.data
    chosen = named if isinstance(named, Corpus) else corpus.find(named) if named else corpus.latest()
    run = session.start(resolved, chosen, preset=preset, name=name)
    for event in session.fit(run, chosen):
        callback(event)
    return load(run.name, device=resolved.runtime.device)


def _check(**values: tuple[object, int]) -> None:
    """Raises `UsageError` for what is no whole number, or below the least."""
    for name, (value, least) in values.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value < 2**63:
            raise UsageError(f"{name} is {value!r}", f"a whole number of at least {least}")
