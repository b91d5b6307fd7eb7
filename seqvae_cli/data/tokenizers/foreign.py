"""A tokenizer from a file of the `tokenizers` library (Hugging Face's tokenizer.json), checked before it is used.

Only known parts are taken. Expressions of a stranger could take hours for a line, so that a regular expression has to
be one of those that published tokenizers split with. No part may make a text longer than it is by more than a constant,
and what cuts, pads, or adds special tokens is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from seqvae_cli.data.tokenizers.rules import ASCII_SPACE, SPECIALS, UNK, Rule, around_unknown
from seqvae_cli.data.tokenizers.subwords import BYTES, called, library
from seqvae_cli.errors import DataError
from seqvae_cli.system import files, json_files

MOST_BYTES = 1 << 25
"""Size of a file: the vocabularies of 256,000 ids lie below."""
MOST_PARTS = 64
"""Normalizers, splits and decoders, each."""
LONGEST_WORD, LONGEST_PIECE = 200, 160
"""Characters of a word of WordPiece, and of a piece of Unigram with its score: time grows with them for each letter."""
MOST_CHARMAP = 1 << 21
"""Characters of a precompiled table of characters; that of SentencePiece has 320,000."""

MODELS = {"BPE", "Unigram", "WordPiece", "WordLevel"}
NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "StripAccents", "Strip", "BertNormalizer", "Replace"}
NORMALIZERS |= {"Prepend", "Precompiled", "ByteLevel", "Sequence"}
SPLITS = {"BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace", "Punctuation", "Split"}
SPLITS |= {"UnicodeScripts", "Whitespace", "WhitespaceSplit", "Sequence"}
DECODERS = {"BPEDecoder", "ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Strip", "WordPiece", "Sequence"}

_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_CASES = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
)
EXPRESSIONS = {
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",  # GPT-2
    rf"{_CONTRACTIONS}|{_LETTERS}|\p{{N}}{{1,3}}|{_REST}",  # GPT-4, Llama 3
    rf"{_CONTRACTIONS}|{_LETTERS}|\p{{N}}|{_REST}",  # Qwen 2
    rf"{_CASES}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",  # GPT-4o
    *(" {2,}", r"\s+", r"\s", r"\p{N}{1,3}", r"\d", r"\d+", r"\w+|[^\w\s]+", r"\w+", r"\S+", r"\r?\n", "\n"),
}
"""Regular expressions that take time linear in the text, but for runs of line ends, which a sentence lacks."""


def read(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The parts of a file that split and join text, and its pieces. Raises `DataError` for one that cannot be used."""
    with files.machine_errors(path):
        if not path.is_file():
            raise DataError(f"{path} is not a file", "give a tokenizer.json of Hugging Face's tokenizers")
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise DataError(f"{path} has more than {MOST_BYTES >> 20} MiB, too much for a tokenizer")
    try:
        value = json_files.parse(data.decode())
        if not isinstance(value, dict) or not isinstance(value.get("model"), dict):
            ours = isinstance(value, dict) and "words" in value
            raise DataError(
                f"{path} is {'the tokenizer of a corpus or run' if ours else 'not a tokenizer'}",
                "--tokenizer-of RUN" if ours else "give a tokenizer.json of Hugging Face's tokenizers",
            )
        kept = {part: value.get(part) for part in PARTS}
        check(kept)
        found = pieces(kept)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    except DataError as error:
        raise error if str(path) in error.message else DataError(f"{path}: {error.message}", error.hint) from error
    return kept, found


PARTS = ("version", "added_tokens", "normalizer", "pre_tokenizer", "model", "decoder")
"""What is taken of a file: not `truncation`, `padding` and `post_processor`."""


def check(parts: Mapping[str, Any]) -> None:
    """Raises `DataError` for parts that are unknown, or could take too much time or memory."""
    if set(parts) != set(PARTS):
        raise DataError(f"a tokenizer file has {', '.join(PARTS)}")
    model = parts["model"]
    if not isinstance(model, dict) or model.get("type") not in MODELS:
        raise DataError(f"the model is not one of {', '.join(sorted(MODELS))}")
    if model.get("dropout"):
        raise DataError("the tokenizer draws its merges at random", "set its dropout to null")
    longest = model.get("max_input_chars_per_word", 0)
    if not isinstance(longest, int) or longest > LONGEST_WORD:
        raise DataError(f"max_input_chars_per_word is over {LONGEST_WORD}")
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, list) and any(len(str(entry)) > LONGEST_PIECE for entry in vocabulary):
        raise DataError("a piece of the vocabulary is too long")
    for part, known in (("normalizer", NORMALIZERS), ("pre_tokenizer", SPLITS), ("decoder", DECODERS)):
        found = list(_parts(parts[part]))
        if len(found) > MOST_PARTS:
            raise DataError(f"its {part} has more than {MOST_PARTS} parts")
        for one in found:
            _check_part(part, one, known)


