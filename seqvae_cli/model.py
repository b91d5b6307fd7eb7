"""The LSTM sentence VAE of Bowman et al. 2015, "Generating Sentences from a Continuous Space".

    encoder   q(z|x) = N(mean, variance),  mean and log-variance linear in a summary of the encoder LSTM's states
    latent    z ~ q(z|x)
    decoder   p(x|z) = Π_t p(w_t | w_<t, z),  an LSTM with z in its first state and in every input

    -ELBO(x) = distortion + rate = -log p(x|z) + KL(q(z|x) ‖ p(z)),  nats a sentence

The settings choose variants of each part from the tables in `nn`: CELLS, POOLINGS, POSTERIORS, PRIORS.

Shapes: B sentences, T tokens (`<eos>` counted), E embedding, H hidden, S summary, L latent dimensions, V words.
Networks are made in float32 whatever torch's default dtype is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.data.batching import AnyBatch, Batch, FixedBatch, upload
from seqvae_cli.data.tokenizer import BOS, UNK
from seqvae_cli.nn.decoding import DecoderState
from seqvae_cli.nn.distributions import POSTERIORS, DiagonalGaussian, Posterior, Prior, kl
from seqvae_cli.nn.dropout import LockedDropout
from seqvae_cli.nn.pooling import POOLINGS
from seqvae_cli.nn.priors import PRIORS
from seqvae_cli.nn.recurrent import RecurrentModule, run, run_shared
from seqvae_cli.nn.rotary import rotate
from seqvae_cli.nn.shapes import filled_where_real
from seqvae_cli.nn.softmax import OutputSoftmax, Stages

STEPS_AT_ONCE = 128
"""Tokens of a sentence that the decoder reads at once where no gradient is asked for, which bounds the memory."""


def linear(inputs: int, outputs: int, device: torch.device | str, *, bias: bool = True) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias, device=device, dtype=torch.float32)


@dataclass(frozen=True)
class Terms:
    """The two terms of the -ELBO, nats a sentence."""

    distortion: Tensor
    """-log p(x|z), summed over tokens: [B]."""
    kl: Tensor
    """KL(q(z|x) ‖ p(z)) by group, G = L for each latent dimension or G = 1 for all together: [B, G]."""
    z: Tensor
    """The sample at which both are taken: [B, L]."""


class Encoder(RecurrentModule):
    """x -> q(z|x): a recurrent network, its states pooled, and a linear map to each parameter of the posterior."""

    def __init__(self, settings: ModelSettings, embedding: nn.Embedding, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.settings = settings
        self.embedding = embedding
        size, width = settings.encoder_size or settings.hidden_size, settings.summary_size
        layers = settings.encoder_layers
        self.add_recurrent(settings.cell, settings.embed_size, size, layers, settings.bidirectional, device=device)
        self.pooling = POOLINGS[settings.pooling]
        self.words = linear(settings.embed_size, width, device, bias=False) if self.pooling.with_words else None
        self.kind = POSTERIORS[settings.posterior]
        self.sizes = self.kind.parameter_sizes(settings)
        for name, numbers in self.sizes.items():
            self.add_module(name, linear(width, numbers, device))

    def forward(self, batch: AnyBatch) -> Posterior:
        return self.posterior(self.summary(self.embedding(batch.tokens), batch))

    def of_embeddings(self, inputs: Tensor) -> Posterior:
        """q(z|x) of sequences of any embeddings [B, T, E], not only those of words."""
        tokens = torch.zeros(inputs.shape[:2], dtype=torch.long, device=inputs.device)
        return self.posterior(self.summary(inputs, FixedBatch(tokens, tokens == 0, ragged=False)))

    def posterior(self, summary: Tensor) -> Posterior:
        """q(z|x) from summaries [B, S]."""
        parameters = {name: self.get_submodule(name)(summary).float() for name in self.sizes}
        return self.kind.from_unconstrained(self.settings, **parameters)

    def summary(self, inputs: Tensor, batch: AnyBatch) -> Tensor:
        """The states at the tokens of a sentence, pooled to one vector: [B, S]."""
        return self.pool(inputs, self.states(inputs, batch), batch.mask)

    def states(self, inputs: Tensor, batch: AnyBatch) -> Tensor:
        """The top layer's states at each token, both directions joined: [B, T, S]."""
        if self.settings.bidirectional and batch.ragged:
            assert isinstance(batch, Batch), "a network that reads backward needs the lengths on the CPU"
            # A backward network would read the padding first; packing leaves it out. It sorts by length: here, on the
            # CPU, since torch would wait for the device.
            order = np.argsort(-batch.lengths, kind="stable")
            lengths = torch.from_numpy(batch.lengths[order])
            packed = pack_padded_sequence(inputs[upload(order, inputs.device)], lengths, batch_first=True)
            sorted_states, _ = self.recurrent(packed)
            states, _ = pad_packed_sequence(sorted_states, batch_first=True, total_length=inputs.size(1))
            return states[upload(np.argsort(order), inputs.device)]
        states, _ = self.recurrent(inputs)
        return states  # type: ignore[no-any-return]

    def pool(self, inputs: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """The summaries [B, S] of sentences from the states [B, T, S] at `inputs` [B, T, E], where `mask` is True."""
        if self.words is not None:
            states = states + self.words(inputs)
        return self.pooling.pool(states, mask, self.settings.bidirectional)


class NoEncoder(nn.Module):
    """The encoder of a language model: z has no dimensions, posterior and prior are equal, and the KL is 0."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, batch: AnyBatch) -> Posterior:
        return self.posterior(len(batch))

    def of_embeddings(self, inputs: Tensor) -> Posterior:
        return self.posterior(len(inputs))

    def posterior(self, count: int) -> Posterior:
        nothing = self.embedding.weight.new_zeros(count, 0, dtype=torch.float32)
        return DiagonalGaussian(nothing, nothing)


class RecurrentDecoder(RecurrentModule):
    """The decoder of Bowman et al., teacher-forced (`forward`, `log_prob`) or a step at a time (`start`, `step`)."""

    def __init__(self, settings: ModelSettings, embedding: nn.Embedding, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.settings = settings
        self.embedding = embedding
        layers, size, latent = settings.decoder_layers, settings.hidden_size, settings.latent_size
        self.latent_input = settings.latent_input and latent > 0
        self.first_cell = linear(latent, layers * size, device) if settings.latent_state and latent else None
        self.memory = self.memory_output = None
        if settings.latent_rotary and latent:
            self.memory = linear(latent, settings.summary_size, device, bias=False)
            self.memory_output = linear(settings.summary_size, size, device, bias=False)
        width = settings.embed_size + latent * self.latent_input + settings.summary_size * (self.memory is not None)
        self.add_recurrent(settings.cell, width, size, layers, device=device)
        self.dropout: nn.Module = (LockedDropout if settings.locked_dropout else nn.Dropout)(settings.dropout)
        self.latent_output = linear(latent, size, device, bias=False) if settings.latent_output and latent else None
        # Tied weights have the width of an embedding, so a state of another width is projected first.
        projected = settings.tied and settings.embed_size != size
        self.projection = linear(size, settings.embed_size, device) if projected else nn.Identity()
        output_size = settings.embed_size if settings.tied else size
        self.vocabulary = OutputSoftmax(output_size, embedding.num_embeddings, settings.shortlist, device)
        if settings.tied:
            self.vocabulary.weight = embedding.weight

    def forward(self, inputs: Tensor, z: Tensor) -> Tensor:
        """Logits of every next word, [B, T, V], for `inputs` [B, T] that begin with `<bos>`."""
        return self.logits(self.states(inputs, z))

    def log_prob(self, inputs: Tensor, batch: AnyBatch, z: Tensor) -> Tensor:
        """log p(x|z) of each sentence of the batch, summed over its tokens: [B] nats.

        inputs: what the decoder reads, [B, T], or [1, T] where all rows read the same.
        """
        length = inputs.size(1)
        if torch.is_grad_enabled() or length <= STEPS_AT_ONCE or isinstance(batch, FixedBatch):
            return self._log_prob(self.states(inputs, z), batch)
        state, total = self.start(z), z.new_zeros(len(z), dtype=torch.float32)
        for first in range(0, length, STEPS_AT_ONCE):
            columns = slice(first, first + STEPS_AT_ONCE)
            ids = batch.ids[:, columns]
            states, state = self.read(inputs[:, columns], state)
            part = Batch(ids, (batch.lengths - first).clip(0, ids.shape[1]), batch.device)
            total = total + self._log_prob(states, part)
        return total

    def _log_prob(self, states: Tensor, batch: AnyBatch) -> Tensor:
        """log p of the tokens of a batch, given the states that predict them [B, T, H]: [B] nats."""
        if isinstance(batch, FixedBatch):
            outputs = self.projection(states.flatten(0, 1))
            losses = self.vocabulary.fixed_cross_entropy(outputs, batch.tokens.flatten())
            return -losses.view(batch.tokens.shape).masked_fill(~batch.mask, 0.0).sum(1)
        if not batch.ragged:
            losses = self.cross_entropy(states.flatten(0, 1), batch)
            return -losses.view(batch.ids.shape).sum(1)
        losses = self.cross_entropy(states.flatten(0, 1).index_select(0, batch.places), batch)
        padded = losses.new_zeros(batch.ids.size).scatter(0, batch.places, losses)
        return -padded.view(batch.ids.shape).sum(1)

    def cross_entropy(self, states: Tensor, batch: Batch) -> Tensor:
        """-log p of each of the batch's words [N] given its state [N, H]: [N] nats."""
        device = states.device
        rows = [upload(found, device) for found in self.vocabulary.group_rows(batch.words)]
        return self.vocabulary.cross_entropy(self.projection(states), upload(batch.words, device), rows)

    def states(self, inputs: Tensor, z: Tensor) -> Tensor:
        """The states that predict each next word, dropout applied: [B, T, H]."""
        return self.read(inputs, self.start(z))[0]

    def read(self, inputs: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """The states [B, T, H] that predict the word after each of `inputs` [B, T], and the decoder's state after all.

        Inputs [1, T] are read by all rows. z enters the states past the recurrent network with `latent_output` and
        `latent_rotary`.
        """
        z, count = state.z, inputs.size(1)
        words, recalled = self.embed(inputs), self.recall(z, state.position, count)
        of_z = self.embed_code(z, count, recalled).to(words.dtype)
        if words.size(0) < z.size(0):  # not `len`, of which torch.export makes a constant
            states, hidden = run_shared(self.recurrent, words[0], of_z, state.hidden)
        else:
            weight_drop = self.settings.weight_drop if self.training else 0.0
            states, hidden = run(self.recurrent, torch.cat([words, of_z], dim=-1), state.hidden, weight_drop)
        if self.latent_output is not None:
            states = states + self.latent_output(z)[:, None]
        if self.memory_output is not None:
            states = states + self.memory_output(recalled)
        return self.dropout(states), replace(state, position=state.position + count, hidden=hidden)

    def recall(self, z: Tensor, position: Tensor, count: int) -> Tensor | None:
        """What z holds about the next `count` words, [B, count, S], for an encoder that pools by `nn.pooling.rotary`.

        A map of z stands for the sum of rotated states; rotating it back by a position recovers the word there.
        """
        if self.memory is None:
            return None
        return rotate(self.memory(z)[:, None], -(position + torch.arange(count, device=z.device)))

    def embed(self, inputs: Tensor) -> Tensor:
        """The words' part of the recurrent network's inputs, [B, T, E].

        An inputless decoder reads `<unk>` for every word, in generation as in training.
        """
        if self.settings.word_dropout == 1:
            inputs = inputs.masked_fill(inputs != BOS, UNK)
        embedded: Tensor = self.dropout(self.embedding(inputs))
        return embedded

    def embed_code(self, z: Tensor, count: int, recalled: Tensor | None) -> Tensor:
        """z's part of the recurrent network's inputs, [B, count, R]: z, and what z holds about each word."""
        of_z = z[:, None].expand(-1, count, -1) if self.latent_input else z.new_zeros(z.size(0), count, 0)
        return of_z if recalled is None else torch.cat([of_z, recalled.to(of_z.dtype)], dim=-1)

    def logits(self, states: Tensor) -> Tensor:
        logits: Tensor = self.vocabulary(self.projection(states))
        return logits

    def start(self, z: Tensor) -> DecoderState:
        """The hidden state from W z + b: of an LSTM, c = W z + b and h = tanh(c). All 0 without `latent_state`."""
        layers, size = self.settings.decoder_layers, self.settings.hidden_size
        values = z.new_zeros(z.size(0), layers * size) if self.first_cell is None else self.first_cell(z).float()
        values = values.view(z.size(0), layers, size).transpose(0, 1).contiguous()
        return DecoderState(z, torch.zeros((), dtype=torch.long, device=z.device), self.recurrent.first(values))

    def step(self, token: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        output, stages, state = self._output(token, state)
        logits: Tensor = self.vocabulary(output, stages)
        return logits, state

    def likeliest(self, token: Tensor, state: DecoderState, banned: Sequence[int]) -> tuple[Tensor, DecoderState]:
        output, stages, state = self._output(token, state)
        return self.vocabulary.likeliest(output, banned, stages), state

    def _output(self, token: Tensor, state: DecoderState) -> tuple[Tensor, Stages, DecoderState]:
        """What the vocabulary layer reads after `token` [B], its weights, and the state after `token`."""
        states, after = self.read(token[:, None], state)
        output: Tensor = self.projection(states[:, 0])
        stages = state.stages or self.vocabulary.stages(output.dtype)
        return output, stages, replace(after, stages=stages)

    def reorder(self, state: DecoderState, index: Tensor) -> DecoderState:
        position = state.position[index] if state.position.dim() else state.position
        hidden = tuple(part[:, index] for part in state.hidden)
        return replace(state, z=state.z[index], position=position, hidden=hidden)

    def join(self, state: DecoderState, other: DecoderState) -> DecoderState:
        position = torch.cat([one.position.expand(len(one.z), 1) for one in (state, other)])
        hidden = tuple(torch.cat(parts, 1) for parts in zip(state.hidden, other.hidden, strict=True))
        return replace(state, z=torch.cat([state.z, other.z]), position=position, hidden=hidden)


DECODERS = {"recurrent": RecurrentDecoder}
"""By architecture."""


class SentenceVAE(nn.Module):
    """Encoder, prior and decoder; calling it gives the terms of the -ELBO."""

    def __init__(self, settings: ModelSettings, vocabulary_size: int, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.settings = settings
        with filled_where_real(device):
            embedding = nn.Embedding(vocabulary_size, settings.embed_size, device=device, dtype=torch.float32)
            nn.init.uniform_(embedding.weight, -0.1, 0.1)
            self.encoder = Encoder(settings, embedding, device) if settings.latent_size else NoEncoder(embedding)
            self.decoder = DECODERS["recurrent"](settings, embedding, device)
            # Named like the setting: the name is part of checkpoint keys.
            self.add_module(settings.prior, PRIORS[settings.prior](settings, device))

    def reset_decoder(self) -> None:
        """Gives the decoder new random weights; the word embeddings, which the encoder reads too, stay."""
        self.decoder = type(self.decoder)(self.settings, self.decoder.embedding).to(self.device)

    @property
    def device(self) -> torch.device:
        return self.encoder.embedding.weight.device

    def forward(self, batch: AnyBatch, noise: Tensor | None = None) -> Terms:
        """Distortion and rate at one z a sentence, drawn with `noise` [B, L]. Padding changes neither."""
        posterior = self.encoder(batch)
        z = posterior.rsample(noise)
        distortion = -self.decoder.log_prob(self.inputs(batch), batch, z)
        # In float32: log q - log p is a difference of large numbers, too coarse in bfloat16.
        with torch.autocast(self.device.type, enabled=False):
            return Terms(distortion, kl(posterior, self.prior(), z), z)

    def prior(self) -> Prior:
        """p(z) at the present weights."""
        prior: Prior = self.get_submodule(self.settings.prior)(self.encoder.of_embeddings)
        return prior

    def inputs(self, batch: AnyBatch) -> Tensor:
        """What the decoder reads: `<bos>` w1 … wT, in training with words dropped (Bowman et al. 2015, section 3.1)."""
        words = batch.tokens[:, :-1]
        if self.training and self.settings.word_dropout > 0:
            drawn = torch.rand(words.shape, device=words.device, dtype=torch.float32)
            dropped = drawn < self.settings.word_dropout
            words = words.masked_fill(dropped, UNK)
        return F.pad(words, (1, 0), value=BOS)
