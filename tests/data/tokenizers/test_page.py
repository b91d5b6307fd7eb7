"""The section about tokens in docs/own-text.md: its commands run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqvae_cli.data.tokenizer import KINDS
from seqvae_cli.runs import registry
from tests.conftest import SMALL, Seqvae
from tests.data.tokenizers.test_kinds import CHINESE, GERMAN
from tests.test_docs import FENCE, ROOT, calls

PAGE = (ROOT / "docs" / "own-text.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## Tokens\n")[2].partition("\n## ")[0]

TEXTS = {
    "german.txt": GERMAN,
    "more-german.txt": [text.replace("Kind", "Nilpferd") for text in GERMAN],
    "chinese.txt": CHINESE,
    "names.txt": ["Anna", "Jürgen", "İpek", "Chloe\u0301"],
    "molecules.txt": ["CCO", "c1cc[nH]c1", "CCCl", "N[C@@H](C)C(=O)O"],
}


def test_the_commands_about_tokens_run(seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, texts in TEXTS.items():
        (tmp_path / name).write_text("\n".join(texts * 5) + "\n", encoding="utf-8")
    kinds, begun = set(), []
    for line in (line for kind, body in FENCE.findall(SECTION) if kind == "sh" for line in body.splitlines()):
        (words,) = calls(line)
        trains = words[0] == "train"
        more = ["--epochs", "1", *([] if "--init" in words else SMALL)] if trains else []
        answer = seqvae(*words, *more, "--json")
        assert answer.code == 0, line + answer.err
        found = json.loads(answer.out)
        if trains:
            begun.append("init" in registry.find(found["run"]).info)
            continue
        kinds.add(found["recipe"]["tokenizer"])
        if words[1] != "names.txt":  # four names: some are in one split alone
            assert all(split["unknown"] == 0 for split in found["splits"].values()), line
    assert kinds == {"bpe", "unigram", "char", "regex"}
    assert begun == [False, True]
    assert all(kind in SECTION for kind in KINDS)
