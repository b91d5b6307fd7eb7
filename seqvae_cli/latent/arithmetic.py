"""Arithmetic with codes: the offset between two groups of sentences, added to the codes of others.

An offset such as past → present is the mean code of sentences in the present minus that of sentences in the past
(Mikolov et al. 2013, "Linguistic Regularities in Continuous Space Word Representations"; for codes of sentences Shen et
al. 2020, "Educating Text Autoencoders").

Shapes: N sentences, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqvae_cli.data.windows import WINDOW, Pause
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.latent import generate
from seqvae_cli.latent.answers import Code, Decoded
from seqvae_cli.latent.arguments import check_code, check_counts, check_sentences
from seqvae_cli.latent.generate import MAX_LEN
from seqvae_cli.latent.strategy import GREEDY, Strategy
from seqvae_cli.latent.streams import Tally, map_lines
from seqvae_cli.latent.text_model import TextModel


class ArithmeticModel(TextModel):
    """What a model does with offsets between codes."""

    def mean_code(
        self, sentences: Iterable[str | Pause], *, source: str = "the group", tally: Tally | None = None
    ) -> Code:
        """The mean of the posterior means of a stream of sentences, in bounded memory: [L].

        Lines without words are left out, and `tally` counts them. `source` names the sentences in the `DataError` that
        is raised where no other line is.
        """
        total, count = np.zeros(self.latent_size, np.float64), 0
        for _, found in self.encode_stream(sentences, tally=tally):
            if found is not None:
                total += found.mean
                count += 1
        if not count:
            raise DataError(f"{source} has no sentences, so no mean code")
        mean: Code = (total / count).astype(np.float32)
        return mean

    def offset(self, plus: Iterable[str], minus: Iterable[str]) -> Code:
        """The mean code of the sentences `plus` minus that of `minus`: [L]. Raises `DataError` for an empty group."""
        difference: Code = self.mean_code(plus) - self.mean_code(minus)
        return difference

    def shift(
        self, sentences: Iterable[str], offset: ArrayLike, strategy: Strategy = GREEDY, *, max_len: int = MAX_LEN
    ) -> list[str]:
        """The decoding of each sentence's posterior mean plus the offset [L], greedy or by a beam.

        Where codes lie on a sphere, the sum is scaled back to its length.
        """
        given = list(check_sentences(sentences))  # read twice
        found = self.shift_stream(given, offset, strategy, max_len=max_len)
        self._ids(given)  # raises where one has no words
        return [made.text for _, made in found if made is not None]

    def shift_stream(
        self,
        lines: Iterable[str | Pause],
        offset: ArrayLike,
        strategy: Strategy = GREEDY,
        *,
        max_len: int = MAX_LEN,
        tally: Tally | None = None,
    ) -> Iterator[tuple[str, Decoded | None]]:
        """Each line with what `shift` makes of it, in order, as they come; None for a line without words."""
        self.require_latent()
        strategy = self._complete(strategy)
        check_counts(max_len=(max_len, 1))
        if not (strategy.greedy or strategy.beam):
            raise UsageError("randomly drawn words would hide what an offset does", "greedy, or a beam")
        added, sphere = check_code(offset, self.latent_size), self.network.settings.posterior == "vmf"

        def process(ids: Sequence[NDArray[np.int64]]) -> Iterator[Decoded | None]:
            codes = (code.numpy() for code, _ in generate.encode(self.network, ids))
            return self.decode_stream(
                (shifted(code, added, sphere=sphere) for code in codes), strategy, max_len=max_len
            )

        return map_lines(check_sentences(lines), self.tokenizer, process, WINDOW, tally)


def shifted(code: Code, offset: Code, *, sphere: bool) -> Code:
    """The sum of two codes [L]; on the unit `sphere` at length 1, unless it is 0."""
    moved: Code = code + offset
    length = float(np.linalg.norm(moved))
    return moved / np.float32(length) if sphere and length > 0 else moved
