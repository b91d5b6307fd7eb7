"""Subwords, learned from text by the `tokenizers` library: byte-pair encoding, and unigram language models.

A text gets a space in front, so that a word has the same pieces at the beginning and inside of a sentence. Pieces keep
their spaces: joined, they are the text again. No piece crosses from letters to digits or punctuation. A character
outside the vocabulary is spelled in bytes, such as <0xE4>, so that nothing is unknown.

References: Sennrich, Haddow, Birch 2016, "Neural Machine Translation of Rare Words with Subword Units"; Kudo 2018,
"Subword Regularization".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeVar

from seqvae_cli.data.tokenizers.rules import ASCII_SPACE, SPECIALS, Rule, around_unknown
from seqvae_cli.errors import DataError, MachineError, SeqvaeError

T = TypeVar("T")

BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
"""The pieces that spell what no other does, one a byte of UTF-8. They follow the special ones in each vocabulary."""
FIRST = len(SPECIALS) + len(BYTES)
"""Id of the first piece that was learned."""

VOCABULARY_SIZE = 8_000
"""Ids in all, unless the text gives fewer."""
MIN_SIZE, MAX_SIZE = FIRST + 1, 1_000_000
LONGEST = 16
"""Characters of a piece: where words are not separated by spaces, a piece could be a sentence."""

_WORDS = r" ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+"
"""What pieces lie within, as in GPT-2: letters, digits, or other characters, each with the space before them."""
_BYTE = re.compile("<0x([0-9A-F]{2})>")


def library() -> Any:
    """The `tokenizers` package. Raises `MachineError` where it is missing."""
    try:
        import tokenizers
    except ImportError as error:
        message = "tokenizers, which makes subwords, " + (
            "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded: {error}"
        )
        raise MachineError(message, 'pip install "seqvae[subwords]"') from error
    return tokenizers


def called(function: Callable[[], T], message: str) -> T:
    """What the library gives. Its errors, panics too, become a `DataError` with the message."""
    try:
        return function()
    except (SeqvaeError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{message}: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise DataError(f"{message}: {error}") from error


def learn_bpe(texts: Iterable[str], size: int) -> tuple[list[str], dict[str, Any]]:
    """The pieces, and the merges that make them, at most `size` ids: pairs seen twice, the most frequent first."""
    trainers = library().trainers
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(SPECIALS),
        min_frequency=2,
        show_progress=False,
        special_tokens=list(BYTES),
        limit_alphabet=size - FIRST,
        max_token_length=LONGEST,
    )
    model = _trained(library().models.BPE(), trainer, texts)
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return pieces, {"merges": model["merges"]}


def learn_unigram(texts: Iterable[str], size: int) -> tuple[list[str], dict[str, Any]]:
    """The pieces, and the log of the probability of each, at most `size` ids.

    The library sums in an order that changes from call to call: rounded, the same text gives the same scores.
    """
    trainers = library().trainers
    trainer = trainers.UnigramTrainer(vocab_size=size - FIRST, show_progress=False, max_piece_length=LONGEST)
    characters = {" "}

    def watched() -> Iterable[str]:
        for text in texts:
            characters.update(text)
            yield text

    try:
        model = _trained(library().models.Unigram(), trainer, watched())
    except DataError as error:
        if len(characters) <= size - FIRST:
            raise
        message = f"a vocabulary of {size:,} cannot hold the {len(characters):,} characters of the text and 260 others"
        raise DataError(message, "raise --vocab-size, or --tokenizer bpe, which spells rare ones in bytes") from error
    scores = {piece: score for piece, score in model["vocab"] if piece not in BYTES}
    # The library adds the characters that training dropped, in an order that changes from call to call. Their scores
    # rise by 0.0001 from one to the next: they all get the lowest one.
    least, step = min(scores.values(), default=0.0), 0.0001 * (sum(len(piece) == 1 for piece in scores) + 1)
    for piece, score in scores.items():
        scores[piece] = round(least if len(piece) == 1 and score < least + step else score, 4)
    kept = sorted(scores, key=lambda piece: (-scores[piece], piece))
    return [*BYTES, *kept], {"scores": [scores[piece] for piece in kept]}


def _trained(model: Any, trainer: Any, texts: Iterable[str]) -> Any:
    """The JSON of the library's model, trained on texts."""
    tokenizers = library()
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = _pre_tokenizer()
    failed: list[BaseException] = []

    def watched() -> Iterable[str]:
        try:
            for text in texts:
                yield f" {text.strip(ASCII_SPACE)}"
        except BaseException as error:
            failed.append(error)
            raise

    try:
        called(lambda: made.train_from_iterator(watched(), trainer), "subwords cannot be learned from the text")
    except Exception:
        if failed:
            raise failed[0] from None
        raise
    return json.loads(made.to_str())["model"]


