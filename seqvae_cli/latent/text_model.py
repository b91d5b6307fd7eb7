"""A network and its vocabulary as one object: sentences in and out as plain strings.

Every answer depends on its arguments alone: a draw takes its noise from the seed and its place, a score from the seed
and the sentence. Neither batches, order of calls nor threads change it, but for rounding: about 1e-6 of a value in
float32, 1e-3 in bfloat16. Streams are processed as they arrive, in bounded memory; at a `PAUSE` (`data.windows`) all
before it is answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.data.windows import WINDOW, Pause, windows, with_errors_last
from seqvae_cli.errors import UsageError
from seqvae_cli.latent import generate, paths
from seqvae_cli.latent.answers import Decoded, Encoding, Interpolation, Sample
from seqvae_cli.latent.arguments import (
    check_code,
    check_codes,
    check_counts,
    check_iterable,
    check_sentences,
    check_strategy,
    check_text,
)
from seqvae_cli.latent.generate import MAX_LEN
from seqvae_cli.latent.paths import on_space
from seqvae_cli.latent.strategy import ANCESTRAL, GREEDY, Strategy
from seqvae_cli.latent.streams import Tally, map_lines
from seqvae_cli.model import SentenceVAE
from seqvae_cli.system import runtime
from seqvae_cli.system.processes import ALONE

DECODED_AT_ONCE = 256
"""Codes of one decoding batch, which bounds the memory."""

STEPS, RANDOM_STEPS = 11, 20
"""Default number of codes on a path between two sentences, and between two draws from the prior."""

Code = NDArray[np.float32]


class InterpolationOptions(TypedDict, total=False):
    """The options of `TextModel.interpolation`."""

    random: bool
    start: str
    path: str | None
    even: bool
    seed: int
    max_len: int


class TextModel:
    """A network with its tokenizer. L is the number of its latent dimensions.

    Its methods only read it: several threads may call them at once.
    """

    def __init__(
        self, name: str, tokenizer: Tokenizer, network: SentenceVAE, precision: torch.dtype, *, unk: bool = True
    ) -> None:
        self.name = name
        """Its name in messages."""
        self.tokenizer = tokenizer
        self.network = network
        """The weights, in eval mode on their device."""
        self.precision = precision
        """Precision of matrix products, but for codes and log p(x|z), which are computed in float32."""
        self.unk = unk
        """Whether the training text has `<unk>`; a `Strategy` that does not say chooses it there alone."""
        self.processes = ALONE
        """Those that share the sentences of `encode_stream`, `score_stream` and `reconstruct_stream`."""

    @property
    def latent_size(self) -> int:
        return self.network.settings.latent_size

    def _complete(self, strategy: Strategy) -> Strategy:
        check_strategy(strategy)
        return replace(strategy, unk=self.unk) if strategy.unk is None else strategy

    def encode(self, sentences: Iterable[str]) -> Code:
        """Codes of N sentences, posterior means (on the sphere directions): [N, L]. `UsageError` for an empty one."""
        return self.posterior(sentences)[0]

    def posterior(self, sentences: Iterable[str]) -> tuple[Code, Code]:
        """Codes and standard deviations of N sentences: two of [N, L]."""
        self.require_latent()
        codes = generate.encode(self.network, self._ids(sentences))
        parts = [np.empty((2, 0, self.latent_size), np.float32)]
        while held := list(islice(codes, WINDOW)):  # not all at once: a tensor takes more memory than its numbers
            parts.append(np.stack([[mean.numpy(), scale.numpy()] for mean, scale in held], axis=1))
        means, scales = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        return means, scales

    def encode_stream(
        self, lines: Iterable[str | Pause], *, batch_size: int = 128, tally: Tally | None = None
    ) -> Iterator[tuple[str, Encoding | None]]:
        """Each line with q(z|x), in order, as they come; None for a line without words, which `tally` counts."""
        self.require_latent()
        check_counts(batch_size=(batch_size, 1))
        texts = check_sentences(lines)

        def process(ids: Sequence[NDArray[np.int64]]) -> Iterator[Encoding]:
            codes = generate.encode(self.network, ids, batch_size=batch_size)
            return (Encoding(mean.numpy(), scale.numpy()) for mean, scale in codes)

        return map_lines(texts, self.tokenizer, process, WINDOW, tally, self.processes)

    def decode(
        self, codes: ArrayLike | Tensor, strategy: Strategy = GREEDY, *, seed: int = 0, max_len: int = MAX_LEN
    ) -> list[str]:
        """A sentence for each of the codes [N, L]; one code [L] gives a list of one."""
        found = self.decode_stream(iter(self._codes(codes)), strategy, seed=seed, max_len=max_len)
        return [made.text for made in found if made is not None]

    def decode_stream(
        self,
        codes: Iterable[Code | Pause | None],
        strategy: Strategy = GREEDY,
        *,
        seed: int = 0,
        max_len: int = MAX_LEN,
        batch_size: int = DECODED_AT_ONCE,
    ) -> Iterator[Decoded | None]:
        """A sentence for each code [L], in order, moved `on_space`; None where there is None instead of a code."""
        self.require_latent()
        strategy = self._complete(strategy)
        check_counts(seed=(seed, 0), max_len=(max_len, 1), batch_size=(batch_size, 1))
        rows = (
            one if one is None or isinstance(one, Pause) else on_space(self.network, check_code(one, self.latent_size))
            for one in check_iterable(codes, "codes")
        )
        return self._decode_rows(rows, strategy, seed, max_len, batch_size)

    def _decode_rows(
        self, codes: Iterable[Code | Pause | None], strategy: Strategy, seed: int, max_len: int, batch_size: int
    ) -> Iterator[Decoded | None]:
        first = 0
        for batch in windows(with_errors_last(codes), batch_size):
            places = [i for i, code in enumerate(batch) if code is not None]
            present = [code for code in batch if code is not None]
            decoded = iter(self._decoded(present, strategy, seed, [first + i for i in places], max_len))
            for code in batch:
                yield None if code is None else self._sentence(next(decoded), max_len)
            first += len(batch)

    def _sentence(self, words: Sequence[int], max_len: int) -> Decoded:
        return Decoded(self.tokenizer.decode(words), generate.is_cut(words, max_len))

    def _decoded(
        self, codes: Sequence[Code], strategy: Strategy, seed: int, places: Sequence[int], max_len: int, start: str = ""
    ) -> list[list[int]]:
        """Token ids of a sentence for each code; its noise depends on the seed and its place alone."""
        if not codes:
            return []
        return generate.decode(
            self.network,
            torch.from_numpy(np.stack(codes)),
            strategy,
            start=self._start(start),
            streams=[runtime.stream(seed, i) for i in places],
            max_len=max_len,
            precision=self.precision,
        )

    def reconstruct(
        self, sentences: Iterable[str], strategy: Strategy = GREEDY, *, max_len: int = MAX_LEN
    ) -> list[str]:
        """The decoding of each sentence's posterior mean, greedy or by a beam."""
        return self.decode(self.encode(sentences), strategy, max_len=max_len)

    def reconstruct_stream(
        self,
        lines: Iterable[str | Pause],
        strategy: Strategy = GREEDY,
        *,
        max_len: int = MAX_LEN,
        tally: Tally | None = None,
    ) -> Iterator[tuple[str, Decoded | None]]:
        """Each line with its reconstruction, in order, as they come; None for a line without words."""
        self.require_latent()
        strategy = self._complete(strategy)
        check_counts(max_len=(max_len, 1))
        texts = check_sentences(lines)

        def process(ids: Sequence[NDArray[np.int64]]) -> Iterator[Decoded]:
            decoded = generate.reconstruct(self.network, ids, strategy, max_len=max_len, precision=self.precision)
            return (self._sentence(words, max_len) for words in decoded)

        return map_lines(texts, self.tokenizer, process, WINDOW, tally, self.processes)

    def unknown(self, text: str) -> list[str]:
        """The words of a text that the model reads as `<unk>`, in order."""
        check_text(text)
        return self.tokenizer.unknown(text)

    # Samples and paths

    def sample(
        self,
        count: int = 10,
        strategy: Strategy = ANCESTRAL,
        *,
        codes: ArrayLike | Tensor | None = None,
        start: str = "",
        seed: int = 0,
        max_len: int = MAX_LEN,
    ) -> list[str]:
        """Sentences decoded from draws of the prior, or from `codes` [N, L], each beginning with `start`."""
        found = self.samples(count, strategy, codes=codes, start=start, seed=seed, max_len=max_len)
        return [one.text for one in found]

    def samples(
        self,
        count: int = 10,
        strategy: Strategy = ANCESTRAL,
        *,
        codes: ArrayLike | Tensor | None = None,
        start: str = "",
        seed: int = 0,
        max_len: int = MAX_LEN,
        batch_size: int = DECODED_AT_ONCE,
        log_probs: bool = False,
    ) -> Iterator[Sample]:
        """The sentences of `sample`, one at a time, with tokens, code and, if asked for, log p(x|z).

        The same for any `batch_size`. With `codes` there is one sentence a code, and `count` is ignored.
        """
        strategy = self._complete(strategy)
        check_counts(count=(count, 0), seed=(seed, 0), max_len=(max_len, 1), batch_size=(batch_size, 1))
        first = self._start(start)
        given = None if codes is None else self._codes(codes)
        return self._samples(count, strategy, given, start, first, seed, max_len, batch_size, log_probs)

    def _samples(
        self,
        count: int,
        strategy: Strategy,
        codes: Code | None,
        start: str,
        first: list[int],
        seed: int,
        max_len: int,
        batch_size: int,
        log_probs: bool,
    ) -> Iterator[Sample]:
        batches: Iterable[tuple[Tensor, list[list[int]]]]
        options: dict[str, Any] = {"max_len": max_len, "precision": self.precision}
        if codes is None:
            batches = generate.sample_batches(
                self.network, count, strategy, seed=seed, start=first, batch_size=batch_size, **options
            )
        else:
            batches = (
                (torch.from_numpy(z), self._decoded(list(z), strategy, seed, range(i, i + len(z)), max_len, start))
                for i in range(0, len(codes), batch_size)
                for z in [codes[i : i + batch_size]]
            )
        for z, decoded in batches:
            found: list[float | None] = [None] * len(z)
            if log_probs:
                found = generate.log_probs(self.network, z, decoded, max_len=max_len).tolist()
            for code, words, log_prob in zip(z, decoded, found, strict=True):
                text, cut = self.tokenizer.decode(words), generate.is_cut(words, max_len)
                yield Sample(text, self.tokenizer.tokens(words), code.numpy(), cut, log_prob)

    def interpolate(
        self,
        first: str | None = None,
        last: str | None = None,
        steps: int | None = None,
        strategy: Strategy = GREEDY,
        **options: Unpack[InterpolationOptions],
    ) -> list[str]:
        """The sentences of `interpolation`, which says what the arguments mean."""
        return self.interpolation(first, last, steps, strategy, **options).sentences

    def interpolation(
        self,
        first: str | None = None,
        last: str | None = None,
        steps: int | None = None,
        strategy: Strategy = GREEDY,
        *,
        random: bool = False,
        start: str = "",
        path: str | None = None,
        even: bool = False,
        seed: int = 0,
        max_len: int = MAX_LEN,
    ) -> Interpolation:
        """Sentences along the path between two posterior means, or with `random` between two draws from the prior.

        Both ends are included; every code is decoded greedily or by a beam, beginning with the words of `start`.
        `steps`: sentences on the path; None: `STEPS`, with `random` `RANDOM_STEPS`. `path`: linear or spherical; None:
        spherical where codes lie on a sphere. `even`: steps between which about equally many words change.
        """
        self.require_latent()
        if random == (first is not None or last is not None):
            raise UsageError("an interpolation is between two sentences, or random", "give one of the two")
        strategy = self._complete(strategy)
        if path is not None and path not in tuple(paths.PATHS):
            raise UsageError(f"no path {path!r}", f"known: {', '.join(paths.PATHS)}")
        steps = (RANDOM_STEPS if random else STEPS) if steps is None else steps
        check_counts(steps=(steps, 2), max_len=(max_len, 1), seed=(seed, 0))
        if random:
            streams = [runtime.stream(seed, i) for i in (0, 1)]
            a, b = generate.prior_codes(self.network, streams).unbind(0)
        elif first is None or last is None:
            raise UsageError("an interpolation has two ends", "give both sentences")
        else:
            a, b = torch.from_numpy(self.encode([first, last]))
        kind = path or paths.default_path(self.network)
        options: dict[str, Any] = {"start": self._start(start), "max_len": max_len, "precision": self.precision}
        walked = paths.walk(self.network, a, b, steps, strategy, kind=kind, even=even, **options)
        made = [self._sentence(words, max_len) for words in walked.sentences]
        return Interpolation(kind, walked.positions, [one.text for one in made], [one.cut for one in made])

    def require_latent(self) -> None:
        """Raises `UsageError` where the model has no latent code."""
        if not self.latent_size:
            message = f"run {self.name} is a language model: it has no latent code"
            raise UsageError(message, "name a run with one: seqvae runs list")

    def _ids(self, sentences: Iterable[str]) -> list[NDArray[np.int64]]:
        texts = check_sentences(sentences)
        ids = [np.array(self.tokenizer.encode(sentence), dtype=np.int64) for sentence in texts]
        if any(not len(words) for words in ids):
            raise UsageError("a sentence is empty", "leave it out")
        return ids

    def _codes(self, codes: ArrayLike | Tensor) -> Code:
        self.require_latent()
        return check_codes(codes, self.latent_size)

    def _start(self, start: str) -> list[int]:
        check_text(start)
        if unknown := self.tokenizer.unknown(start):
            raise UsageError(
                f"start word {unknown[0]!r} is not in the model's vocabulary", "start with a word of its corpus"
            )
        return self.tokenizer.encode(start)
