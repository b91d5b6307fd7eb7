"""The same model written without care for speed, in plain torch: what ours is compared with.

Embedding 300, LSTM 256, latent 16, z in the decoder's first state, Adam, float32: the sizes of the `seed` preset.

    naive   batches in random order, padded to 60 tokens, packed sequences, log-softmax over every padded position
    plain   sentences of equal length together, no padding, cross entropy over the words alone
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqvae_cli.data.corpus import Split
from seqvae_cli.data.tokenizer import BOS, EOS, PAD
from seqvae_cli.model import Encoder, SentenceVAE

LONGEST = 60


class ReferenceVAE(nn.Module):
    def __init__(self, vocabulary: int, embed: int = 300, hidden: int = 256, latent: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embed)
        self.encoder, self.decoder = (nn.LSTM(embed, hidden, batch_first=True) for _ in range(2))
        self.posterior = nn.Linear(hidden, 2 * latent)
        self.first_state = nn.Linear(latent, hidden)
        self.vocabulary = nn.Linear(hidden, vocabulary)

    def forward(self, tokens: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits of the word after each of the tokens [B, T], and the KL of each sentence [B]."""
        inputs = self.embedding(tokens)
        if lengths is not None:
            inputs = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.encoder(inputs)
        mean, log_variance = self.posterior(h).chunk(2, -1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        state = self.first_state(z)
        outputs, _ = self.decoder(inputs, (state, state))
        if lengths is not None:
            outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=tokens.size(1))
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum((0, 2))
        return self.vocabulary(outputs), kl


def train(split: Split, vocabulary: int, way: str, batch_size: int) -> Iterator[int]:
    """Trains without end; yields the tokens of each step, `<eos>` counted."""
    torch.manual_seed(0)
    model = ReferenceVAE(vocabulary)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        for tokens, lengths in _batches(split, batch_size, way):
            logits, kl = model(tokens[:, :-1], lengths)
            if way == "naive":
                losses = nn.functional.nll_loss(
                    logits.log_softmax(-1).flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD, reduction="sum"
                )
            else:
                losses = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum")
            optimizer.zero_grad()
            ((losses + kl.sum()) / len(tokens)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            optimizer.step()
            yield int(lengths.sum()) if lengths is not None else tokens[:, 1:].numel()


def _batches(split: Split, size: int, way: str) -> Iterator[tuple[Tensor, Tensor | None]]:
    random = np.random.default_rng(0)
    order = random.permutation(len(split))
    if way == "plain":
        groups: dict[int, list[int]] = {}
        for i in order:
            groups.setdefault(len(split[int(i)]), []).append(int(i))
        full = [rows[k : k + size] for rows in groups.values() for k in range(0, len(rows) - size + 1, size)]
        for k in random.permutation(len(full)):
            yield torch.tensor([[BOS, *split[i], EOS] for i in full[int(k)]]), None
        return
    for k in range(0, len(order) - size + 1, size):
        rows = [[BOS, *split[int(i)], EOS][: LONGEST + 1] for i in order[k : k + size]]
        tokens = torch.full((size, LONGEST + 1), PAD)
        for row, ids in enumerate(rows):
            tokens[row, : len(ids)] = torch.tensor(ids)
        yield tokens, torch.tensor([len(ids) - 1 for ids in rows])


@torch.inference_mode()
def greedy(model: SentenceVAE, z: Tensor, longest: int) -> list[int]:
    """One sentence of one code [L], a word at a time, with the weights of our model."""
    decoder = model.decoder
    assert decoder.first_cell is not None
    c = decoder.first_cell(z)[None, None]
    state, word, words = (c.tanh(), c), BOS, list[int]()
    while len(words) < longest:
        inputs = decoder.embedding(torch.tensor([[word]]))
        if decoder.latent_input:
            inputs = torch.cat([inputs, z[None, None]], -1)
        outputs, state = decoder.recurrent(inputs, state)
        logits = decoder.vocabulary(decoder.projection(outputs[0, 0]))
        logits[[PAD, BOS]] = -torch.inf
        word = int(logits.argmax())
        if word == EOS:
            break
        words.append(word)
    return words


@torch.inference_mode()
def encode(model: SentenceVAE, words: np.typing.NDArray[np.int64]) -> Tensor:
    """The posterior mean [L] of one sentence, with the weights of our model."""
    encoder = model.encoder
    assert isinstance(encoder, Encoder)
    outputs, _ = encoder.recurrent(encoder.embedding(torch.tensor([[*words, EOS]])))
    mean: Tensor = encoder.get_submodule("mean")(outputs[0, -1])
    return mean
