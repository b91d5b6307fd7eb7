"""The LSTM sentence VAE of Bowman et al. 2015, "Generating Sentences from a Continuous Space".

    encoder   q(z|x) = N(mean, variance),  mean and log-variance linear in the encoder LSTM's last state
    latent    z ~ q(z|x)
    decoder   p(x|z) = Π_t p(w_t | w_<t, z),  an LSTM with z in its first state and in every input

    -ELBO(x) = distortion + rate = -log p(x|z) + KL(q(z|x) ‖ p(z)),  nats a sentence

Shapes: B sentences, T tokens (`<eos>` counted), L latent dimensions, H hidden, V words.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from seqvae_cli.batching import Batch
from seqvae_cli.config import ModelSettings
from seqvae_cli.cross_entropy import cross_entropy
from seqvae_cli.latent import DiagonalGaussian, kl, standard_normal
from seqvae_cli.tokenizer import BOS, UNK

State = tuple[Tensor, Tensor, Tensor]
"""What a decoder carries from step to step: h and c [layers, B, H], and z [B, L]."""


@dataclass(frozen=True)
class Terms:
    """The two terms of the -ELBO, nats a sentence."""

    distortion: Tensor
    """-log p(x|z), summed over tokens: [B]."""
    kl: Tensor
    """KL(q(z|x) ‖ p(z)), a group a latent dimension: [B, G]."""
    z: Tensor
    """The sample that both belong to: [B, L]."""


class Encoder(nn.Module):
    """x -> q(z|x)."""

    def __init__(self, settings: ModelSettings, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding
        self.lstm = nn.LSTM(
            settings.embed_size,
            settings.hidden_size,
            settings.encoder_layers,
            batch_first=True,
            bidirectional=settings.bidirectional,
        )
        width = settings.hidden_size * (2 if settings.bidirectional else 1)
        self.mean = nn.Linear(width, settings.latent_size)
        self.log_variance = nn.Linear(width, settings.latent_size)

    def forward(self, batch: Batch) -> DiagonalGaussian:
        state = self.last_state(self.embedding(batch.tokens), batch)
        return DiagonalGaussian(self.mean(state).float(), self.log_variance(state).float())

    def last_state(self, inputs: Tensor, batch: Batch) -> Tensor:
        """The top layer's state after each sentence's own last token, both directions joined: [B, H or 2H]."""
        if not self.lstm.bidirectional:
            states: Tensor = self.lstm(inputs)[0]
            return states[torch.arange(len(batch), device=states.device), batch.lengths - 1]
        if batch.ragged:
            # A backward LSTM would read the padding first; packing keeps it out.
            packed = pack_padded_sequence(inputs, batch.lengths.cpu(), batch_first=True, enforce_sorted=False)
            _, (h, _) = self.lstm(packed)
        else:
            _, (h, _) = self.lstm(inputs)
        return torch.cat([h[-2], h[-1]], dim=-1)


class Decoder(nn.Module):
    """z -> p(x|z), teacher-forced (`forward`, `log_prob`) or a step at a time (`start`, `step`, `reorder`)."""

    def __init__(self, settings: ModelSettings, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding
        self.latent_state, self.latent_input = settings.latent_state, settings.latent_input
        self.layers, self.hidden_size = settings.decoder_layers, settings.hidden_size
        self.first_cell = nn.Linear(settings.latent_size, self.layers * self.hidden_size) if self.latent_state else None
        self.lstm = nn.LSTM(
            settings.embed_size + (settings.latent_size if self.latent_input else 0),
            self.hidden_size,
            self.layers,
            batch_first=True,
        )
        self.dropout = nn.Dropout(settings.dropout)
        # Tied weights have the width of an embedding, so a state of another width is projected first.
        projected = settings.tied and settings.embed_size != self.hidden_size
        self.projection = nn.Linear(self.hidden_size, settings.embed_size) if projected else nn.Identity()
        self.vocabulary = nn.Linear(
            settings.embed_size if settings.tied else self.hidden_size, embedding.num_embeddings
        )
        if settings.tied:
            self.vocabulary.weight = embedding.weight

    def forward(self, inputs: Tensor, z: Tensor) -> Tensor:
        """Logits of every next word, [B, T, V], for `inputs` [B, T] that begin with `<bos>`."""
        return self.logits(self.states(inputs, z))

    def log_prob(self, inputs: Tensor, batch: Batch, z: Tensor) -> Tensor:
        """log p(x|z) of each sentence, summed over its tokens: [B] nats."""
        mask = (
            torch.arange(batch.tokens.size(1), device=inputs.device) < batch.lengths[:, None] if batch.ragged else None
        )
        states = self.states(inputs, z)
        if mask is None:
            return -self.cross_entropy(states.flatten(0, 1), batch.tokens.flatten()).view_as(batch.tokens).sum(1)
        losses = self.cross_entropy(states[mask], batch.tokens[mask])
        return -torch.zeros_like(batch.tokens, dtype=losses.dtype).masked_scatter(mask, losses).sum(1)

    def cross_entropy(self, states: Tensor, targets: Tensor) -> Tensor:
        """-log p of each target [N] given its state [N, H]: [N] nats."""
        return cross_entropy(self.projection(states), self.vocabulary.weight, self.vocabulary.bias, targets)

    def states(self, inputs: Tensor, z: Tensor) -> Tensor:
        """The LSTM's outputs, dropout applied: [B, T, H]."""
        h, c, _ = self.start(z)
        outputs, _ = self.lstm(self.embed(inputs, z), (h, c))
        dropped: Tensor = self.dropout(outputs)
        return dropped

    def logits(self, states: Tensor) -> Tensor:
        logits: Tensor = self.vocabulary(self.projection(states))
        return logits

    def embed(self, inputs: Tensor, z: Tensor) -> Tensor:
        embedded: Tensor = self.dropout(self.embedding(inputs))
        if not self.latent_input:
            return embedded
        return torch.cat([embedded, z[:, None].expand(-1, inputs.size(1), -1).to(embedded.dtype)], dim=-1)

    def start(self, z: Tensor) -> State:
        """The state before the first word: c = W z + b and h = tanh(c), or zeros where z stays out of it."""
        if self.first_cell is None:
            c = z.new_zeros(self.layers, len(z), self.hidden_size)
            return c, c, z
        c = self.first_cell(z).float().view(len(z), self.layers, self.hidden_size).transpose(0, 1).contiguous()
        return c.tanh(), c, z

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits of the next word [B, V] after `tokens` [B], and the state after them."""
        h, c, z = state
        outputs, (h, c) = self.lstm(self.embed(tokens[:, None], z), (h, c))
        return self.logits(self.dropout(outputs[:, 0])), (h, c, z)

    def reorder(self, state: State, index: Tensor) -> State:
        """The state of the rows in `index`: a beam that moved, or the sentences that are not finished."""
        h, c, z = state
        return h[:, index], c[:, index], z[index]


class SentenceVAE(nn.Module):
    def __init__(self, settings: ModelSettings, vocabulary_size: int) -> None:
        super().__init__()
        self.settings = settings
        embedding = nn.Embedding(vocabulary_size, settings.embed_size)
        nn.init.uniform_(embedding.weight, -0.1, 0.1)
        self.encoder = Encoder(settings, embedding)
        self.decoder = Decoder(settings, embedding)

    @property
    def device(self) -> torch.device:
        return self.encoder.embedding.weight.device

    def forward(self, batch: Batch, noise: Tensor | None = None) -> Terms:
        """Distortion and rate at one z a sentence, drawn with `noise` [B, L]. Padding changes neither."""
        posterior = self.encoder(batch)
        z = posterior.rsample(noise)
        distortion = -self.decoder.log_prob(self.inputs(batch), batch, z)
        return Terms(distortion, kl(posterior, standard_normal(z)), z)

    def inputs(self, batch: Batch) -> Tensor:
        """What the decoder reads: `<bos>` w1 … wT, in training with words dropped (Bowman et al. 2015, section 3.2)."""
        words = batch.tokens[:, :-1]
        if self.training and self.settings.word_dropout > 0:
            dropped = torch.rand(words.shape, device=words.device) < self.settings.word_dropout
            words = words.masked_fill(dropped, UNK)
        return F.pad(words, (1, 0), value=BOS)
