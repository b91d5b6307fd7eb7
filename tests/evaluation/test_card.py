"""The model card says what the run says, and nothing of the machine."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.data import corpus
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.evaluation.card import LICENCE, card
from seqvae_cli.runs import registry
from seqvae_cli.system import places
from tests.conftest import TINY, Seqvae
from tests.trainings import fit, new_run


def rows(text: str, section: str) -> dict[str, list[str]]:
    """First cell -> the others, of the tables of a section."""
    (part,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
    return {first: rest for first, *rest in cells if rest[0] not in ("value", "---")}


def test_the_card_has_the_data_the_settings_and_the_figures(trained_home: Path, seqvae: Seqvae) -> None:
    table = seqvae("eval", "tiny-run", "--samples", "2").lines
    run = registry.find("tiny-run")
    text = card(run)
    sizes = {split: counts["sentences"] for split, counts in corpus.find("tiny").info["splits"].items()}
    assert f"Sentences: {', '.join(f'{split} {count}' for split, count in sizes.items())}." in text
    settings = rows(text, "Settings")
    assert settings["`model.hidden_size`"] == [str(TINY["model.hidden_size"]), "256"]
    assert not [key for key in settings if key.startswith(("`data", "`runtime"))]
    assert [value for value, of_preset in settings.values() if value == of_preset] == []
    figures = rows(text, "Figures")
    found = {label: figures[label][0] for label in ("-ELBO", "reconstruction (distortion)", "active units")}
    for label, value in found.items():
        assert any(line.strip().startswith(label) and f" {value} " in line for line in table), label
    (stored,) = [json.loads(path.read_text()) for path in (run.path / "evaluations").iterdir()]
    assert stored["signature"] in text
    assert LICENCE in text
    assert str(trained_home) not in text


def test_a_language_model_that_was_not_evaluated_has_a_card(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "words", model__latent_size=0, train__epochs=1)
    assert "validation" not in card(run)
    fit(run, tiny_corpus)
    text = card(run)
    shutil.rmtree(places.corpora())
    assert card(run) == text
    assert "A language model of sentences" in text
    assert f"Lowest validation -ELBO: {run.metrics()[0]['neg_elbo']:.2f} nats" in text
    assert "`seqvae eval words`" in text
    assert tiny_corpus.hash in text


@pytest.mark.parametrize(("recorded", "shown"), [("mdr", "mdr"), (None, "default"), (["mdr"], "default")])
def test_settings_stand_beside_those_of_the_preset(tiny_corpus: Corpus, recorded: Any, shown: str) -> None:
    run = new_run(tiny_corpus, "preset")
    assert run.info["preset"] == "default"
    with run.lock():
        run.update(preset=recorded)
    assert f"| preset `{shown}` |" in card(run)
    assert ("`objective.min_rate`" in rows(card(run), "Settings")) == (shown == "mdr")


@pytest.mark.usefixtures("trained_home")
def test_an_archive_has_a_card_of_its_own(seqvae: Seqvae, tmp_path: Path) -> None:
    archive = tmp_path / "run.tar.gz"

    def packed() -> str:
        with tarfile.open(archive) as opened:
            file = opened.extractfile("seqvae-run/README.md")
            assert file is not None
            return file.read().decode()

    assert seqvae("runs", "export", "tiny-run", str(archive)).code == 0
    assert packed() == card(registry.find("tiny-run"))
    assert "with the same content" in seqvae("runs", "import", str(archive)).err
    assert seqvae("runs", "import", str(archive), "--name", "other").code == 0
    assert (registry.find("other").path / "README.md").read_text() == packed()
    archive.unlink()
    assert seqvae("runs", "export", "other", str(archive)).code == 0
    assert packed().startswith("# other\n")


@pytest.mark.parametrize("value", [10**300, "much", None, 0])
def test_a_strange_evaluation_is_no_error(trained_home: Path, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained_home.is_dir()
    stored = {"step": 20, "recorded": 1, "iw_samples": 2, "split": "test", "signature": "s", "entropy": value}
    step = registry.find("tiny-run").metrics()[-1]["step"]
    strange = stored | {"step": step, "neg_elbo": value, "excess": 1.0}
    monkeypatch.setattr("seqvae_cli.evaluation.compare.evaluations.read_all", lambda *_: [strange])
    assert "Signature: `s`" in card(registry.find("tiny-run"))
