"""Beam search: the likeliest sentence of a code."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seqvae_cli.data.tokenizer import BOS, EOS
from seqvae_cli.latent.strategy import Strategy
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn.decoding import Decoder
from seqvae_cli.system.runtime import autocast

BEAM_ROWS = 256
"""Hypotheses that are decoded at once."""


@torch.inference_mode()
def beam_search(
    network: SentenceVAE,
    z: Tensor,
    strategy: Strategy,
    *,
    start: Sequence[int] = (),
    max_len: int,
    precision: torch.dtype = torch.float32,
) -> list[list[int]]:
    """The likeliest sentence that a beam of `strategy.beam` hypotheses finds for each row of z [B, L].

    Its arguments and its result are those of `decode`. Sentences are compared by log p a token, `<eos>` counted, so
    that short ones gain nothing. The search of a row ends when `strategy.beam` hypotheses have ended, or at `max_len`
    words.
    """
    found: list[list[int]] = []
    for codes in torch.split(z, max(1, BEAM_ROWS // strategy.beam)) if len(z) else ():
        found += _beam_search(network, codes.to(network.device), strategy, list(start)[:max_len], max_len, precision)
    return found


def _beam_search(
    network: SentenceVAE, z: Tensor, strategy: Strategy, start: list[int], max_len: int, precision: torch.dtype
) -> list[list[int]]:
    decoder: Decoder = network.decoder
    count, width = len(z), strategy.beam
    first = torch.arange(count, device=z.device)[:, None] * width
    scores = torch.full((count, width), -torch.inf, dtype=torch.float32, device=z.device)
    scores[:, 0] = 0  # a row begins with one hypothesis
    words = torch.tensor(start, dtype=torch.long, device=z.device).expand(count * width, -1)
    ended: list[list[tuple[float, list[int]]]] = [[] for _ in range(count)]
    with autocast(z.device, precision):
        state = decoder.start(z.repeat_interleave(width, 0))
        tokens = torch.full((count * width,), BOS, dtype=torch.long, device=z.device)
        for word in start:
            _, state = decoder.step(tokens, state)
            tokens = torch.full_like(tokens, word)
        for length in range(1, max_len - len(start) + 1):
            logits, state = decoder.step(tokens, state)
            log_p = strategy.allowed_logits(logits.float().log_softmax(-1)).view(count, width, -1)
            # Twice the width: at most `width` of them end, one a hypothesis, and `width` remain.
            best, index = (scores[:, :, None] + log_p).flatten(1).topk(min(2 * width, width * log_p.size(-1)))
            parents, tokens = index // log_p.size(-1) + first, index % log_p.size(-1)
            ends = tokens == EOS
            ends[:, width:] = False  # an end counts only among the best `width`
            for row, column in (ends & best.isfinite()).nonzero().tolist():
                if len(ended[row]) < width:
                    sentence = words[parents[row, column]].tolist()
                    ended[row].append((float(best[row, column]) / length, sentence))
            scores, order = best.masked_fill(tokens == EOS, -torch.inf).topk(width)
            parents, tokens = parents.gather(1, order).flatten(), tokens.gather(1, order).flatten()
            words = torch.cat([words[parents], tokens[:, None]], 1)
            state = decoder.reorder(state, parents)
            if all(len(hypotheses) >= width for hypotheses in ended):
                break
    length = max(1, max_len - len(start))
    for row, hypotheses in enumerate(ended):
        if len(hypotheses) < width:  # cut at `max_len`
            cut = zip(scores[row].tolist(), words[row * width : (row + 1) * width].tolist(), strict=True)
            hypotheses += [(score / length, sentence) for score, sentence in cut]
    return [max(hypotheses, key=lambda one: one[0])[1] for hypotheses in ended]
