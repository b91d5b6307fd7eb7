"""What figures of words take for words, whatever a token is."""

from __future__ import annotations

from collections.abc import Sequence

from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.data.tokenizers.characters import clusters
from seqvae_cli.data.tokenizers.rules import around_unknown
from seqvae_cli.latent.paths import Sentence


class Words:
    """The words of sentences of token ids, as numbers of their own.

    Where tokens are words, their ids are the numbers. Otherwise tokens are joined to text, and its words are what
    whitespace separates. Where most sentences of the `examples` are without spaces, as in Chinese, words are characters
    (grapheme clusters), spaces among them.
    """

    def __init__(self, tokenizer: Tokenizer, examples: Sequence[Sentence]) -> None:
        self.tokenizer = tokenizer
        self._numbers: dict[str, int] = {}
        self._spaced = True
        if not tokenizer.has_words:
            self._spaced = 2 * sum(len(tokenizer.decode(ids).split()) > 1 for ids in examples) > len(examples)

    def __call__(self, sentences: Sequence[Sentence]) -> list[list[int]]:
        if self.tokenizer.has_words:
            return [list(ids) for ids in sentences]
        texts = [self.tokenizer.decode(ids) for ids in sentences]
        numbers = self._numbers
        return [[numbers.setdefault(word, len(numbers)) for word in self._split(text)] for text in texts]

    def _split(self, text: str) -> list[str]:
        return text.split() if self._spaced else around_unknown(text, clusters)
