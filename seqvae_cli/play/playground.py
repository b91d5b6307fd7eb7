"""The models that the playground has open, with the sentences that each shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch

from seqvae_cli import api
from seqvae_cli.api import Model
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation.diagnosis import Diagnosis
from seqvae_cli.evaluation.subset import usual_split
from seqvae_cli.play.layout import Background, Layout
from seqvae_cli.play.points import Points, check_split, points
from seqvae_cli.plotting import linear
from seqvae_cli.plotting.linear import Linear
from seqvae_cli.runs import checkpoint, registry
from seqvae_cli.runs.run import Run

MOST_OPEN = 3
"""Models in memory at once."""
KINDS = ("pca", "neighbours", "discriminants")
"""The kinds of maps."""

Check = Callable[[], object]


@dataclass
class Opened:
    """A model, and what was computed with it."""

    model: Model
    saved: tuple[str, ...]
    """What `_saved` gave when it was read."""
    shown: dict[str, Points] = field(default_factory=dict)
    maps: dict[tuple[str, str, str], Linear] = field(default_factory=dict)
    diagnoses: dict[str, Diagnosis] = field(default_factory=dict)

    @cached_property
    def corpus(self) -> Corpus:
        return self.model.corpus()

    def points(self, split: str, check: Check) -> Points:
        """The shown sentences of a split; `""`: of the usual one."""
        corpus = self.corpus
        split = check_split(corpus, split or usual_split(corpus))
        if split not in self.shown:
            self.shown[split] = points(self.model, corpus, split, check)
        return self.shown[split]

    def diagnosis(self, split: str, check: Check) -> Diagnosis:
        if split not in self.diagnoses:

            def watch(_: int) -> None:
                check()

            def stage(_name: str, _total: int) -> Callable[[int], None]:
                return watch

            self.diagnoses[split] = self.model.diagnose(split, stage=stage)
        return self.diagnoses[split]


class Playground:
    """Opens models by the names of their runs. All methods but `run` are for the worker's thread alone."""

    def __init__(self, model: Model, background: Background | None = None) -> None:
        self.first, self.device = model.run.name, str(model.network.device)
        self.background = background or Background()
        self.threads = torch.get_num_threads()
        """CPU threads for the work on many sentences."""
        self._open = {model.run.name: Opened(model, _saved(model.run))}

    def open(self, name: str) -> Opened:
        """The model of a run, read again where its training has saved a better one; `""`: of the first run.

        Raises `NotFoundError`, `CheckpointError`, `UsageError` for a language model, which has no latent code.
        """
        name = name or self.first
        run = registry.find(name, trained=True)
        saved = _saved(run)
        found = self._open.pop(run.name, None)
        if found is None or found.saved != saved:
            model = api.load(run, device=self.device)
            model.require_latent()
            found = Opened(model, saved)
        self._open[run.name] = found  # the last of the dictionary was used last
        while len(self._open) > MOST_OPEN:
            del self._open[next(iter(self._open))]
        return found

    def layout(self, opened: Opened, shown: Points, kind: str, label: str) -> Layout | None:
        """A map of the shown sentences; None while it is computed. `label`: what discriminants part."""
        if kind == "neighbours":
            return self.background.find(opened.model.run.path, shown.codes)
        key = (shown.split, kind, label if kind == "discriminants" else "")
        if key not in opened.maps:
            if kind == "pca":
                opened.maps[key] = linear.principal(shown.codes)
            else:
                if label not in shown.labels:
                    raise UsageError(f"no label {label!r:.60}", f"one of {', '.join(shown.labels)}")
                opened.maps[key] = linear.discriminants(shown.codes, shown.labels[label])
        return opened.maps[key]

    def run(self, name: str) -> Run:
        """The run of a name, trained or not; `""`: the first one."""
        return registry.find(name or self.first)


def _saved(run: Run) -> tuple[str, ...]:
    """What tells the weights that `load` would read from others: of another training under the same name, too."""
    for folder in ("best", "last"):
        if found := checkpoint.generations(run.path / folder):
            return (str(run.info["created"]), folder, *(path.name for path in found))
    return ()
