"""The LSTM sentence VAE of Bowman et al. 2015, "Generating Sentences from a Continuous Space".

    encoder   q(z|x) = N(mean, variance),  mean and log-variance linear in a summary of the encoder LSTM's states
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
from torch.func import functional_call
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqvae_cli.config.schema import MAX_CONCENTRATION, ModelSettings
from seqvae_cli.data.batching import Batch
from seqvae_cli.data.tokenizer import BOS, UNK
from seqvae_cli.nn.distributions import (
    DiagonalGaussian,
    Posterior,
    Prior,
    StandardNormal,
    UniformOnSphere,
    VonMisesFisher,
    kl,
)
from seqvae_cli.nn.priors import MixturePrior, VampPrior
from seqvae_cli.nn.rotary import turn
from seqvae_cli.nn.softmax import Vocabulary

State = tuple[Tensor, Tensor, Tensor, Tensor]
"""What a decoder carries from step to step: h and c [layers, B, H], z [B, L], and how many words it has read, []."""


@dataclass(frozen=True)
class Terms:
    """The two terms of the -ELBO, nats a sentence."""

    distortion: Tensor
    """-log p(x|z), summed over tokens: [B]."""
    kl: Tensor
    """KL(q(z|x) ‖ p(z)), a group a latent dimension, or one in all: [B, G]."""
    z: Tensor
    """The sample that both belong to: [B, L]."""


class Encoder(nn.Module):
    """x -> q(z|x)."""

    def __init__(self, settings: ModelSettings, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding
        size = settings.encoder_size or settings.hidden_size
        self.lstm = nn.LSTM(
            settings.embed_size,
            size,
            settings.encoder_layers,
            batch_first=True,
            bidirectional=settings.bidirectional,
        )
        self.pooling = settings.pooling
        width = settings.summary_size
        self.words = nn.Linear(settings.embed_size, width, bias=False) if settings.pooling == "rotary" else None
        self.mean = nn.Linear(width, settings.latent_size)
        self.sphere, self.fixed = settings.posterior == "vmf", settings.concentration
        if not self.sphere:
            self.log_variance = nn.Linear(width, settings.latent_size)
        elif not self.fixed:
            self.concentration = nn.Linear(width, 1)

    def forward(self, batch: Batch) -> Posterior:
        return self.posterior(self.summary(self.embedding(batch.tokens), batch))

    def of_embeddings(self, inputs: Tensor) -> Posterior:
        """q(z|x) of sequences of embeddings [B, T, E] that need not be words."""
        count, tokens, _ = inputs.shape
        placeholder = torch.zeros(count, tokens, dtype=torch.long, device=inputs.device)
        batch = Batch(placeholder, torch.full((count,), tokens, device=inputs.device), ragged=False)
        return self.posterior(self.summary(inputs, batch))

    def posterior(self, summary: Tensor) -> Posterior:
        """q(z|x) from what the LSTM made of x."""
        mean = self.mean(summary).float()
        if not self.sphere:
            return DiagonalGaussian(mean, self.log_variance(summary).float())
        direction = F.normalize(mean, dim=-1)
        if self.fixed:
            return VonMisesFisher(direction, torch.full_like(direction[..., :1], self.fixed))
        learned = 1 + F.softplus(self.concentration(summary).float())
        return VonMisesFisher(direction, learned.clamp(max=MAX_CONCENTRATION))

    def summary(self, inputs: Tensor, batch: Batch) -> Tensor:
        """The top layer's states at a sentence's own tokens as one, both directions joined: [B, H or 2H].

        Rotary: each state, and beside it its word's embedding, turned by the position; their sum over √length.
        """
        if self.lstm.bidirectional and batch.ragged:
            # A backward LSTM would read the padding first; packing keeps it out.
            packed = pack_padded_sequence(inputs, batch.lengths.cpu(), batch_first=True, enforce_sorted=False)
            outputs, (h, _) = self.lstm(packed)
            states, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.size(1))
        else:
            states, (h, _) = self.lstm(inputs)
        if self.words is not None:
            # Each word beside its state, as the LSTM would have to learn to pass it on.
            bound = turn(states + self.words(inputs), torch.arange(inputs.size(1), device=inputs.device))
            return (bound * batch.mask[..., None]).sum(1) / batch.lengths[:, None].sqrt()
        if self.pooling == "max":
            # Long et al. 2019, "Preventing Posterior Collapse in Sequence VAEs with Pooling".
            return (states.masked_fill(~batch.mask[..., None], -torch.inf) if batch.ragged else states).amax(1)
        if self.pooling == "mean":
            return (states * batch.mask[..., None]).sum(1) / batch.lengths[:, None]
        last = states[torch.arange(len(batch), device=states.device), batch.lengths - 1]
        # What reads backward has read the whole sentence at its first token.
        return torch.cat([last[:, : h.size(-1)], h[-1]], dim=-1) if self.lstm.bidirectional else last


class NoEncoder(nn.Module):
    """The encoder of a language model: z has no dimension, so that posterior and prior are the same and the KL is 0."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, batch: Batch) -> Posterior:
        nothing = self.embedding.weight.new_zeros(len(batch), 0, dtype=torch.float32)
        return DiagonalGaussian(nothing, nothing)


