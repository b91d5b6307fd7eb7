"""The distortion of a sentence, token by token: which words the model finds hard to say, given the code."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from seqvae_cli.api import Model
from seqvae_cli.data.batching import collate
from seqvae_cli.system.runtime import sentence_stream

DRAWS = 32
"""Codes over which the distortion is a mean."""


@torch.inference_mode()
def of(model: Model, sentence: str, *, seed: int = 0) -> tuple[list[str], NDArray[np.float64]]:
    """The T tokens of a sentence and `<eos>`, and E_q[-log p(x_t | x_<t, z)] of each in nats: [T + 1].

    They add up to the distortion, the first term of the -ELBO, estimated with `DRAWS` codes of the posterior.
    """
    network = model.network
    ids = np.array(model.tokenizer.encode(sentence), dtype=np.int64)
    batch = collate([ids] * DRAWS).to(network.device)
    noise = sentence_stream(seed, ids).standard_normal((DRAWS, model.latent_size), dtype=np.float32)
    z = network.encoder(batch).rsample(torch.from_numpy(noise).to(network.device))
    states = network.decoder.states(network.inputs(batch), z)
    losses = network.decoder.cross_entropy(states.flatten(0, 1), batch)
    nats = losses.view(batch.ids.shape).double().mean(0).cpu().numpy()
    return [*model.tokenizer.tokens(ids), "<eos>"], nats
