"""Words, characters and bytes of text: what its likelihood is divided by, to compare tokenizers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqvae_cli.data.corpus import Corpus


@dataclass
class TextCounts:
    """Counts of normalized text, without the ends of its sentences and the spaces around them."""

    words: int = 0
    """What whitespace separates."""
    characters: int = 0
    """Code points."""
    bytes: int = 0
    """Of UTF-8."""

    def add(self, text: str) -> None:
        """Counts a sentence."""
        text = text.strip()
        self.words += len(text.split())
        self.characters += len(text)
        self.bytes += len(text) if text.isascii() else len(text.encode())

    def extend(self, other: TextCounts) -> None:
        """Adds the counts of other sentences."""
        self.words += other.words
        self.characters += other.characters
        self.bytes += other.bytes

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def of_split(corpus: Corpus, split: str) -> TextCounts:
    """The counts of a split: of its text, or of its decoded tokens in a corpus that older versions prepared."""
    stored = corpus.info["splits"][split].get("text")
    if stored is not None:
        return TextCounts(**stored)
    counts, tokenizer = TextCounts(), corpus.tokenizer
    for ids in corpus.split(split):
        counts.add(tokenizer.decode(ids))
    return counts
