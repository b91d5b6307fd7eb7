"""The one schema of settings: strict, with units and ranges."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

MAX_SEED = 2**63 - 1
MAX_COMPONENTS = 10_000
MAX_CONCENTRATION = 10_000
"""Largest concentration of a von Mises-Fisher distribution: the cost of its log density grows in proportion."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_switch_for_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads `yes` as a switch: `word_dropout: yes` must not become a rate of 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (int, float):
            raise ValueError("a switch is not a number")
        return value


class ModelSettings(_Section):
    embed_size: int = Field(256, ge=1, le=65536, description="dimensions of a word embedding")
    hidden_size: int = Field(256, ge=1, le=65536, description="dimensions of a recurrent state")
    latent_size: int = Field(
        32, ge=0, le=65536, description="dimensions of the latent code z; 0: none, a language model"
    )
    posterior: Literal["gaussian", "vmf"] = Field(
        "gaussian", description="q(z|x): a diagonal Gaussian, or von Mises-Fisher on the unit sphere"
    )
    concentration: float = Field(
        80.0,
        ge=0,
        le=MAX_CONCENTRATION,
        description="concentration of a vmf posterior, the same for all sentences; 0: learned for each",
    )
    prior: Literal["standard", "mixture", "vamp"] = Field(
        "standard",
        description="p(z): N(0, I) or uniform on the sphere; a learned mixture; or posteriors of learned inputs",
    )
    components: int = Field(20, ge=1, le=MAX_COMPONENTS, description="components of a mixture or vamp prior")
    cell: Literal["lstm", "gru"] = Field("lstm", description="recurrent cell of the encoder and the decoder")
    encoder_size: int = Field(
        0, ge=0, le=65536, description="dimensions of a recurrent state of the encoder; 0: as many as hidden_size"
    )
    encoder_layers: int = Field(1, ge=1, le=16, description="recurrent layers of the encoder")
    decoder_layers: int = Field(1, ge=1, le=16, description="recurrent layers of the decoder")
    bidirectional: bool = Field(False, description="the encoder reads in both directions")
    pooling: Literal["last", "max", "mean", "rotary"] = Field(
        "max",
        description="how the encoder summarizes its states: the last one, each dimension's maximum or mean, or the sum "
        "of states and words, each rotated by its position (rotary, made for latent_rotary)",
    )
    latent_state: bool = Field(True, description="z sets the decoder's first state")
    latent_input: bool = Field(True, description="z is concatenated to every decoder input")
    latent_output: bool = Field(False, description="z also enters the decoder's output, a skip connection")
    latent_rotary: bool = Field(
        False,
        description="z, rotated back by each position, enters the decoder's input and output there (made for pooling "
        "rotary)",
    )
    dropout: float = Field(0.35, ge=0, lt=1, description="dropout rate before and after the decoder's recurrent layers")
    locked_dropout: bool = Field(False, description="one dropout mask a sentence, not one a token")
    weight_drop: float = Field(
        0.0, ge=0, lt=1, description="share of the decoder's recurrent weights dropped for a training step"
    )
    word_dropout: float = Field(
        0.0, ge=0, le=1, description="share of decoder input words replaced by <unk>; 1 is the inputless decoder"
    )
    tied: bool = Field(True, description="the output weights are the word embeddings")
    shortlist: int = Field(
        500,
        ge=0,
        le=10_000_000,
        description="most frequent words, predicted by one softmax; rarer ones take two; 0: one softmax for all words",
    )

    @property
    def summary_size(self) -> int:
        """Dimensions of the encoder's summary of a sentence, the input of the posterior."""
        return (self.encoder_size or self.hidden_size) * (2 if self.bidirectional else 1)