class LockedDropout(nn.Module):
    """Dropout with one mask a sentence, [B, T, H] (Gal & Ghahramani 2016), where `nn.Dropout` draws one a token."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return values
        return values * F.dropout(torch.ones_like(values[:, :1]), self.rate)


class Decoder(nn.Module):
    """z -> p(x|z), teacher-forced (`forward`, `log_prob`) or a step at a time (`start`, `step`, `reorder`)."""

    def __init__(self, settings: ModelSettings, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding
        self.latent_state = settings.latent_state and settings.latent_size > 0
        self.latent_input = settings.latent_input and settings.latent_size > 0
        self.inputless = settings.word_dropout == 1
        self.layers, self.hidden_size = settings.decoder_layers, settings.hidden_size
        self.first_cell = nn.Linear(settings.latent_size, self.layers * self.hidden_size) if self.latent_state else None
        self.memory = self.memory_output = None
        if settings.latent_rotary and settings.latent_size > 0:
            self.memory = nn.Linear(settings.latent_size, settings.summary_size, bias=False)
            self.memory_output = nn.Linear(settings.summary_size, self.hidden_size, bias=False)
        self.lstm = nn.LSTM(
            settings.embed_size
            + (settings.latent_size if self.latent_input else 0)
            + (settings.summary_size if self.memory is not None else 0),
            self.hidden_size,
            self.layers,
            batch_first=True,
        )
        self.dropout: nn.Module = (LockedDropout if settings.locked_dropout else nn.Dropout)(settings.dropout)
        self.weight_drop = settings.weight_drop
        skips = settings.latent_output and settings.latent_size > 0
        self.latent_output = nn.Linear(settings.latent_size, self.hidden_size, bias=False) if skips else None
        # Tied weights have the width of an embedding, so a state of another width is projected first.
        projected = settings.tied and settings.embed_size != self.hidden_size
        self.projection = nn.Linear(self.hidden_size, settings.embed_size) if projected else nn.Identity()
        width = settings.embed_size if settings.tied else self.hidden_size
        self.vocabulary = Vocabulary(width, embedding.num_embeddings, settings.shortlist)
        if settings.tied:
            self.vocabulary.weight = embedding.weight

    def forward(self, inputs: Tensor, z: Tensor) -> Tensor:
        """Logits of every next word, [B, T, V], for `inputs` [B, T] that begin with `<bos>`."""
        return self.logits(self.states(inputs, z))

    def log_prob(self, inputs: Tensor, batch: Batch, z: Tensor) -> Tensor:
        """log p(x|z) of each sentence, summed over its tokens: [B] nats."""
        states = self.states(inputs, z)
        if not batch.ragged:
            return -self.cross_entropy(states.flatten(0, 1), batch.tokens.flatten()).view_as(batch.tokens).sum(1)
        mask = batch.mask
        losses = self.cross_entropy(states[mask], batch.tokens[mask])
        return -torch.zeros_like(batch.tokens, dtype=losses.dtype).masked_scatter(mask, losses).sum(1)

    def cross_entropy(self, states: Tensor, targets: Tensor) -> Tensor:
        """-log p of each target [N] given its state [N, H]: [N] nats."""
        return self.vocabulary.cross_entropy(self.projection(states), targets)

    def states(self, inputs: Tensor, z: Tensor) -> Tensor:
        """The LSTM's outputs, dropout applied: [B, T, H]."""
        return self.read(inputs, self.start(z))[0]

    def read(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """The LSTM's outputs at `inputs` [B, T], with what of z goes past it, dropout applied, and the state then."""
        h, c, z, position = state
        recalled = self.recall(z, position, inputs.size(1))
        outputs, (h, c) = self.run(self.embed(inputs, z, recalled), (h, c))
        if self.latent_output is not None:
            outputs = outputs + self.latent_output(z)[:, None]
        if self.memory_output is not None:
            outputs = outputs + self.memory_output(recalled)
        return self.dropout(outputs), (h, c, z, position + inputs.size(1))

    def recall(self, z: Tensor, position: Tensor, count: int) -> Tensor | None:
        """What z holds about the next `count` positions: the sum of words it stands for, turned back by each.

        [B, T, S], S that of the encoder's summary, where the words were turned and added up.
        """
        if self.memory is None:
            return None
        return turn(self.memory(z)[:, None], -(position + torch.arange(count, device=z.device)))

    def run(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The LSTM, in training with some recurrent weights dropped (Merity et al. 2018, section 2)."""
        if not (self.training and self.weight_drop):
            return self.lstm(inputs, state)  # type: ignore[no-any-return]
        dropped = {
            name: F.dropout(weight, self.weight_drop)
            for name, weight in self.lstm.named_parameters()
            if name.startswith("weight_hh")
        }
        return functional_call(self.lstm, dropped, (inputs, state))  # type: ignore[no-any-return]

    def logits(self, states: Tensor) -> Tensor:
        logits: Tensor = self.vocabulary(self.projection(states))
        return logits

    def embed(self, inputs: Tensor, z: Tensor, recalled: Tensor | None = None) -> Tensor:
        """What the LSTM reads at each word: its embedding, z, and what z holds about its position, [B, T, E + L + S].

        An inputless decoder sees no word, in use as in training.
        """
        if self.inputless:
            inputs = inputs.where(inputs == BOS, UNK)
        embedded: Tensor = self.dropout(self.embedding(inputs))
        read = [embedded]
        if self.latent_input:
            read.append(z[:, None].expand(-1, inputs.size(1), -1).to(embedded.dtype))
        if recalled is not None:
            read.append(recalled.to(embedded.dtype))
        return torch.cat(read, dim=-1)

    def start(self, z: Tensor) -> State:
        """The state before the first word: c = W z + b and h = tanh(c), or zeros where z stays out of it."""
        position = torch.zeros((), dtype=torch.long, device=z.device)
        if self.first_cell is None:
            c = z.new_zeros(self.layers, len(z), self.hidden_size)
            return c, c, z, position
        c = self.first_cell(z).float().view(len(z), self.layers, self.hidden_size).transpose(0, 1).contiguous()
        return c.tanh(), c, z, position

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits of the next word [B, V] after `tokens` [B], and the state after them."""
        states, state = self.read(tokens[:, None], state)
        return self.logits(states[:, 0]), state

    def reorder(self, state: State, index: Tensor) -> State:
        """The state of the rows in `index`: a beam that moved, or the sentences that are not finished."""
        h, c, z, position = state
        return h[:, index], c[:, index], z[index], position


class SentenceVAE(nn.Module):
    def __init__(self, settings: ModelSettings, vocabulary_size: int) -> None:
        super().__init__()
        self.settings = settings
        embedding = nn.Embedding(vocabulary_size, settings.embed_size)
        nn.init.uniform_(embedding.weight, -0.1, 0.1)
        self.encoder = Encoder(settings, embedding) if settings.latent_size else NoEncoder(embedding)
        self.decoder = Decoder(settings, embedding)
        if settings.prior == "mixture":
            self.mixture = MixturePrior(settings)
        elif settings.prior == "vamp":
            self.vamp = VampPrior(settings)

    def reset_decoder(self) -> None:
        """Gives the decoder new random weights; the word embeddings, which the encoder reads too, stay."""
        self.decoder = Decoder(self.settings, self.decoder.embedding).to(self.device)

    @property
    def device(self) -> torch.device:
        return self.encoder.embedding.weight.device

    def forward(self, batch: Batch, noise: Tensor | None = None) -> Terms:
        """Distortion and rate at one z a sentence, drawn with `noise` [B, L]. Padding changes neither."""
        posterior = self.encoder(batch)
        z = posterior.rsample(noise)
        distortion = -self.decoder.log_prob(self.inputs(batch), batch, z)
        # In float32: a density is a difference of large numbers, too coarse in bfloat16.
        with torch.autocast(self.device.type, enabled=False):
            return Terms(distortion, kl(posterior, self.prior(), z), z)

    def prior(self) -> Prior:
        """p(z), with the weights of this moment."""
        if self.settings.prior == "mixture":
            return self.mixture()  # type: ignore[no-any-return]
        if self.settings.prior == "vamp":
            return self.vamp(self.encoder.of_embeddings)  # type: ignore[no-any-return]
        return (StandardNormal if self.settings.posterior == "gaussian" else UniformOnSphere)(self.settings.latent_size)

    def inputs(self, batch: Batch) -> Tensor:
        """What the decoder reads: `<bos>` w1 … wT, in training with words dropped (Bowman et al. 2015, section 3.1)."""
        words = batch.tokens[:, :-1]
        if self.training and self.settings.word_dropout > 0:
            dropped = torch.rand(words.shape, device=words.device) < self.settings.word_dropout
            words = words.masked_fill(dropped, UNK)
        return F.pad(words, (1, 0), value=BOS)
