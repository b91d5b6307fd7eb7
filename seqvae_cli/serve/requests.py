"""What each endpoint takes: types, bounds and defaults, which check the requests and make the OpenAPI document.

A value is what JSON Schema says it is: 3.0 is a whole number, "3" and true are not.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from seqvae_cli.api import Model, Strategy
from seqvae_cli.errors import UsageError, nearest
from seqvae_cli.latent.codes import LARGEST
from seqvae_cli.latent.neighbours import METRICS
from seqvae_cli.web.work import SEEDS

MOST_SENTENCES = 100
"""Sentences, codes or steps of one request."""
MOST_CHARACTERS = 1000
"""Characters of a sentence."""
MOST_TOKENS = 200
"""Tokens after which a decoded sentence is cut."""


class UnprocessableError(UsageError):
    """The body of a request is not what the OpenAPI document says."""


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Sentence = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS, pattern="[^ \t\r\n]")]
Sentences = Annotated[list[Sentence], Field(min_length=1, max_length=MOST_SENTENCES)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]


class Values(BaseModel):
    """The JSON object of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Encode(Values):
    sentences: Sentences


class Decoding(Values):
    """How words are chosen."""

    temperature: float = Field(1.0, ge=0.01, le=100, description="Below 1 likely words gain, above 1 they lose.")
    top_k: Whole = Field(0, ge=0, le=10**6, description="Only the k most likely words; 0: all.")
    top_p: float = Field(1.0, ge=0.001, le=1, description="Only the most likely words whose probabilities reach p.")
    beam: Whole = Field(
        0, ge=0, le=10, description="Hypotheses of a search for the most likely sentence; 0: words are chosen in turn."
    )
    unk: bool | None = Field(None, description="Whether <unk> may be chosen; null: where the training text has it.")
    max_len: Whole = Field(100, ge=1, le=MOST_TOKENS, description="Tokens after which a sentence is cut.")
    seed: Whole = Field(0, ge=0, le=SEEDS, description="Seed of all noise.")

    def strategy(self, *, greedy: bool) -> Strategy:
        return Strategy(greedy, self.temperature, self.top_k, self.top_p, self.beam, self.unk)


class Decode(Decoding):
    """Words are drawn where temperature, top_k or top_p is given, else the most likely ones are chosen."""

    codes: list[list[float]]

    @property
    def greedy(self) -> bool:
        return not self.beam and not self.model_fields_set & {"temperature", "top_k", "top_p"}


class Sample(Decoding):
    count: Whole = Field(10, ge=1, le=MOST_SENTENCES, description="Sentences.")
    start: str = Field("", max_length=MOST_CHARACTERS, description="Words that every sentence begins with.")
    greedy: bool = Field(False, description="Always choose the most likely word.")


class Interpolate(Values):
    first: Sentence
    last: Sentence
    steps: Whole = Field(11, ge=2, le=MOST_SENTENCES, description="Sentences on the path, both ends counted.")
    path: Literal["linear", "spherical"] | None = Field(
        None, description="null: spherical where codes lie on a sphere, else linear."
    )
    even: bool = Field(False, description="Steps at which the sentence changes evenly, instead of the code.")


class Score(Values):
    sentences: Sentences
    samples: Whole = Field(
        100, ge=1, le=1000, description="K of the importance-weighted bound, draws of z for each sentence."
    )
    seed: Whole = Field(0, ge=0, le=SEEDS, description="Seed of all noise.")


class Neighbours(Values):
    sentences: Sentences
    count: Whole = Field(5, ge=1, le=100, description="Neighbours of each sentence.")
    metric: str = "euclidean"


def requests(model: Model) -> dict[str, type[Values]]:
    """The request of each endpoint, for the latent dimensions and the posterior of a model."""
    size, posterior = model.latent_size, model.settings.model.posterior
    metrics = tuple(name for name, metric in METRICS.items() if posterior in metric.posteriors)
    code = Annotated[list[Number], Field(min_length=size, max_length=size)]
    codes = Annotated[list[code], Field(min_length=1, max_length=MOST_SENTENCES)]
    metric = Annotated[Literal[metrics], Field(description="Distances of kl are nats.")]  # type: ignore[valid-type]
    return {
        "encode": Encode,
        "decode": create_model("Decode", __base__=Decode, __doc__=Decode.__doc__, codes=codes),
        "sample": Sample,
        "interpolate": Interpolate,
        "score": Score,
        "neighbours": create_model("Neighbours", __base__=Neighbours, metric=(metric, "euclidean")),
    }


def read(kind: type[Values], values: dict[str, Any]) -> Values:
    """The values of a request. Raises `UnprocessableError` with the name of the first that is wrong."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name, *places = first["loc"]
        where = f"{name!s:.60}" + "".join(f"[{place}]" for place in places if isinstance(place, int))
        if first["type"] == "extra_forbidden":
            raise UnprocessableError(f"unknown value {where!r}", nearest(str(name)[:60], kind.model_fields)) from error
        if first["type"] == "missing":
            raise UnprocessableError(f"{where} is missing", "see /openapi.json") from error
        reason = f"{first['msg'][0].lower()}{first['msg'][1:]}"
        raise UnprocessableError(f"{where}: {reason}", "see /openapi.json") from error
