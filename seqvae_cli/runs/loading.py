"""Loads settings, tokenizer and trained weights from a run folder, verified before use."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqvae_cli.config import layers
from seqvae_cli.config.schema import Settings
from seqvae_cli.data import corpus as corpora
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.errors import CheckpointError, DataError, NotFoundError
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runs.checkpoint import generations, newest, read_weights, step_of
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files, places


def load_settings_and_tokenizer(run: Run) -> tuple[Settings, Tokenizer]:
    """Settings and tokenizer of a run, verified. Raises `CheckpointError`."""
    digests = run.info.get("files")
    if not isinstance(digests, dict) or not digests.keys() >= {"config.yaml", "tokenizer.json"}:
        raise CheckpointError(f"{run.path / 'run.json'} lacks the digests of config.yaml and tokenizer.json")
    try:
        files.verify(run.path, {name: digests[name] for name in ("config.yaml", "tokenizer.json")})
        return layers.load(run.path / "config.yaml"), Tokenizer.load(run.path / "tokenizer.json")
    except DataError as error:
        raise CheckpointError(error.message, error.hint) from error


def load_corpus(run: Run) -> Corpus:
    """The corpus that a run was trained on, of the home that its folder lies in, else of the user's.

    Raises `NotFoundError`, or `DataError` where it has changed.
    """
    folder = str(run.info["corpus"]["folder"])
    try:
        with places.moved(run.path.parent.parent):
            corpus = corpora.find(folder)
    except NotFoundError:
        corpus = corpora.find(folder)
    run.check_corpus(corpus.path.name, corpus.hash)
    return corpus


def load_network(
    run: Run, settings: Settings, vocabulary_size: int, device: torch.device | str = "cpu"
) -> tuple[SentenceVAE, int]:
    """The network of a run in eval mode, with its best weights (before any validation: its last ones), and their step.

    Raises `NotFoundError` where the run has no checkpoint, `CheckpointError`.
    """
    folder = next((run.path / name for name in ("best", "last") if generations(run.path / name)), None)
    if folder is None:
        raise NotFoundError(f"run {run.name} has no checkpoint yet", f"its status is {run.status}: seqvae runs list")
    # It takes no memory for the sizes in untrusted settings before the weights confirm them, and no numbers from the
    # global random stream of torch, from which a training in this process may draw.
    network = SentenceVAE(settings.model, vocabulary_size, "meta")
    while True:
        before = generations(folder)
        try:
            path = newest(folder)
            weights = read_weights(network, path)
            step = step_of(path)
            break
        except DataError:
            if generations(folder) == before:  # else its training has just saved a newer checkpoint
                raise
    assign(network, weights)
    # Moved only now: moving lays out the weights of a recurrent network as cuDNN wants them.
    return network.to(device).eval(), step


def assign(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Gives a network on `meta` its weights, without gradients. Names that share a parameter share it still."""
    made: dict[nn.Parameter, nn.Parameter] = {}
    state = {name: value.clone() for name, value in weights.items()}  # a file that is mapped into memory may change
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if parameter not in made:
            made[parameter] = nn.Parameter(state[name], requires_grad=False)
        state[name] = made[parameter]
    network.requires_grad_(False).load_state_dict(state, assign=True)