class ObjectiveSettings(_Section):
    kl_schedule: Literal["none", "linear", "logistic", "cyclical"] = Field(
        "linear", description="how the KL weight rises"
    )
    kl_hold: float = Field(0.0, ge=0, le=1e6, description="epochs at KL weight 0 before it rises (linear, logistic)")
    kl_warmup: float = Field(6.0, gt=0, le=1e6, description="epochs in which the KL weight rises (linear, logistic)")
    kl_cycles: int = Field(4, ge=1, le=10000, description="cycles of the cyclical schedule in all epochs together")
    kl_ratio: float = Field(0.5, gt=0, le=1, description="part of a cycle in which the KL weight rises")
    beta: float = Field(1.0, ge=0, le=1000, description="the full KL weight")
    free_bits: float = Field(0.0, ge=0, le=1000, description="nats of KL in each latent dimension that cost nothing")
    free_bits_total: float = Field(
        7.0, ge=0, le=100000, description="nats of KL in all dimensions together that cost nothing"
    )
    free_bits_fade: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of the epochs after pretraining from which on free bits fall, to 0 at the end; 1: they stay",
    )
    target_rate: float = Field(
        0.0,
        ge=0,
        le=100000,
        description="target of the rate in nats, held by beta times the distance, without free bits; 0: none",
    )
    min_rate: float = Field(
        0.0, ge=0, le=100000, description="lower limit of the rate in nats, kept by a Lagrange multiplier; 0: none"
    )


class TrainSettings(_Section):
    adapt: bool = Field(
        True,
        description="sizes, batches, epochs, phases, learning rate, dropout, free bits, early stop and unknown words "
        "follow from the corpus",
    )
    epochs: int = Field(30, ge=1, le=1_000_000, description="passes over the training split")
    pretrain: float = Field(
        3.0, ge=0, le=1e6, description="epochs as an autoencoder, without the KL; then the decoder is reset"
    )
    aggressive: bool = Field(
        False, description="the encoder is trained to its best before each step, while that raises mutual information"
    )
    batch_size: int = Field(
        32, ge=1, le=1_000_000, description="sentences a step; fewer where they are over 65,536 padded tokens"
    )
    batch_tokens: int = Field(
        0, ge=0, le=100_000_000, description="tokens a step, padding counted; 0: batches by sentences"
    )
    unknown: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the words seen once that a step reads as <unk>, so that unknown words have a probability",
    )
    lr: float = Field(2e-3, gt=0, le=10, description="learning rate of Adam")
    lr_schedule: Literal["plateau", "cosine"] = Field(
        "cosine", description="lower the learning rate on plateaus, or along a cosine down to 0 in the last epoch"
    )
    lr_cycles: int = Field(
        1, ge=1, le=10_000, description="cosines of the learning rate; each after the first is a restart"
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay per step of the running mean of the weights, which is validated; 0: none",
    )
    clip: float = Field(5.0, ge=0, le=1e6, description="largest norm of the gradient; 0: no clipping")
    max_len: int = Field(
        0, ge=0, le=2**31, description="training sentences are cut to so many words; 0: never (validation never is)"
    )
    patience: int = Field(
        2,
        ge=0,
        le=1_000_000,
        description="plateau: epochs without a better validation -ELBO before the lr is lowered; 0: never",
    )
    lr_decay: float = Field(0.5, gt=0, lt=1, description="factor that lowers the learning rate on a plateau")
    max_decays: int = Field(
        5, ge=0, le=1000, description="plateaus that lower the learning rate; at the next one training stops"
    )
    early_stop: int = Field(
        0, ge=0, le=1_000_000, description="epochs without a better validation -ELBO before training stops; 0: never"
    )
    save_every: float = Field(10.0, gt=0, le=1e6, description="minutes between checkpoints within an epoch")


class RuntimeSettings(_Section):
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d{1,3})?|mps)$", description="auto, cpu, cuda, cuda:N or mps"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="precision of matrix products; auto: bfloat16 where the machine has a unit for it"
    )
    threads: int = Field(0, ge=0, le=4096, description="CPU threads; 0: as many as there are cores")
    graphs: bool = Field(True, description="training steps on a CUDA device as CUDA graphs, where the model allows it")


class Settings(_Section):
    data: str = Field("", max_length=128, description="name of a prepared corpus; without it, the one prepared last")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="seed of weights, order and noise")
    model: ModelSettings = Field(default_factory=ModelSettings)
    objective: ObjectiveSettings = Field(default_factory=ObjectiveSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
