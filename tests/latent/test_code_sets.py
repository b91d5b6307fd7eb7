"""Codes kept with a run: found again, made again, bounded, and never in the way."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seqvae_cli.api import Model, load
from seqvae_cli.data.records import Record
from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.latent import code_sets
from seqvae_cli.latent.candidates import Candidates, of_records
from seqvae_cli.latent.code_sets import KEPT, MANIFEST, ROWS_FILE, TEXTS_FILE, CodeSet
from seqvae_cli.model import Encoder
from seqvae_cli.runs import archive, doctor
from seqvae_cli.system import files
from tests.conftest import tiny_text


@pytest.fixture
def model(trained_home: Path) -> Model:
    assert trained_home.is_dir()
    return load("tiny-run")


class Encodings:
    """Counts the batches that are encoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, real = 0, Encoder.forward

        def forward(encoder: Encoder, batch: object) -> object:
            self.count += 1
            return real(encoder, batch)  # type: ignore[arg-type]

        monkeypatch.setattr(Encoder, "forward", forward)


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> Encodings:
    return Encodings(monkeypatch)


def content(codes: CodeSet) -> tuple[bytes, bytes]:
    return codes.rows.tobytes(), codes.texts.tobytes()


def candidates(model: Model, texts: list[str], digest: str | None) -> Candidates:
    return of_records("a list", lambda: map(Record, texts), model.tokenizer, lambda: digest)


def test_a_second_call_does_not_encode_again_and_finds_the_same(model: Model, encodings: Encodings) -> None:
    first = model.candidates("train")
    made = encodings.count
    assert made > 0
    again = load("tiny-run").candidates("train")
    assert encodings.count == made
    assert first.path == again.path
    assert content(first) == content(again)
    assert model.neighbours(["the cat sees it"], first) == model.neighbours(["the cat sees it"], again)
    assert model.candidates("valid").path != first.path


@pytest.mark.parametrize("name", [ROWS_FILE, TEXTS_FILE, MANIFEST])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_set_is_made_again(model: Model, encodings: Encodings, name: str, damage: str) -> None:
    whole = model.candidates("valid")
    expected, made = content(whole), encodings.count
    assert whole.path is not None
    data = bytearray((whole.path / name).read_bytes())
    data[len(data) // 2] ^= 1
    changed = {"flipped": bytes(data), "cut": bytes(data)[:-3], "gone": b""}[damage]
    (whole.path / name).unlink()
    if changed:
        (whole.path / name).write_bytes(changed)
    again = model.candidates("valid")
    assert encodings.count > made
    assert content(again) == expected
    made = encodings.count
    assert content(model.candidates("valid")) == expected
    assert encodings.count == made


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_stands_in_the_place_of_a_set_is_replaced(
    model: Model, encodings: Encodings, tmp_path: Path, kind: str
) -> None:
    path = model.candidates("valid").path
    assert path is not None
    kept = tmp_path / "kept"
    path.rename(kept) if kind == "link" else shutil.rmtree(path)
    path.symlink_to(tmp_path) if kind == "link" else path.write_text("no set")
    again = model.candidates("valid")
    made = encodings.count
    assert again.path == model.candidates("valid").path == path
    assert encodings.count == made
    assert not path.is_symlink()
    assert kind == "file" or len(list(kept.iterdir())) == 3, "what a link names is left alone"


def test_other_weights_make_another_set(model: Model) -> None:
    first = model.candidates("valid")
    with torch.no_grad():
        model.network.encoder.get_submodule("mean").bias += 1
    second = model.candidates("valid")
    assert first.path != second.path
    assert (second.rows["mean"] - first.rows["mean"]).min() > 0.99


def test_only_the_sets_used_last_stay(model: Model) -> None:
    def kept(number: int) -> Path:
        path = model.candidates(candidates(model, ["the cat", "a dog"], f"digest {number}")).path
        assert path is not None
        return path

    paths = [kept(number) for number in range(KEPT)]
    for age, path in enumerate(paths):
        os.utime(path, (age, age))
    assert kept(0) == paths[0]  # used again, so that the second is the oldest
    newest = kept(KEPT)
    left = {path for path in newest.parent.iterdir() if not path.name.startswith(".")}
    assert left == {paths[0], *paths[2:], newest}


def test_given_sentences_are_not_kept(model: Model) -> None:
    codes = model.candidates(tiny_text())
    assert (codes.path, len(codes)) == (None, 100)
    assert not (model.run.path / code_sets.FOLDER).exists()
    assert codes.record(99).text == tiny_text()[99]


@pytest.mark.parametrize("full", ["rows", "file in the way"])
def test_a_folder_that_cannot_be_written_is_no_error(model: Model, full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = content(model.candidates("valid"))
    folder = model.run.path / code_sets.FOLDER
    shutil.rmtree(folder)
    if full == "rows":

        def write(_: files.DurableFile, __: bytes) -> None:
            raise MachineError("no space left")

        monkeypatch.setattr(files.DurableFile, "write", write)
    else:
        folder.write_text("in the way")
    codes = model.candidates("valid")
    assert (codes.path, content(codes)) == (None, expected)
    assert not folder.is_dir() or not list(folder.iterdir())


def test_sentences_that_change_meanwhile_are_an_error(model: Model) -> None:
    digests = iter(["first", "second"])
    changing = of_records("a file", lambda: map(Record, tiny_text()), model.tokenizer, lambda: next(digests))
    with pytest.raises(DataError, match="a file changed while it was read"):
        model.candidates(changing)
    assert not list((model.run.path / code_sets.FOLDER).iterdir())


def test_another_process_that_was_faster_is_not_in_the_way(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = candidates(model, tiny_text(), "the same")
    first, real = model.candidates(texts), code_sets._opened
    calls = iter([None])
    monkeypatch.setattr(code_sets, "_opened", lambda *given: next(calls, real(*given)))
    second = model.candidates(texts)
    assert (second.path, content(second)) == (first.path, content(first))


def test_unknown_words_are_told_the_second_time_as_well(model: Model) -> None:
    texts = candidates(model, ["the whale sees it", "", "a dog"], "with a whale")
    tallies = [model.candidates(texts).tally for _ in range(2)]
    assert tallies[0] == tallies[1]
    assert (tallies[0].unknown, tallies[0].names, tallies[0].empty, tallies[0].words) == (1, {"whale": 1}, 1, 6)


def test_a_set_with_other_texts_is_called_damaged(model: Model) -> None:
    codes = model.candidates(["the cat", "a dog"])
    with pytest.raises(DataError, match="is damaged"):
        replace(codes, texts=codes.texts[::-1].copy()).record(0)


def test_codes_that_are_not_finite_are_an_error(model: Model) -> None:
    with torch.no_grad():
        model.network.encoder.get_submodule("mean").bias.fill_(torch.inf)
    with pytest.raises(DataError, match="not finite"):
        model.candidates("valid")


def test_archives_leave_them_out_and_the_doctor_has_nothing_to_say(model: Model, tmp_path: Path) -> None:
    before = archive.Pack(model.run).files
    codes = model.candidates("train")
    assert codes.path is not None
    assert archive.Pack(model.run).files == before
    assert doctor.examine(model.run.path) == []
    assert json.loads((codes.path / MANIFEST).read_text())["sentences"] == len(codes)
    (tmp_path / "run.tar.gz").write_bytes(b"".join(archive.Pack(model.run).blocks()))
    with (tmp_path / "run.tar.gz").open("rb") as stream:
        copied = archive.unpack(stream, "copied")
    near = load(copied).neighbours(["the cat sees it"], "valid")
    assert near == model.neighbours(["the cat sees it"], "valid")
