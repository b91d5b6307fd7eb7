"""The front door: a trained model as one object, sentences in and out as plain strings.

    from seqvae_cli import load

    model = load("latest")
    codes = model.encode(["stock prices rose", "the president resigned"])
    model.decode(codes.mean(0))

The commands of `seqvae` call these methods; errors are those of `seqvae_cli.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from seqvae_cli.config import layers
from seqvae_cli.config.schema import Settings
from seqvae_cli.data import corpus as corpora
from seqvae_cli.data import prepare
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.prepare import PrepareOptions, Source
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.data.windows import Pause
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation import bounds, diagnosis, dimensions, path_quality
from seqvae_cli.evaluation.bounds import SCORE_SAMPLES, SCORE_WINDOW, Score
from seqvae_cli.evaluation.diagnosis import Diagnosis
from seqvae_cli.evaluation.evaluate import Evaluation, evaluate
from seqvae_cli.evaluation.path_quality import Paths
from seqvae_cli.evaluation.samples import SAMPLES, Quality, quality
from seqvae_cli.export import exporters
from seqvae_cli.latent import candidates, code_sets, neighbours, traversal
from seqvae_cli.latent.arguments import check_counts, check_iterable, check_sentences
from seqvae_cli.latent.arithmetic import ArithmeticModel
from seqvae_cli.latent.code_sets import Among, CodeSet
from seqvae_cli.latent.frames import FrameModel
from seqvae_cli.latent.neighbours import Neighbour
from seqvae_cli.latent.strategy import Strategy
from seqvae_cli.latent.streams import Tally, map_lines
from seqvae_cli.latent.text_model import STEPS, Code
from seqvae_cli.latent.traversal import Traversal, TraversalOptions
from seqvae_cli.logs import loggers
from seqvae_cli.logs.logged import logged
from seqvae_cli.model import SentenceVAE
from seqvae_cli.plotting import projection
from seqvae_cli.plotting.gathering import POINTS
from seqvae_cli.plotting.maps import map as maps
from seqvae_cli.plotting.maps.map import Map, MapOptions
from seqvae_cli.plotting.projection import Means
from seqvae_cli.runs import evaluations, loading, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import runtime
from seqvae_cli.system.processes import ALONE, Processes, check_alone
from seqvae_cli.system.progress import Advance, Stages, silent
from seqvae_cli.training import session
from seqvae_cli.training.events import Event
from seqvae_cli.training.initial import Initial

__all__ = ["Model", "Score", "Strategy", "load", "prepare_corpus", "train_model"]


class Model(ArithmeticModel, FrameModel):
    """The trained sentence VAE of a run: what `TextModel` does with sentences and codes, scores, and evaluation."""

    def __init__(self, run: Run, settings: Settings, tokenizer: Tokenizer, network: SentenceVAE, step: int) -> None:
        # In the precision of the training; in float32 where this device is slow in that.
        fast = runtime.resolve_precision("auto", network.device)
        precision = torch.float32 if run.info.get("precision") == "float32" else fast
        super().__init__(run.name, tokenizer, network, precision, unk=not settings.train.unknown)
        self.run = run
        """The run it comes from: `run.metrics()` are its epochs, `run.path` its folder."""
        self.settings = settings
        self.step = step
        """The training step of the weights."""

    def __repr__(self) -> str:
        return f"<seqvae model {self.name}, step {self.step}, {self.latent_size} latent dimensions>"

    def score(self, sentences: Iterable[str], *, samples: int = SCORE_SAMPLES, seed: int = 0) -> list[Score]:
        """-ELBO and importance-weighted bound (K = `samples`) of each sentence, in nats.

        Noise comes from the seed and the sentence: it has the same score in any order and company, but for rounding:
        1e-6 of it in float32, 1e-3 in bfloat16.
        """
        return list(self._scores(self._ids(sentences), samples, seed))

    def score_stream(
        self, lines: Iterable[str | Pause], *, samples: int = SCORE_SAMPLES, seed: int = 0, tally: Tally | None = None
    ) -> Iterator[tuple[str, Score | None]]:
        """Each line with its score, in order, as they come; None for a line without words."""
        check_counts(samples=(samples, 1), seed=(seed, 0))

        def process(ids: Sequence[NDArray[np.int64]]) -> Iterator[Score]:
            return self._scores(ids, samples, seed)

        return map_lines(check_sentences(lines), self.tokenizer, process, SCORE_WINDOW, tally, self.processes)

    def _scores(self, ids: Iterable[NDArray[np.int64]], samples: int, seed: int) -> Iterator[Score]:
        check_counts(samples=(samples, 1), seed=(seed, 0))
        return bounds.score(self.network, ids, samples=samples, seed=seed, precision=self.precision)

    def corpus(self) -> Corpus:
        """The corpus that the run was trained on. Raises `NotFoundError`, or `DataError` where it has changed."""
        return loading.load_corpus(self.run)

    def evaluate(
        self,
        split: str = "test",
        *,
        samples: int = 500,
        elbo_samples: int = 1,
        seed: int = 0,
        stage: Stages = silent,
        processes: Processes = ALONE,
    ) -> Evaluation:
        """All figures on a split of the corpus that the model was trained on; `processes` share its sentences."""
        check_counts(samples=(samples, 1), elbo_samples=(elbo_samples, 1), seed=(seed, 0))
        return evaluate(
            self.network,
            self.corpus(),
            split,
            weights=f"{self.run.name}@{self.step}",
            samples=samples,
            elbo_samples=elbo_samples,
            seed=seed,
            unk=self.unk,
            precision=self.precision,
            stage=stage,
            processes=processes,
        )

    def store(self, evaluation: Evaluation) -> Path:
        """Keeps an evaluation in the run folder, for `runs compare` and `runs best`. Raises `MachineError`."""
        return evaluations.write(self.run, self.step, evaluation.to_json())

    def diagnose(self, split: str = "test", *, seed: int = 0, stage: Stages = silent) -> Diagnosis:
        """What the latent code is used for on a split."""
        check_counts(seed=(seed, 0))
        return diagnosis.diagnose(self.network, self.corpus(), split, seed=seed, precision=self.precision, stage=stage)

    def sample_quality(
        self, split: str = "test", *, count: int = SAMPLES, seed: int = 0, stage: Stages = silent
    ) -> Quality:
        """The figures of `count` samples beside the real sentences of a split."""
        check_counts(count=(count, 2), seed=(seed, 0))
        options: dict[str, Any] = {"count": count, "seed": seed, "unk": self.unk, "precision": self.precision}
        return quality(self.network, self.corpus(), split, stage=stage, **options)

    def path_quality(
        self, split: str = "test", *, pairs: int = 200, steps: int = STEPS, seed: int = 0, stage: Stages = silent
    ) -> tuple[Paths, Paths]:
        """The figures of `pairs` paths of `steps` sentences between random sentences of a split.

        First at equal steps of the code, then at steps between which about equally many words change.
        """
        self.require_latent()
        check_counts(pairs=(pairs, 1), steps=(steps, 2), seed=(seed, 0))
        options: dict[str, Any] = {"pairs": pairs, "steps": steps, "seed": seed, "unk": self.unk}
        return path_quality.paths(self.network, self.corpus(), split, precision=self.precision, stage=stage, **options)

    def export(self, folder: str | Path, form: str = "onnx") -> list[Path]:
        """Writes the model for other programs as the new folder `folder`; returns its files. See `export.exporters`."""
        about = {"run": self.run.name, "step": self.step}
        return exporters.export(self.network, self.tokenizer, Path(folder), form, unk=self.unk, about=about)

    def candidates(self, among: Among = "train", *, watch: Advance | None = None) -> CodeSet:
        """The codes of the distinct sentences of a split of the corpus, or of others, for `neighbours`.

        Those of a split are kept in the run folder. watch: told sentences. Raises `DataError` where none has words.
        """
        self.require_latent()
        given = candidates.of_split(self.corpus(), among) if isinstance(among, str) else among
        return code_sets.open_or_make(self.run.path / code_sets.FOLDER, self.network, self.tokenizer, given, watch)

    def neighbours(
        self,
        queries: Iterable[str] | Code | torch.Tensor,
        among: Among = "train",
        *,
        n: int = 5,
        metric: str = "euclidean",
    ) -> list[list[Neighbour]]:
        """The `n` nearest of the candidates to each sentence, or code [N, L], nearest first; `among` as above."""
        neighbours.check(self.network, n, metric)
        if isinstance(queries, torch.Tensor) or (isinstance(queries, np.ndarray) and queries.dtype.kind not in "OTU"):
            return neighbours.neighbours_of_codes(self._codes(queries), None, self.candidates(among), n, metric)
        mean, scale = self.posterior(queries)
        return neighbours.neighbours_of_codes(mean, scale, self.candidates(among), n, metric)

    def neighbours_stream(
        self,
        lines: Iterable[str | Pause],
        among: Among = "train",
        *,
        n: int = 5,
        metric: str = "euclidean",
        tally: Tally | None = None,
    ) -> Iterator[tuple[str, list[Neighbour] | None]]:
        """Each line with its neighbours, in order, as they come; None for a line without words."""
        neighbours.check(self.network, n, metric)
        process = partial(neighbours.neighbours_of_ids, self.network, self.candidates(among), n, metric)
        return map_lines(check_sentences(lines), self.tokenizer, process, neighbours.QUERIES, tally)

    def traverse(
        self, sentence: str | None = None, *, seed: int = 0, stage: Stages = silent, **options: Unpack[TraversalOptions]
    ) -> Traversal:
        """What each latent dimension does to a sentence, or with `random` to a draw from the prior.

        Each dimension moves over its quantiles on the corpus of the run, 0.01 to 0.99, those of highest rate first. The
        options are those of `traversal.traverse`.
        """
        check_counts(seed=(seed, 0))

        def measure(steps: int) -> traversal.Profile:
            return dimensions.profile(self.network, self.corpus(), steps, seed=seed, stage=stage)

        return traversal.traverse(self, measure, sentence, seed=seed, **options)

    def project(
        self,
        split: str = "valid",
        color: str | None = None,
        *,
        components: Sequence[int] = projection.FIRST,
        most: int = POINTS,
        watch: Advance | None = None,
    ) -> Means:
        """Posterior means of at most `most` sentences of a split on two of their principal components.

        `color` is `length` or a label of the corpus; None: its label where it has one alone, else the length.
        """
        self.require_latent()
        check_counts(most=(most, 1))
        options: dict[str, Any] = {"step": self.step, "components": components, "most": most, "watch": watch}
        return projection.project(self.network, self.corpus(), split, color, **options)

    def project_sentences(
        self,
        sentences: Iterable[str],
        labels: Iterable[object] | None = None,
        color: str | None = None,
        *,
        components: Sequence[int] = projection.FIRST,
        most: int = POINTS,
        source: str = "",
        tally: Tally | None = None,
    ) -> Means:
        """The same of given sentences, a stream of any length: a uniform sample of at most `most`, always the same.

        `labels` has a value for each sentence, empty where it has none; `color` is their name, `source` that of the
        sentences. Sentences without words are left out, and `tally` counts them. Raises `DataError` without any other.
        """
        self.require_latent()
        check_counts(most=(most, 1))
        options: dict[str, Any] = {"step": self.step, "components": components, "most": most}
        return projection.project_sentences(
            self.network,
            self.tokenizer,
            check_sentences(sentences),
            None if labels is None else check_iterable(labels, "labels"),
            color,
            source=source,
            tally=tally,
            **options,
        )

    def map(
        self, sentences: Iterable[str] | None = None, *, split: str | None = None, **options: Unpack[MapOptions]
    ) -> Map:
        """Sentences on a plane, near where their codes are: given ones, or those of a split.

        Without sentences and split: valid, or train where that has under 300 sentences. The options are those of
        `seqvae map`: see `MapOptions`.
        """
        self.require_latent()
        if sentences is None:
            return maps.of_split(self.network, self.corpus(), split, step=self.step, **options)
        if split is not None:
            raise UsageError("sentences and a split are given", "leave one out")
        given = check_sentences(sentences)
        return maps.of_sentences(self.network, self.tokenizer, given, step=self.step, **options)


def load(run: str | Path | Run = "latest", *, device: str = "auto") -> Model:
    """The best checkpoint of a run: its name, a unique prefix of it, `latest` or `best`; verified before it is read.

    A `Path`, or a string with a separator such as `./run`, is the folder of a run anywhere.

    Raises `NotFoundError`, `CheckpointError`, `MachineError` for a device that is not there.
    """
    if not isinstance(run, str | Path | Run):
        raise UsageError(f"run is {run!r:.40}", "give its name, latest, best, its folder, or a Run")
    if not isinstance(device, str):
        raise UsageError(f"device is {device!r:.40}", "give its name, such as cpu or cuda:0")
    chosen = runtime.resolve_device(device)
    found = run if isinstance(run, Run) else registry.find_anywhere(run)
    settings, tokenizer = loading.load_settings_and_tokenizer(found)
    network, step = loading.load_network(found, settings, len(tokenizer), chosen)
    return Model(found, settings, tokenizer, network, step)


def prepare_corpus(source: Source | Sequence[Source], **options: Unpack[PrepareOptions]) -> Corpus:
    """A prepared corpus: `toy` (built in), a known one such as `ptb`, or text: files, folders or a stream.

    The options are those of `seqvae prepare`: see `PrepareOptions`. Only a known corpus uses the network, and not where
    `from_folder` has its files.
    """
    return prepare.prepare(source, **options).corpus


def train_model(
    settings: Mapping[str, Any] | None = None,
    *,
    data: str | Corpus | None = None,
    preset: str = "default",
    name: str | None = None,
    init: str | Run | None = None,
    callback: Callable[[Event], object] = lambda _: None,
    log: Sequence[str] = (),
) -> Model:
    """Trains a new run and gives its best model. `settings` have dotted names, such as {"train.epochs": 5}.

    `callback` is told each event of the training (`training.events`); what it raises ends the training, saved as of the
    last checkpoint. `data` is a prepared corpus or its name; None: that of the settings, or the last one prepared.
    `init` is a run whose weights, model and tokenizer the new one begins with. `log` names loggers: ["tensorboard"].
    """
    check_alone("train_model")
    names = loggers.check([log] if isinstance(log, str) else log)
    if not isinstance(data, str | Corpus | None):
        raise UsageError(f"data is {data!r:.40}", "give a prepared corpus or its name")
    if data and layers.resolve(preset, overrides=settings).data:
        raise UsageError("the corpus is named twice", "leave data out of the settings, or the argument out")
    given = corpora.find(data) if isinstance(data, str) and data else data or None
    begun = Initial(registry.find(init, trained=True) if isinstance(init, str) else init) if init else None
    resolved, chosen = session.settle(preset, overrides=settings, corpus=given, initial=begun)
    run = session.start(resolved, chosen, preset=preset, name=name, initial=begun)
    for event in logged(session.fit(run, chosen), run, names):
        callback(event)
    return load(run.name, device=resolved.runtime.device)
