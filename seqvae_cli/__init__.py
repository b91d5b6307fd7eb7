"""Sentence VAEs: a continuous latent space for whole sentences, from the command line and as a library."""

from typing import TYPE_CHECKING

from seqvae_cli.version import __version__ as __version__

__all__ = ["Model", "Score", "Strategy", "load", "prepare_corpus", "train_model"]

if TYPE_CHECKING:
    from seqvae_cli.api import Model, Score, Strategy, load, prepare_corpus, train_model


def __getattr__(name: str) -> object:
    # Imported when it is asked for: the command line must answer without loading torch.
    if name in __all__:
        from seqvae_cli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
