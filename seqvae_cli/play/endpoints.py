"""The table of endpoints: what the server answers, as functions of the open models and the values of a request.

Each takes a JSON object and gives one. Codes are lists of L numbers, the latent dimensions; units are nats and
sentences. `at` is the place of each code on the map that the request names (`split`, `map`, `label`); that of a sample
is the place of its sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.api import Model, Strategy
from seqvae_cli.data.labels import numbers
from seqvae_cli.errors import UsageError
from seqvae_cli.latent import paths
from seqvae_cli.latent.paths import on_space
from seqvae_cli.latent.strategy import ANCESTRAL, GREEDY
from seqvae_cli.play import heat, record
from seqvae_cli.play.fields import Fields
from seqvae_cli.play.playground import KINDS, Check, Opened, Playground
from seqvae_cli.web import work
from seqvae_cli.web.work import SEEDS, Codes

MOST_STEPS = 101
"""Sentences of a path."""
MOST_SENTENCES = 100
"""Sentences of one request."""
MOST_SAMPLES = 200
"""Samples of one request."""
MOST_TOKENS = 200
"""Tokens after which a decoded sentence is cut."""

Answer = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """The values of a request beside the models."""

    playground: Playground
    fields: Fields
    check: Check

    @cached_property
    def opened(self) -> Opened:
        """Of the run that it names; the same throughout a request, even where better weights are saved meanwhile."""
        return self.playground.open(self.fields.text("run", ""))


@dataclass(frozen=True)
class Endpoint:
    answer: Callable[[Request], Answer]
    values: tuple[str, ...]
    """Names of the values that it takes."""
    light: bool = False
    """Whether it reads files alone, and need not wait for the model."""
    bulk: bool = False
    """Whether it takes all CPU threads; the few sentences of others would wait for the threads, not for the work."""


PLACE = ("run", "split", "map", "label")
STRATEGY = ("temperature", "top_k", "top_p", "beam", "unk", "greedy", "max_len", "seed")


def model(request: Request) -> Answer:
    """What the page must know of a model before it asks for more."""
    opened = request.opened
    found, corpus = opened.model, opened.corpus
    return {
        "run": found.run.name,
        "latent_size": found.latent_size,
        "parameters": sum(one.numel() for one in found.network.parameters()),
        "corpus": corpus.name,
        "splits": [name for name in corpus.splits if corpus.sentences(name)],
        "path": paths.default_path(found.network),
        "unk": found.unk,
        "posterior": found.settings.model.posterior,
        "kinds": list(KINDS),
    }


def points(request: Request) -> Answer:
    """The shown sentences, with what colours them and the rate and ends of each dimension."""
    opened = request.opened
    shown = opened.points(request.fields.text("split", ""), request.check)
    labels = {
        name: {"values": list(label.values), "indices": label.indices.tolist(), "scale": _scale(label.values)}
        for name, label in shown.labels.items()
    }
    low, middle, high = shown.profile.values.T
    return {
        "run": opened.model.run.name,
        "split": shown.split,
        "total": shown.total,
        "texts": shown.texts,
        "lengths": shown.lengths.tolist(),
        "labels": labels,
        "rates": _rounded(shown.rates),
        "rated": shown.profile.rates is not None,
        "low": _rounded(low),
        "middle": _rounded(middle),
        "high": _rounded(high),
    }


def place(request: Request) -> Answer:
    """The map of the shown sentences; `ready` is false while it is computed, and the page asks again."""
    opened = request.opened
    shown = opened.points(request.fields.text("split", ""), request.check)
    kind = request.fields.choice("map", "pca", KINDS)
    found = request.playground.layout(opened, shown, kind, request.fields.text("label", ""))
    if found is None:
        return {"ready": False}
    places = _rounded(found.place(shown.codes) if kind != "neighbours" else found.places)  # type: ignore[union-attr]
    variance = getattr(found, "variance", None) if kind == "pca" else None
    return {"ready": True, "map": kind, "places": places, "variance": variance}


def encode(request: Request) -> Answer:
    opened = request.opened
    sentences = request.fields.texts("sentences", MOST_SENTENCES)
    means, scales = opened.model.posterior(_with_words(opened.model, sentences))
    unknown = [opened.model.unknown(sentence) for sentence in sentences]
    return {"codes": means.tolist(), "scales": scales.tolist(), "unknown": unknown, "at": _at(request, opened, means)}


def decode(request: Request) -> Answer:
    opened = request.opened
    codes = request.fields.codes("codes", opened.model.latent_size, MOST_SENTENCES)
    if codes is None:
        raise UsageError("codes are missing", "a list of codes")
    codes = on_space(opened.model.network, codes)
    made = _decoded(request, opened.model, codes, _strategy(request.fields, GREEDY))
    return {"sentences": made, "at": _at(request, opened, codes)}


def interpolate(request: Request) -> Answer:
    """The path between two sentences, as `Model.interpolation` gives it, with the code of each step on the map."""
    opened, fields = request.opened, request.fields
    ends = _with_words(opened.model, [fields.text("first"), fields.text("last")])
    steps, even = fields.whole("steps", 11, 2, MOST_STEPS), bool(fields.flag("even"))
    kind = fields.choice("path", paths.default_path(opened.model.network), tuple(paths.PATHS))
    found = work.path(opened.model, ends[0], ends[1], steps, request.check, kind=kind, even=even)
    return {
        "path": kind,
        "positions": found.positions,
        "sentences": [work.sentence(one) for one in found.sentences],
        "unknown": [opened.model.unknown(sentence) for sentence in ends],
        "at": _at(request, opened, np.stack([one.code for one in found.sentences])),
    }


def sample(request: Request) -> Answer:
    opened, fields = request.opened, request.fields
    count = fields.whole("count", 10, 1, MOST_SAMPLES)
    options: dict[str, Any] = {"start": fields.text("start", ""), "seed": fields.whole("seed", 0, 0, SEEDS)}
    strategy, most = _strategy(fields, ANCESTRAL), fields.whole("max_len", 100, 1, MOST_TOKENS)
    found = work.samples(opened.model, count, strategy, request.check, max_len=most, **options)
    codes = np.stack([one.code for one in found])
    made = [work.sentence(one) for one in found]
    # A draw of the prior is far wider than a posterior mean; among those lies the mean of the sentence it became.
    said = [place for place, one in enumerate(found) if opened.model.tokenizer.encode(one.text)]
    at = _at(request, opened, opened.model.encode([found[place].text for place in said])) if said else None
    places = None if at is None else [at[said.index(place)] if place in said else None for place in range(count)]
    return {"sentences": made, "codes": codes.tolist(), "at": places}


def score(request: Request) -> Answer:
    """The bounds of each sentence, and its distortion token by token (`heat`)."""
    opened, fields = request.opened, request.fields
    sentences = _with_words(opened.model, fields.texts("sentences", 20))
    samples, seed = fields.whole("samples", 100, 1, 2000), fields.whole("seed", 0, 0, SEEDS)
    work.check_scored(opened.model, sentences, samples)
    found = []
    for sentence in sentences:
        request.check()
        bounds = work.bounds(opened.model, sentence, samples, seed)
        words, nats = heat.of(opened.model, sentence, seed=seed)
        found.append({"text": sentence, **bounds, "tokens": words, "nats": _rounded(nats)})
    return {"samples": samples, "sentences": found}


def neighbours(request: Request) -> Answer:
    """The shown sentences nearest to a sentence, or to a code."""
    opened, fields = request.opened, request.fields
    codes = fields.codes("codes", opened.model.latent_size, 1)
    if codes is None:
        codes = opened.model.encode(_with_words(opened.model, [fields.text("sentence")]))
    shown = opened.points(fields.text("split", ""), request.check)
    return {"neighbours": _neighbours(shown, codes[0], fields.whole("count", 5, 1, 50)), "split": shown.split}


def arithmetic(request: Request) -> Answer:
    """The sentence of c + scale (a - b), with the shown sentences nearest to it."""
    opened, fields = request.opened, request.fields
    sentences = [fields.text(name) for name in ("a", "b", "c")]
    scale = fields.number("scale", 1.0, 0, 10)
    a, b, c = codes = opened.model.encode(_with_words(opened.model, sentences))
    result = on_space(opened.model.network, (c + scale * (a - b))[None])
    made = _decoded(request, opened.model, result, GREEDY)
    shown = opened.points(fields.text("split", ""), request.check)
    return {
        "sentences": made,
        "codes": result.tolist(),
        "neighbours": _neighbours(shown, result[0], 5),
        "unknown": [opened.model.unknown(sentence) for sentence in sentences],
        "at": _at(request, opened, np.concatenate([codes, result])),
    }


def diagnose(request: Request) -> Answer:
    opened = request.opened
    corpus = opened.corpus
    split = request.fields.choice("split", "valid", corpus.splits)
    found = opened.diagnosis(split, request.check)
    return {"run": opened.model.run.name, "split": split, **found.to_json()}


def run(request: Request) -> Answer:
    return record.record(request.playground.run(request.fields.text("run", "")))


def runs(request: Request) -> Answer:
    return {"first": request.playground.first, "runs": record.runs()}


ENDPOINTS = {
    "model": Endpoint(model, ("run",)),
    "points": Endpoint(points, ("run", "split"), bulk=True),
    "map": Endpoint(place, PLACE),
    "encode": Endpoint(encode, (*PLACE, "sentences")),
    "decode": Endpoint(decode, (*PLACE, *STRATEGY, "codes")),
    "interpolate": Endpoint(interpolate, (*PLACE, "first", "last", "steps", "even", "path")),
    "sample": Endpoint(sample, (*PLACE, *STRATEGY, "count", "start")),
    "score": Endpoint(score, ("run", "sentences", "samples", "seed"), bulk=True),
    "neighbours": Endpoint(neighbours, ("run", "split", "sentence", "codes", "count")),
    "arithmetic": Endpoint(arithmetic, (*PLACE, "a", "b", "c", "scale")),
    "diagnose": Endpoint(diagnose, ("run", "split"), bulk=True),
    "run": Endpoint(run, ("run",), light=True),
    "runs": Endpoint(runs, (), light=True),
}
"""By name: POST /api/NAME."""


def answer(playground: Playground, name: str, values: dict[str, Any], check: Check) -> Answer:
    """The answer of an endpoint, with the step of the weights that gave it. Raises `SeqvaeError`, and as `check`."""
    endpoint = ENDPOINTS[name]
    request = Request(playground, Fields(values, endpoint.values), check)
    found = endpoint.answer(request)
    return found if endpoint.light else {**found, "step": request.opened.model.step}


def _with_words(model: Model, sentences: list[str]) -> list[str]:
    """Raises `UsageError` for a sentence of more than `MOST_TOKENS` tokens."""
    for sentence in sentences:
        if (count := len(model.tokenizer.encode(sentence))) > MOST_TOKENS:
            raise UsageError(f"a sentence has {count:,} tokens", f"at most {MOST_TOKENS}")
    return sentences


def _strategy(fields: Fields, default: Strategy) -> Strategy:
    """The strategy that the request names; `default` where it names none. `unk` is that of the request."""
    asked = Strategy(
        temperature=fields.number("temperature", 1.0, 0.01, 100),
        top_k=fields.whole("top_k", 0, 0, 10**6),
        top_p=fields.number("top_p", 1.0, 0.001, 1),
        beam=fields.whole("beam", 0, 0, 20),
    )
    greedy = fields.flag("greedy", default.greedy and asked == Strategy())
    return replace(asked, greedy=bool(greedy), unk=fields.flag("unk", None))


def _decoded(request: Request, model: Model, codes: Codes, strategy: Strategy) -> list[Answer]:
    fields = request.fields
    options: dict[str, Any] = {"seed": fields.whole("seed", 0, 0, SEEDS), "codes": codes}
    options["max_len"] = fields.whole("max_len", 100, 1, MOST_TOKENS)
    return [work.sentence(one) for one in work.samples(model, len(codes), strategy, request.check, **options)]


def _at(request: Request, opened: Opened, codes: Codes) -> list[list[float]] | None:
    """Places on the map that the request names; None where it names none, or that is not ready."""
    fields = request.fields
    if not fields.text("map", ""):
        return None
    shown = opened.points(fields.text("split", ""), request.check)
    kind = fields.choice("map", "pca", KINDS)
    found = request.playground.layout(opened, shown, kind, fields.text("label", ""))
    return None if found is None else _rounded(found.place(codes))


def _neighbours(shown: Any, code: NDArray[np.float32], count: int) -> list[Answer]:
    near = shown.nearest(code, count)
    return [{"index": index, "text": shown.texts[index], "distance": round(distance, 4)} for index, distance in near]


def _scale(values: tuple[str, ...]) -> list[float | None] | None:
    """The numbers that the values of a label are; None where they are names."""
    found = numbers(values)
    return None if found is None else [None if np.isnan(one) else float(one) for one in found]


def _rounded(values: NDArray[np.floating[Any]]) -> Any:
    return np.round(np.asarray(values, np.float64), 5).tolist()
