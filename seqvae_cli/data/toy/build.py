"""toy as a prepared corpus: its sentences, their hidden factors, and their exact log p(x)."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from seqvae_cli.data.build import Dropped, Prepared, build
from seqvae_cli.data.corpus import CORPUS_FORMAT, check_name
from seqvae_cli.data.toy import language
from seqvae_cli.errors import UsageError
from seqvae_cli.system import files
from seqvae_cli.system.progress import ProgressReport

TOY_SENTENCES = "choose 100 to 10,000,000"
HELD_OUT = 2_000
"""Sentences in each of the validation and test splits."""


def prepare_toy(
    *, sentences: int = 20_000, seed: int = 0, name: str = "toy", watch: ProgressReport | None = None
) -> Prepared:
    """Prepares the built-in corpus: one stream of sentences, cut into `sentences` for training and 2 × `HELD_OUT`.

    Two more files a split: SPLIT.factors.jsonl, the hidden factors of each sentence, and SPLIT.logprob.bin, log p(x) in
    nats as float64. watch: called with (stage, sentences done, sentences in all).

    Raises `UsageError` for a number of sentences outside 100 to 10,000,000.
    """
    check_name(name)
    if not 100 <= sentences <= 10_000_000:
        raise UsageError(f"toy cannot have {sentences} training sentences", TOY_SENTENCES)
    sizes = {"train": sentences, "valid": HELD_OUT, "test": HELD_OUT}
    total = sum(sizes.values())
    recipe = {"format": CORPUS_FORMAT, "toy": language.VERSION, "sizes": sizes, "seed": seed, "tokenizer": "whitespace"}
    recipe |= {"lower": False, "min_count": 1, "max_len": None}

    def stream(stage: str) -> Iterator[tuple[str, language.ToySentence]]:
        splits = itertools.chain.from_iterable(itertools.repeat(split, size) for split, size in sizes.items())
        for done, pair in enumerate(zip(splits, language.generate(total, seed), strict=True)):
            if watch and done % 1000 == 0:
                watch(stage, done, total)
            yield pair

    def texts(stage: str, _dropped: Dropped) -> Iterator[tuple[str, str]]:
        return ((split, " ".join(sentence.words)) for split, sentence in stream(stage))

    def extras(folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
        digests = {}
        with ExitStack() as stack:

            def open_all(kind: str) -> dict[str, files.DurableFile]:
                made = {split: files.DurableFile(folder / f"{split}.{kind}") for split in sizes}
                for file in made.values():
                    stack.callback(file.close)
                return made

            factors, log_probs = open_all("factors.jsonl"), open_all("logprob.bin")
            for split, sentence in stream("factors"):
                factors[split].write((json.dumps(sentence.factors) + "\n").encode())
                log_probs[split].write(struct.pack("<d", language.log_prob(sentence.words)))
            for file in (*factors.values(), *log_probs.values()):
                digests[file.path.name] = file.commit()
        values = {factor: list(choices) for factor, choices in language.FACTORS.items()}
        return digests, {"entropy": language.entropy(), "toy": {"version": language.VERSION, "factors": values}}

    return build(name, recipe, f"the built-in corpus, seed {seed}", texts, extras)
