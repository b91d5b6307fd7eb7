"""A new run that begins with the weights of another: its model and tokenizer, on the same corpus or a new one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqvae_cli.config.schema import Settings
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UsageError
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runs import checkpoint, loading
from seqvae_cli.runs.run import Run

DROPOUTS = {"model.dropout", "model.locked_dropout", "model.weight_drop", "model.word_dropout"}


class Initial:
    """The weights of `run` that another run begins with: its best ones.

    Raises `NotFoundError` where it has none, `CheckpointError` for damaged files.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.settings, self.tokenizer = loading.load_settings_and_tokenizer(run)
        self.network, self.step = loading.load_network(run, self.settings, len(self.tokenizer))

    def layer(self, adapted: Mapping[str, Any]) -> dict[str, Any]:
        """The settings, by dotted key, that a preset's give way to: the model of the run, `adapted`, and no phases.

        Dropout is of the training, not of the model. Pretraining would throw the decoder away, and a KL weight of 0
        let the code forget its prior.
        """
        model = {f"model.{key}": value for key, value in self.settings.model.model_dump().items()}
        model = {key: value for key, value in model.items() if key not in DROPOUTS}
        return dict(adapted) | model | {"train.pretrain": 0.0, "objective.kl_schedule": "none"}

    def check(self, settings: Settings, corpus: Corpus) -> None:
        """Raises `UsageError` where the weights do not fit `settings`, or the corpus has other words."""
        if corpus.tokenizer != self.tokenizer:
            raise UsageError(
                f"corpus {corpus.name} has other words than run {self.run.name}",
                f"seqvae prepare TEXT --tokenizer-of {self.run.name}",
            )
        wanted = SentenceVAE(settings.model, len(self.tokenizer), "meta").state_dict()
        found = self.network.state_dict()
        if {name: value.shape for name, value in wanted.items()} != {
            name: value.shape for name, value in found.items()
        }:
            changed = _changed(self.settings.model.model_dump(), settings.model.model_dump())
            raise UsageError(
                f"the weights of run {self.run.name} do not fit other sizes: {', '.join(changed)}",
                "leave these settings as they are in the run",
            )

    def fill(self, folder: Path) -> dict[str, Any]:
        """Writes the weights into the folder of a new run; the entry of its run.json."""
        checkpoint.write(folder / checkpoint.INITIAL, self.step, {"model": self.network.state_dict()})
        return {"init": {"run": self.run.name, "step": self.step}}


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [f"model.{key} {before[key]} -> {value}" for key, value in now.items() if before[key] != value]


def weights(run: Run) -> Path | None:
    """The checkpoint that `run` begins with; None where it begins with random weights. Raises `CheckpointError`."""
    return checkpoint.newest(run.path / checkpoint.INITIAL) if run.info.get("init") else None
