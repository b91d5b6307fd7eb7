"""Samples and a path of a run in training, as text, from its checkpoints: the model in training is not touched."""

from __future__ import annotations

import torch

from seqvae_cli.latent.text_model import TextModel
from seqvae_cli.runs import checkpoint, loading
from seqvae_cli.runs.run import Run

SAMPLES = 10
"""Sentences from the prior; their noise is the same in every epoch."""
STEPS = 7
"""Sentences on the path between two draws from the prior, the same in every epoch."""
MAX_LEN = 60
"""Tokens of a sentence, at most: early models do not end theirs."""


class Texts:
    """What the best weights of a run say, whenever there are new ones."""

    def __init__(self, run: Run, step: int) -> None:
        self.run, self.step = run, step
        """The step of the weights last read; older ones are left out."""

    def new(self) -> dict[str, str]:
        """`samples`, and with a latent code `path`; nothing where the best weights are those of the last call.

        Raises `CheckpointError`, `MachineError`.
        """
        folder = next((self.run.path / name for name in ("best", "last") if self._saved(name)), None)
        if folder is None or max(map(checkpoint.step_of, checkpoint.generations(folder))) <= self.step:
            return {}
        settings, tokenizer = loading.load_settings_and_tokenizer(self.run)
        network, self.step = loading.load_network(self.run, settings, len(tokenizer))
        model = TextModel(self.run.name, tokenizer, network, torch.float32, unk=not settings.train.unknown)
        found = {"samples": "\n".join(model.sample(SAMPLES, max_len=MAX_LEN))}
        if model.latent_size:
            path = model.interpolate(steps=STEPS, random=True, max_len=MAX_LEN)
            found["path"] = "\n".join(path)
        return found

    def _saved(self, name: str) -> bool:
        return bool(checkpoint.generations(self.run.path / name))
