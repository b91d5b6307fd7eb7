"""A run for other programs: a folder with the network in their format, its tokenizer, and `config.json`, which
describes both.

    config.json      the run, the settings of the model, how to decode, the inputs and outputs of every graph
    tokenizer.json   the vocabulary, in the order of the token ids
    encoder.onnx     … or what else the format has
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer
from seqvae_cli.data.tokenizers import rules, words
from seqvae_cli.errors import UsageError, nearest
from seqvae_cli.export import onnx, torch_export, weights
from seqvae_cli.latent.generate import MAX_LEN
from seqvae_cli.model import SentenceVAE
from seqvae_cli.system import files, json_files
from seqvae_cli.version import __version__

EXPORT_FORMAT = 1

EXPORTERS: dict[str, Callable[[SentenceVAE, Path], dict[str, Any]]] = {
    "onnx": onnx.write,
    "safetensors": weights.write,
    "torch-export": torch_export.write,
}
"""By `--format`: writes a network, on the CPU and in eval mode, into a folder; returns its part of `config.json`."""

PATTERNS = {"word": f"(?xi){words.WORD.pattern}", "whitespace": rules.PIECE.pattern}
"""Kind of tokenizer -> the regular expression, as Python's `re` reads it, that finds the words of a text."""


def check(folder: Path, form: str) -> None:
    """Raises `UsageError` for an unknown format and a folder that exists; `MachineError` for a missing package."""
    if form not in EXPORTERS:
        raise UsageError(f"unknown format {form!r:.40}", nearest(form, EXPORTERS))
    if folder.is_symlink() or folder.exists():
        raise UsageError(f"{str(folder)!r} exists already", "name another folder, or remove it first")
    if not folder.parent.is_dir():
        raise UsageError(f"{str(folder)!r} cannot be made", "name a folder in an existing one")
    if form == "onnx":
        onnx.check_libraries()


def export(
    network: SentenceVAE, tokenizer: Tokenizer, folder: Path, form: str, *, unk: bool, about: Mapping[str, Any]
) -> list[Path]:
    """Writes a network and its tokenizer as the new folder `folder`; returns its files.

    unk: whether `<unk>` may be decoded. about: first entries of `config.json`. The folder appears once it is complete,
    and on the disk. Raises as `check` does, and `UsageError` for a language model in a format of graphs.
    """
    check(folder, form)
    here = network if network.device.type == "cpu" else copy.deepcopy(network).cpu()
    config = describe(network.settings, tokenizer, form, unk=unk, about=about)
    with files.claimed(folder.parent, "export") as draft, files.machine_errors(folder):
        draft.mkdir()
        config |= EXPORTERS[form](here, draft)
        tokenizer.save(draft / "tokenizer.json")
        json_files.write(draft / "config.json", config)
        for path in files.entries(draft):
            files.sync_file(path)
        files.sync_directory(draft)
        draft.rename(folder)
        files.sync_directory(folder.parent)
    return files.entries(folder)


def describe(
    model: ModelSettings, tokenizer: Tokenizer, form: str, *, unk: bool, about: Mapping[str, Any]
) -> dict[str, Any]:
    """`config.json` of a network, but for its graphs; `unk` and `about` as above."""
    return {
        "format": EXPORT_FORMAT,
        "exporter": form,
        "seqvae": __version__,
        **about,
        "vocabulary_size": len(tokenizer),
        "latent_size": model.latent_size,
        "ids": {"pad": PAD, "bos": BOS, "eos": EOS, "unk": UNK},
        "decoding": {"never": [PAD, BOS] if unk else [PAD, BOS, UNK], "max_len": MAX_LEN},
        "word_pattern": PATTERNS.get(tokenizer.kind),
        "model": model.model_dump(),
    }
