"""The table of endpoints: functions of the model and the values of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from seqvae_cli.api import Model
from seqvae_cli.latent.code_sets import CodeSet
from seqvae_cli.latent.paths import on_space
from seqvae_cli.serve import answers, requests
from seqvae_cli.web import work
from seqvae_cli.web.work import AT_ONCE, Check


@dataclass(frozen=True)
class Service:
    """What is served: a model with a latent code."""

    model: Model
    candidates: CodeSet | None
    """The codes of the training split; None where its corpus is not there, and neighbours are not served."""
    threads: int = field(default_factory=torch.get_num_threads)
    """CPU threads for the work on many sentences."""


def encode(service: Service, values: requests.Encode, check: Check) -> answers.Encoded:
    """Turn sentences into codes: posterior means and scales."""
    parts = [service.model.posterior(part) for part in _parts(values.sentences, check)]
    means, scales = (np.concatenate([part[i] for part in parts]).tolist() for i in (0, 1))
    return answers.Encoded(codes=means, scales=scales, unknown=_unknown(service.model, values.sentences))


def decode(service: Service, values: requests.Decode, check: Check) -> answers.Decoded:
    """Turn codes into sentences."""
    codes = on_space(service.model.network, np.array(values.codes, np.float32))
    strategy = values.strategy(greedy=values.greedy)
    options: dict[str, Any] = {"codes": codes, "seed": values.seed, "max_len": values.max_len}
    made = work.samples(service.model, len(codes), strategy, check, **options)
    return answers.Decoded(sentences=[answers.Sentence(**work.sentence(one)) for one in made])


def sample(service: Service, values: requests.Sample, check: Check) -> answers.Sampled:
    """Sample sentences from the prior."""
    strategy = values.strategy(greedy=values.greedy)
    options: dict[str, Any] = {"start": values.start, "seed": values.seed, "max_len": values.max_len}
    made = work.samples(service.model, values.count, strategy, check, **options)
    sentences = [answers.Sentence(**work.sentence(one)) for one in made]
    return answers.Sampled(sentences=sentences, codes=[one.code.tolist() for one in made])


def interpolate(service: Service, values: requests.Interpolate, check: Check) -> answers.Interpolated:
    """Decode a path between two sentences."""
    first, last = values.first, values.last
    found = work.path(service.model, first, last, values.steps, check, kind=values.path, even=values.even)
    made = zip(found.positions, found.sentences, strict=True)
    steps = [answers.Step(t=position, **work.sentence(one)) for position, one in made]
    return answers.Interpolated(path=found.kind, sentences=steps, unknown=_unknown(service.model, [first, last]))


def score(service: Service, values: requests.Score, check: Check) -> answers.Scored:
    """Bound -log p(x) of each sentence, in nats."""
    work.check_scored(service.model, values.sentences, values.samples)
    found = []
    for sentence in values.sentences:
        check()
        found.append(answers.Bounds(**work.bounds(service.model, sentence, values.samples, values.seed)))
    return answers.Scored(samples=values.samples, sentences=found)


def neighbours(service: Service, values: requests.Neighbours, check: Check) -> answers.Neighbouring:
    """Find the nearest sentences of the training split."""
    assert service.candidates is not None
    found = []
    for part in _parts(values.sentences, check):
        near = service.model.neighbours(part, service.candidates, n=values.count, metric=values.metric)
        for sentence, several in zip(part, near, strict=True):
            listed = [
                answers.Neighbour(
                    text=one.sentence, distance=one.distance, place=one.place, id=one.id, labels=one.labels
                )
                for one in several
            ]
            found.append(answers.Near(neighbours=listed, unknown=service.model.unknown(sentence)))
    return answers.Neighbouring(sentences=found)


@dataclass(frozen=True)
class Endpoint:
    work: Callable[[Service, Any, Check], answers.Answer]
    answer: type[answers.Answer]
    counted: str = "sentences"
    """The list of the answer that has an item for each sentence."""
    bulk: bool = False
    """Whether it takes all CPU threads; to decode a few sentences, threads would wait for each other."""


ENDPOINTS = {
    "encode": Endpoint(encode, answers.Encoded, counted="codes", bulk=True),
    "decode": Endpoint(decode, answers.Decoded),
    "sample": Endpoint(sample, answers.Sampled),
    "interpolate": Endpoint(interpolate, answers.Interpolated),
    "score": Endpoint(score, answers.Scored, bulk=True),
    "neighbours": Endpoint(neighbours, answers.Neighbouring, bulk=True),
}
"""By name: POST /NAME. What each takes: `requests.requests`."""


def served(service: Service) -> dict[str, type[requests.Values]]:
    """The endpoints that are there, by name, with what they take."""
    found = requests.requests(service.model)
    return {name: found[name] for name in ENDPOINTS if name != "neighbours" or service.candidates is not None}


def _parts(sentences: list[str], check: Check) -> Iterator[list[str]]:
    for first in range(0, len(sentences), AT_ONCE):
        check()
        yield sentences[first : first + AT_ONCE]


def _unknown(model: Model, sentences: list[str]) -> list[list[str]]:
    return [model.unknown(sentence) for sentence in sentences]