def _pre_tokenizer() -> Any:
    tokenizers = library()
    return tokenizers.pre_tokenizers.Split(tokenizers.Regex(_WORDS), "isolated")


def bpe(details: Mapping[str, Any], words: tuple[str, ...]) -> Rule:
    merges = details["merges"]
    known = set(words)
    if not isinstance(merges, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(half, str) for half in pair) for pair in merges
    ):
        raise DataError("the merges of a tokenizer are a list of pairs of pieces")
    if unknown := next((pair for pair in merges if not known >= {*pair, "".join(pair)}), None):
        raise DataError(f"the merge {unknown!r:.80} is not one of pieces of the vocabulary")
    return _rule(
        words,
        lambda library: library.models.BPE(
            {piece: index for index, piece in enumerate(words)}, [tuple(pair) for pair in merges], byte_fallback=True
        ),
    )


def unigram(details: Mapping[str, Any], words: tuple[str, ...]) -> Rule:
    scores, learned = details["scores"], words[FIRST:]
    if not isinstance(scores, list) or len(scores) != len(learned):
        raise DataError(f"the scores of a tokenizer are a list of {len(learned):,} numbers, one a piece")
    if not all(isinstance(score, int | float) and -1e6 < score <= 0 for score in scores):
        raise DataError("a score of a tokenizer is not the log of a probability")
    others = [(piece, -1e6) for piece in words[:FIRST]]
    vocabulary = [*others, *zip(learned, map(float, scores), strict=True)]
    return _rule(words, lambda library: library.models.Unigram(vocabulary, unk_id=0, byte_fallback=True))


def _rule(words: tuple[str, ...], model: Callable[[Any], Any]) -> Rule:
    if len(words) > len(SPECIALS) and words[len(SPECIALS) : FIRST] != BYTES:
        raise DataError("a vocabulary of subwords begins with the 256 bytes")

    @lru_cache(maxsize=1)
    def encoder() -> Any:
        def opened() -> Any:
            made = library().Tokenizer(model(library()))
            made.pre_tokenizer = _pre_tokenizer()
            return made.encode

        return called(opened, "the tokenizer is damaged")

    def split(text: str) -> list[str]:
        if not text:
            return []
        pieces: list[str] = encoder()(text, add_special_tokens=False).tokens
        return pieces

    def around(text: str) -> list[str]:
        stripped = text.strip(ASCII_SPACE)
        return around_unknown(f" {stripped}", split) if stripped else []

    return Rule(around, join)


def join(pieces: list[str]) -> str:
    """The text of pieces, without the space in front; bytes that are not UTF-8 become U+FFFD."""
    parts: list[str] = []
    for spelled, group in groupby(pieces, key=lambda piece: bool(_BYTE.fullmatch(piece))):
        if spelled:
            parts.append(bytes(int(piece[3:5], 16) for piece in group).decode("utf-8", "replace"))
        else:
            parts += group
    return "".join(parts).removeprefix(" ")
