"""`prepare.prepare`: one door for every source, and options that apply to it or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.data import prepare
from seqvae_cli.errors import UsageError

GIVEN: dict[str, Any] = {
    "name": "mine",
    "sentences": 200,
    "language": "de",
    "dedupe": True,
    "from_folder": ".",
    "verify": False,
    "valid": "valid.txt",
    "test": "test.txt",
    "valid_fraction": 0.2,
    "test_fraction": 0.2,
    "tokenizer": "char",
    "vocab_size": 300,
    "pattern": "smiles",
    "tokenizer_file": "tokenizer.json",
    "normalize": "nfkc",
    "lower": True,
    "min_count": 2,
    "max_len": 3,
    "seed": 1,
    "encoding": "latin-1",
    "format": "csv",
    "text": "review",
    "label": ["stars"],
    "split": "part",
    "id": "number",
    "workers": 3,
}


def test_every_option_applies_to_a_kind_of_source() -> None:
    options = set(prepare.PrepareOptions.__annotations__) - {"watch"}
    assert options == set(GIVEN) == set().union(*prepare.APPLICABLE.values())
    assert all(GIVEN[option] != default for option, default in prepare.DEFAULTS.items())


REFUSED = [
    (source, option)
    for source in ("toy", "ptb", "text.txt")
    for option in GIVEN
    if option not in prepare.APPLICABLE[prepare.kind_of_source(source)]
]


@pytest.mark.parametrize(("source", "option"), REFUSED)
def test_an_option_that_does_not_apply_is_refused_before_anything_is_read(source: str, option: str) -> None:
    with pytest.raises(UsageError, match=f"^{option} does not go with {'text' if '.' in source else source}"):
        prepare.prepare(source, **{option: GIVEN[option]})  # type: ignore[typeddict-item]


@pytest.mark.usefixtures("small_toy")
def test_options_at_their_defaults_go_with_every_source(home: Path) -> None:
    defaults: Any = dict.fromkeys(GIVEN) | prepare.DEFAULTS
    assert prepare.prepare("toy", **defaults | {"sentences": 200}).corpus.name == "toy"
    assert home.is_dir()


def test_the_options_reach_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("".join(f"Ein Satz {i}.\n" for i in range(40)))
    (tmp_path / "held.txt").write_text("Ein Satz.\n" * 3)
    options: Any = {"name": "mine", "tokenizer": "char", "lower": True, "min_count": 2, "max_len": 5, "seed": 1}
    corpus = prepare.prepare(tmp_path / "text.txt", test=tmp_path / "held.txt", valid_fraction=0.25, **options).corpus
    assert (corpus.name, corpus.tokenizer.kind, corpus.tokenizer.lower) == ("mine", "char", True)
    sizes = {split: counts["sentences"] for split, counts in corpus.info["splits"].items()}
    assert sizes == {"train": 30, "valid": 10, "test": 3}
    assert corpus.info["recipe"]["seed"] == 1
    assert corpus.info["splits"]["train"]["truncated"] == 30
    with pytest.raises(UsageError, match="exclude each other"):
        prepare.prepare(tmp_path / "text.txt", valid=tmp_path / "held.txt", valid_fraction=0.2)