def _parts(value: Any) -> Iterator[Any]:
    """A part, and those within it."""
    if value is None:
        return
    yield value
    for key in ("normalizers", "pretokenizers", "decoders"):
        within = value.get(key, []) if isinstance(value, dict) else []
        for one in within if isinstance(within, list) else [within]:
            yield from _parts(one)


def _check_part(part: str, value: Any, known: set[str]) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in known:
        raise DataError(f"its {part} {kind!r:.40} is not supported", f"known: {', '.join(sorted(known))}")
    pattern, content = value.get("pattern"), value.get("content", "")
    if not isinstance(pattern, dict | None) or not isinstance(content, str):
        raise DataError(f"its {part} {kind!r} is damaged")
    expression = (pattern or {}).get("Regex")
    if expression is not None and expression not in EXPRESSIONS:
        raise DataError(
            f"its {part} has the regular expression {expression!r:.60}, which may take hours for a sentence",
            "known are those of GPT-2, GPT-4, Llama 3 and Qwen 2; or use --tokenizer regex --pattern PATTERN",
        )
    if kind == "Replace" and part == "normalizer" and len(content) > max(1, len((pattern or {}).get("String", ""))):
        raise DataError("its normalizer replaces text by longer text")
    if kind == "Prepend" and len(str(value.get("prepend"))) > 1:
        raise DataError("its normalizer puts more than one character before a text")
    if len(str(value.get("precompiled_charsmap", ""))) > MOST_CHARMAP:
        raise DataError("its table of characters is too large")


def opened(parts: Mapping[str, Any]) -> Any:
    """The library's tokenizer. Raises `DataError`, or `MachineError` where the library is missing."""
    found = library().Tokenizer.from_str
    return called(lambda: found(json.dumps(parts)), "the tokenizers library cannot read it")


def pieces(parts: Mapping[str, Any]) -> list[str]:
    """The vocabulary in the order of its ids, without special tokens and the unknown one, which ours take the place of.

    Raises `DataError` where nothing is left.
    """
    vocabulary: dict[str, int] = opened(parts).get_vocab()
    foreign = _special(parts)
    kept = [piece for piece in sorted(vocabulary, key=vocabulary.__getitem__) if piece not in foreign and piece]
    if not kept:
        raise DataError("the tokenizer has no pieces")
    return kept


def _special(parts: Mapping[str, Any]) -> set[str]:
    added, model = parts["added_tokens"] or [], parts["model"]
    if not isinstance(added, list) or not all(isinstance(token, dict) for token in added):
        raise DataError("its added_tokens are not a list of tokens")
    found = {str(token.get("content")) for token in added if token.get("special")} | set(SPECIALS)
    found -= set(BYTES)
    found.add(str(model.get("unk_token")))
    if model.get("type") == "Unigram" and isinstance(index := model.get("unk_id"), int):
        with_scores = model["vocab"]
        found |= {entry[0] for entry in with_scores[index : index + 1]}
    return found


def rule(details: Mapping[str, Any], _: tuple[str, ...]) -> Rule:
    parts = details["file"]
    if not isinstance(parts, dict):
        raise DataError("the file of a tokenizer is a JSON object")
    check(parts)

    @lru_cache(maxsize=1)
    def tokenizer() -> Any:
        return opened(parts)

    def split(text: str) -> Any:
        stripped = text.strip(ASCII_SPACE)
        if not stripped:
            return []
        encode = tokenizer().encode
        found = called(lambda: encode(stripped, add_special_tokens=False), "the tokenizer cannot split a sentence")
        return found.tokens or [SPECIALS[UNK]]

    def joined(tokens: list[str]) -> str:
        ids = [tokenizer().token_to_id(token) for token in tokens]
        known = [index for index in ids if index is not None]
        message = "the tokenizer cannot join tokens"
        return str(called(lambda: tokenizer().decode(known, skip_special_tokens=False), message))

    def join(tokens: list[str]) -> str:
        groups = groupby(tokens, key=lambda token: token == SPECIALS[UNK])
        texts = [text for unknown, group in groups for text in (group if unknown else [joined(list(group))])]
        return " ".join(texts).strip(ASCII_SPACE)

    return Rule(lambda text: around_unknown(text, split), join)
