"""The weights of a network alone, as a safetensors file under the names of its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_model

from seqvae_cli.model import SentenceVAE


def write(network: SentenceVAE, folder: Path) -> dict[str, Any]:
    """Writes `model.safetensors` into `folder`, tied weights once, as `safetensors.torch.load_model` reads them."""
    save_model(network, str(folder / "model.safetensors"))
    return {}
