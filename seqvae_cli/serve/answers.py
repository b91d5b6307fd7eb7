"""What each endpoint answers. L is the number of latent dimensions; all lists have an item for each sentence."""

from __future__ import annotations

from pydantic import BaseModel, Field

Code = list[float]
Unknown = list[str]
"""The words of a sentence that the model reads as `<unk>`."""


class Answer(BaseModel):
    """A JSON object."""


class Failure(Answer):
    """Why a request was refused."""

    error: str
    hint: str = Field(description="What to do; may be empty.")


class Encoded(Answer):
    codes: list[Code] = Field(description="Posterior means: L numbers each.")
    scales: list[Code] = Field(description="Posterior standard deviations: L numbers each.")
    unknown: list[Unknown] = Field(description="Words that were read as <unk>.")


class Sentence(Answer):
    text: str
    tokens: list[str]
    cut: bool = Field(description="Whether it was cut at max_len tokens, before its end.")


class Decoded(Answer):
    sentences: list[Sentence]


class Sampled(Answer):
    sentences: list[Sentence]
    codes: list[Code] = Field(description="Draws from the prior that they were decoded from: L numbers each.")


class Step(Sentence):
    t: float = Field(description="Place on the path, from 0 to 1.")


class Interpolated(Answer):
    path: str = Field(description="linear or spherical.")
    sentences: list[Step] = Field(description="First and last are the reconstructions of the two given sentences.")
    unknown: list[Unknown] = Field(description="Words of the two given sentences that were read as <unk>.")


class Bounds(Answer):
    nll: float = Field(description="Importance-weighted bound on -log p(x), in nats.")
    nats_per_token: float = Field(description="The same for each token, <eos> counted.")
    neg_elbo: float = Field(description="-ELBO: distortion + rate, in nats.")
    distortion: float = Field(description="E_q[-log p(x|z)], in nats.")
    rate: float = Field(description="KL(q(z|x) || p(z)), in nats.")
    tokens: int = Field(description="Predicted tokens, <eos> counted.")
    unknown: Unknown = Field(description="Words that were read as <unk>.")


class Scored(Answer):
    samples: int = Field(description="K of the bound.")
    sentences: list[Bounds]


class Neighbour(Answer):
    text: str
    distance: float
    place: int = Field(description="Its row in the training split, from 0.")
    id: str | None = Field(description="Its id; null where the corpus has none.")
    labels: dict[str, str] = Field(description="Its labels by name.")


class Near(Answer):
    neighbours: list[Neighbour] = Field(description="Nearest first.")
    unknown: Unknown = Field(description="Words that were read as <unk>.")


class Neighbouring(Answer):
    sentences: list[Near]


class Health(Answer):
    ready: bool
    run: str
    step: int = Field(description="Training step of the weights.")
    latent_size: int = Field(description="Numbers of a code: L.")
    version: str = Field(description="Of seqvae.")
