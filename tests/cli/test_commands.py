"""The commands as a user types them, on a tiny trained run."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from seqvae_cli.cli.corpus_report import about
from seqvae_cli.config import presets
from seqvae_cli.data import corpus
from seqvae_cli.evaluation import bounds
from seqvae_cli.runs import checkpoint, registry
from tests.conftest import SMALL, Seqvae, tiny_text

pytestmark = pytest.mark.usefixtures("trained_home")


def test_the_help_names_every_preset(seqvae: Seqvae) -> None:
    words = " ".join(seqvae("train", "--help").out.split())
    assert f"Settings to start from: {', '.join(presets.names())};" in words


# prepare


def test_prepare_shows_a_table_and_is_done_at_once_the_second_time(seqvae: Seqvae, tmp_path: Path) -> None:
    text = tmp_path / "My Notes.txt"
    text.write_text("\n".join(tiny_text()))
    first = seqvae("prepare", str(text), "--max-len", "4")
    assert first.code == 0
    header, train, valid, test = first.lines
    assert header.split()[:3] == ["split", "sentences", "tokens"]
    assert [line.split()[:2] for line in (train, valid, test)] == [["train", "90"], ["valid", "5"], ["test", "5"]]
    assert int(train.split()[-2]) > 0  # truncated
    assert re.search(r"next: seqvae train --data my-notes \(72 epochs, about \d+ s on this CPU at most\)", first.err)
    assert "90 training sentences may be too few for a code; --preset lm has none" in first.err
    second = seqvae("prepare", str(text), "--max-len", "4")
    assert second.out == first.out
    assert "prepared already" in second.err


def test_prepare_says_what_is_odd_and_what_helps_each_time(seqvae: Seqvae) -> None:
    text = "\n".join(["Ein langer Satz über das Wetter in Grönland,\tund noch einer"] * 3 + tiny_text() * 2).encode()
    answers = [seqvae("prepare", "-", "--name", "odd", stdin=text) for _ in range(2)]
    assert ["prepared already" in answer.err for answer in answers] == [False, True]
    for answer in answers:
        warning, hint, leaked, *_ = [line for line in answer.err.splitlines() if line.startswith(("warning", "hint"))]
        assert warning == 'warning: 102 of 203 sentences (50%) repeat an earlier one: "Ein langer Satz üb…"'
        assert hint == "hint: --dedupe keeps one of each"
        assert leaked.startswith("warning: ")
        assert all(len(line) <= 80 for line in answer.err.splitlines())
    told = seqvae("prepare", "-", "--name", "odd", "--json", stdin=text)
    assert [finding["kind"] for finding in json.loads(told.out)["findings"]] == ["repeated", "leaked"]
    assert told.err.count("warning:") == 2
    assert "warning" not in seqvae("prepare", "-", stdin="\n".join(tiny_text()).encode()).err


def test_prepare_reads_standard_input_and_answers_in_json(seqvae: Seqvae) -> None:
    answer = seqvae("prepare", "-", "--name", "piped", "--json", stdin="\n".join(tiny_text()).encode())
    assert answer.code == 0
    info = json.loads(answer.out)
    assert info["name"] == "piped"
    assert info["fresh"] is True
    assert corpus.find("piped").hash == info["hash"]


@pytest.mark.usefixtures("small_toy")
def test_prepare_toy_knows_its_entropy(seqvae: Seqvae) -> None:
    answer = seqvae("prepare", "toy", "--sentences", "100", "--json")
    assert answer.code == 0
    assert 20 < json.loads(answer.out)["entropy"] < 45


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["prepare", "nowhere.txt"], 4, "nowhere.txt"),
        (["prepare", "ptb", "--from", "nowhere"], 4, "nowhere"),
        (["prepare", "ptb", "--no-verify"], 2, "--from"),
        (["prepare", "toy", "--sentences", "3"], 2, "100"),
        (["prepare", "toy", "--sentences", "9" * 5000], 2, "100"),
        (["prepare", "toy", "--lower"], 2, "--lower"),
        (["prepare", "toy", "--tokenizer", "char"], 2, "--tokenizer"),
        (["prepare", "toy", "--encoding", "latin-1"], 2, "--encoding"),
        (["prepare", "toy", "--no-verify"], 2, "--no-verify"),
        (["prepare", "x.txt", "--valid", "y.txt", "--valid-fraction", "0.1"], 2, "--valid-fraction"),
        (["train", "--data", "toyy"], 3, "toyy"),
        (["train", "--epochs", "many"], 2, "many"),
        (["train", "--preset", "defualt"], 2, "default"),
        (["train", "--set", "train.learning=1"], 2, "train.lr, train.lr_schedule"),
        (["train", "--set", "trian.epoch=1"], 2, "did you mean 'train.epochs'?"),
        (["train", "--set", "lr=1"], 2, "train.lr"),
        (["train", "--set", "lr"], 2, "KEY=VALUE"),
        (["train", "--config", "nowhere.yaml"], 4, "nowhere.yaml"),
        (["train", "--name", "tiny-run"], 2, "already"),
        (["train", "--resume", "nothing"], 3, "nothing"),
        (["train", "--resume", "auto"], 3, "interrupted"),
        (["train", "--resume", "tiny-run", "--lr", "0.1"], 2, "--epochs"),
        (["eval", "nothing"], 3, "nothing"),
        (["eval", "--split", "dev"], 2, "valid"),
        (["eval", "tiny-run", "-r", "other"], 2, "two runs"),
        (["sample", "--start", "zebra"], 2, "zebra"),
        (["sample", "--greedy", "--top-k", "3"], 2, "--top-k"),
        (["interpolate", "only one"], 2, "give two"),
        (["interpolate", "--random", "the cat", "a dog"], 2, "--random"),
        (["interpolate", "a", "b", "--path", "curved"], 2, "spherical"),
        (["interpolate", "a", "b", "--steps", "1"], 2, "--steps"),
        (["encode", "the cat", "-o", "codes.csv"], 2, ".npy"),
        (["encode"], 2, ""),
        (["encode", "nowhere.txt"], 2, "nowhere.txt"),
        (["encode", "the cat", "-o", "nowhere/codes.npy"], 2, "nowhere"),
        (["train", "--name", ""], 2, "''"),
        (["train", "--name", "auto"], 2, "auto"),
        (["train", "--resume", "tiny-run", "--epochs", "1"], 2, "epochs already"),
        (["sample", ""], 2, "''"),
        (["runs", "show", "nothing"], 3, "nothing"),
    ],
)
def test_bad_input_gets_one_clear_line_and_its_exit_code(
    seqvae: Seqvae, arguments: list[str], code: int, words: str
) -> None:
    before = registry.names()
    answer = seqvae(*arguments)
    assert answer.code == code, answer.err
    assert answer.out == ""
    assert words in answer.err
    lines = [line for line in answer.err.splitlines() if "Linguistic Data Consortium" not in line]
    assert lines[0].startswith("error: ")
    assert len(lines) <= 2
    assert "Traceback" not in answer.err
    assert registry.names() == before


# train


def test_train_uses_the_last_corpus_and_names_the_next_commands(seqvae: Seqvae) -> None:
    answer = seqvae("train", *SMALL, "--epochs", "1", "--json")
    assert answer.code == 0
    result = json.loads(answer.out)
    assert result["run"] == "tiny-default-1"
    assert result["status"] == "finished"
    assert "epoch 1/1" in answer.err
    assert f"seqvae eval {result['run']}" in answer.err
    assert Path(result["path"], "best").is_dir()


def test_flags_of_other_implementations_work(seqvae: Seqvae) -> None:
    arguments = ["--batch_size", "16", "--bptt", "5", "--lr", "0.01", "--embed_size", "8", "--hidden_size", "8"]
    answer = seqvae("train", *SMALL, *arguments, "--latent_size", "3", "--epochs", "1", "--name", "underscored", "-q")
    assert answer.code == 0, answer.err
    settings = json.loads(seqvae("runs", "show", "underscored", "--json").out)["settings"]
    assert settings["train"]["max_len"] == 5
    assert settings["train"]["batch_size"] == 16
    assert settings["model"]["latent_size"] == 3


def test_flags_beat_set_beats_config_beats_the_preset(seqvae: Seqvae, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("train:\n  lr: 3e-3\n  clip: 1.5\n  epochs: 1\n")
    arguments = ["--config", str(config), "--set", "train.clip=2", "--set", "train.lr=0.5", "--lr", "0.02"]
    arguments += ["--epochs", "1", "--preset", "seed"]
    assert seqvae("train", *SMALL, *arguments, "--name", "layered", "-q").code == 0
    settings = json.loads(seqvae("runs", "show", "layered", "--json").out)["settings"]
    assert settings["train"]["lr"] == 0.02
    assert settings["train"]["clip"] == 2
    assert settings["model"]["latent_input"] is False
    assert settings["objective"]["kl_schedule"] == "logistic"


def test_resuming_a_finished_run_with_more_epochs_goes_on(seqvae: Seqvae) -> None:
    answer = seqvae("train", "--resume", "tiny-run", "--epochs", "3")
    assert answer.code == 0
    assert [line["epoch"] for line in registry.find("tiny-run").metrics()] == [1, 2, 3]


# eval


def test_eval_gives_every_figure_with_its_signature(seqvae: Seqvae) -> None:
    answer = seqvae("eval", "--samples", "20", "--json", "--split", "valid")
    assert answer.code == 0
    result = json.loads(answer.out)
    names = "split sentences tokens neg_elbo distortion rate elbo_ppl iw_nll iw_ppl iw_samples"
    names += " mutual_information active_units bleu exact_match signature"
    assert set(names.split()) <= result.keys()
    assert "entropy" not in result
    assert result["neg_elbo"] == pytest.approx(result["distortion"] + result["rate"])
    assert result["iw_ppl"] == pytest.approx(math.exp(result["iw_nll"] * result["sentences"] / result["tokens"]))
    assert seqvae("eval", "tiny-run", "--samples", "20", "--json", "--split", "valid").out == answer.out


@pytest.mark.usefixtures("small_toy")
def test_eval_prints_a_table_and_on_toy_the_entropy(seqvae: Seqvae) -> None:
    assert seqvae("prepare", "toy", "--sentences", "100", "-q").code == 0
    arguments = ["--data", "toy", "--epochs", "1", "--batch-size", "50", "--name", "on-toy", "-q"]
    assert seqvae("train", *SMALL, *arguments).code == 0
    answer = seqvae("eval", "on-toy", "--samples", "2", "--split", "test")
    assert answer.code == 0
    assert "exact entropy of the source" in answer.out
    assert "above the exact one" in answer.out
    assert "-ELBO" in answer.out
    assert "signature: data:toy@" in answer.err
    figures = json.loads(seqvae("eval", "on-toy", "--samples", "2", "--split", "test", "--json").out)
    exact = np.fromfile(corpus.find("toy").path / "test.logprob.bin", "<f8")
    assert len(exact) == figures["sentences"]
    assert figures["excess"] == pytest.approx(figures["iw_nll"] + exact.mean())
    assert figures["excess"] > 0


# sample


def test_sample_prints_a_sentence_a_line_the_same_at_any_batch_size(seqvae: Seqvae) -> None:
    answer = seqvae("sample", "-n", "7", "--seed", "3", "--start", "the")
    assert answer.code == 0
    assert len(answer.lines) == 7
    assert all(line.split()[0] == "the" for line in answer.lines)
    assert seqvae("sample", "-n", "7", "--seed", "3", "--start", "the", "--batch-size", "2").out == answer.out
    assert seqvae("sample", "-n", "7", "--seed", "4", "--start", "the").out != answer.out


def test_sample_json_has_a_line_for_every_sentence(seqvae: Seqvae) -> None:
    rows = [json.loads(line) for line in seqvae("sample", "-n", "3", "--json", "--top-p", "0.9").lines]
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert all(" ".join(row["tokens"]) == row["text"] for row in rows)


# interpolate


def test_interpolate_shows_both_originals_and_both_ends(seqvae: Seqvae) -> None:
    answer = seqvae("interpolate", "the cat sees it", "a dog paints people", "--steps", "5")
    assert answer.code == 0
    labels = [line.split("\t")[0] for line in answer.lines]
    assert labels == ["from", "0.00", "0.25", "0.50", "0.75", "1.00", "to"]
    assert answer.lines[0] == "from\tthe cat sees it"
    assert answer.lines[-1] == "to\ta dog paints people"
    reverse = seqvae("interpolate", "a dog paints people", "the cat sees it", "--steps", "5")
    ends = [line.split("\t")[1] for line in answer.lines[1:-1:4]]
    assert [line.split("\t")[1] for line in reverse.lines[1:-1:4]] == ends[::-1]


def test_interpolate_random_starts_with_the_start_word_and_takes_twenty_steps(seqvae: Seqvae) -> None:
    answer = seqvae("interpolate", "--random", "--start", "the old", "--path", "spherical")
    assert len(answer.lines) == 20
    assert all(line.split("\t")[1].startswith("the old") for line in answer.lines)
    answer = seqvae("interpolate", "--random", "--json", "--steps", "3")
    assert [step["t"] for step in json.loads(answer.out)["steps"]] == [0, 0.5, 1]


def test_interpolate_even_has_the_same_ends_at_steps_of_its_own(seqvae: Seqvae) -> None:
    arguments = ["interpolate", "the cat sees it", "a dog paints people", "--steps", "6", "--json"]
    answers = [json.loads(seqvae(*arguments, *more).out) for more in ([], ["--even"])]
    assert [answer["even"] for answer in answers] == [False, True]
    equal, even = (answer["steps"] for answer in answers)
    assert [even[0], even[-1]] == [equal[0], equal[-1]]
    places = [step["t"] for step in even]
    assert len(places) == 6
    assert places == sorted(set(places))
    assert all(t * 20 == pytest.approx(round(t * 20), abs=1e-4) for t in places)  # four to a step of the other


# encode


def test_encode_keeps_order_and_rows_whatever_the_output(seqvae: Seqvae, tmp_path: Path) -> None:
    text = "the cat sees it\n\na dog paints the long road to town\r\nzebra\n"
    path = tmp_path / "lines.txt"
    path.write_bytes(text.encode())
    answer = seqvae("encode", str(path))
    assert answer.code == 0
    rows = [json.loads(line) for line in answer.lines]
    expected = ["the cat sees it", "", "a dog paints the long road to town", "zebra"]
    assert [row["text"] for row in rows] == expected
    assert rows[1]["mean"] is None
    assert rows[1]["reason"] == "empty sentence"
    assert "zebra" in answer.err
    assert seqvae("encode", "-", stdin=text.encode()).out == answer.out
    single = json.loads(seqvae("encode", "a dog paints the long road to town").out)
    assert np.allclose(single["mean"], rows[2]["mean"], atol=1e-5)
    assert len(single["scale"]) == 4
    codes = tmp_path / "codes.npy"
    assert seqvae("encode", str(path), "-o", str(codes)).out == ""
    means = np.load(codes)
    assert means.shape == (4, 4)
    assert np.isnan(means[1]).all()
    assert np.allclose(means[2], rows[2]["mean"], atol=1e-6)
    table = tmp_path / "codes.tsv"
    seqvae("encode", str(path), "-o", str(table))
    lines = table.read_text().splitlines()
    assert len(lines) == 5
    assert {len(line.split("\t")) for line in lines} == {9}
    jsonl = tmp_path / "codes.jsonl"
    seqvae("encode", str(path), "-o", str(jsonl))
    assert jsonl.read_text() == answer.out


def test_a_parquet_table_has_the_columns_of_tsv(
    seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    path, table = tmp_path / "rows.csv", tmp_path / "codes.parquet"
    path.write_text("text,stars,number\nthe cat sees the sea,5,a\n,4,b\na dog likes it,3,c\n")
    call = ["encode", str(path), "--text", "text", "--label", "stars", "--id", "number"]
    assert seqvae(*call, "-o", str(table)).code == 0
    rows = parquet.read_table(table)
    assert seqvae(*call, "-o", str(tmp_path / "codes.tsv")).code == 0
    header, *lines = (tmp_path / "codes.tsv").read_text().splitlines()
    assert rows.column_names == header.split("\t")
    assert {str(rows.schema.field(name).type) for name in rows.column_names[1:9]} == {"float"}
    for name, *values in zip(header.split("\t"), *(line.split("\t") for line in lines), strict=True):
        shown = [
            "" if value is None else f"{value:.9g}" if name[-1].isdigit() else value for value in rows[name].to_pylist()
        ]
        assert shown == values, name
    monkeypatch.setattr("seqvae_cli.data.windows.WINDOW", 2)
    assert seqvae(*call, "-o", str(table)).code == 0
    assert parquet.read_table(table).equals(rows), "in two row groups"
    answer = seqvae("decode", str(table))
    assert (answer.code, "is a Parquet table" in answer.err) == (4, True)
    (tmp_path / "mean.csv").write_text("text,mean_1\nthe cat,5\n")
    answer = seqvae("encode", str(tmp_path / "mean.csv"), "--text", "text", "--label", "mean_1", "-o", str(table))
    assert (answer.code, "two columns 'mean_1'" in answer.err) == (2, True)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = seqvae(*call, "-o", str(table))
    assert (answer.code, 'pip install "seqvae[parquet]"' in answer.err) == (5, True)
    assert parquet.read_table(table).equals(rows), "it stays as it was"


def test_encode_does_not_write_over_what_it_reads_nor_json_into_an_array(seqvae: Seqvae, tmp_path: Path) -> None:
    path = tmp_path / "lines.tsv"
    path.write_text("the cat sees it\n")
    answer = seqvae("encode", str(path), "-o", str(path))
    assert (answer.code, path.read_text()) == (2, "the cat sees it\n")
    assert "is the input" in answer.err
    answer = seqvae("encode", str(path), "--json", "-o", str(tmp_path / "codes.npy"))
    assert answer.code == 2
    assert "--json does not go with .npy" in answer.err
    assert not (tmp_path / "codes.npy").exists()
    for _ in range(2):  # what else is there is replaced
        assert seqvae("encode", str(path), "--json", "-o", str(tmp_path / "codes.jsonl")).code == 0


def test_encode_takes_one_sentence_longer_than_a_file_name(seqvae: Seqvae) -> None:
    answer = seqvae("encode", "the cat sees " * 500)
    assert answer.code == 0
    assert len(answer.lines) == 1


@pytest.mark.usefixtures("trained_home")
def test_a_perplexity_that_overflows_is_null(seqvae: Seqvae) -> None:
    """Of weights that give a token of the text a probability of next to nothing."""
    best = registry.find("tiny-run").path / "best"
    newest = checkpoint.newest(best)
    assert newest is not None
    state = safetensors.torch.load_file(newest / "model.safetensors")
    checkpoint.write(best, int(newest.name) + 1, {"model": {name: 200 * value for name, value in state.items()}})
    answer = seqvae("eval", "tiny-run", "--samples", "2", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["neg_elbo"] > 5_000
    assert found["elbo_ppl"] is found["iw_ppl"] is None
    assert "inf" in seqvae("eval", "tiny-run", "--samples", "2").out


# runs


def test_runs_lists_shows_and_finds(seqvae: Seqvae) -> None:
    assert "tiny-run" in seqvae("runs", "list").out
    (row,) = [json.loads(line) for line in seqvae("runs", "list", "--json").lines]
    assert row["run"] == "tiny-run"
    assert row["status"] == "finished"
    shown = seqvae("runs", "show", "tiny").out
    assert "model.latent_size" in shown
    assert "0.002" in shown
    assert seqvae("runs", "path", "best").lines == [str(registry.find("tiny-run").path)]


def test_without_any_run_or_corpus_the_way_is_shown(
    seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEQVAE_HOME", str(tmp_path / "empty"))
    for command in (["eval"], ["sample"], ["encode", "x"], ["interpolate", "--random"], ["runs", "show"]):
        answer = seqvae(*command)
        assert answer.code == 3
        assert "seqvae train" in answer.err
    answer = seqvae("train")
    assert answer.code == 3
    assert "seqvae prepare" in answer.err
    assert seqvae("runs", "list").code == 0


# decode, reconstruct, score


SENTENCES = ["the cat sees the sea", "a dog likes it", "my sister paints a red house"]


def test_encode_and_decode_are_reconstruct(seqvae: Seqvae, tmp_path: Path) -> None:
    expected = seqvae("reconstruct", *SENTENCES)
    assert expected.code == 0
    assert len(expected.lines) == 3
    lines = seqvae("encode", *SENTENCES).out
    assert seqvae("decode", stdin=lines.encode()).lines == expected.lines
    assert seqvae("decode", "-", stdin=lines.encode()).lines == expected.lines
    for name in ("codes.npy", "codes.jsonl"):
        assert seqvae("encode", *SENTENCES, "-o", str(tmp_path / name)).code == 0
        assert seqvae("decode", str(tmp_path / name)).lines == expected.lines
        piped = seqvae("decode", stdin=(tmp_path / name).read_bytes())
        assert piped.lines == expected.lines
        assert piped.err == expected.err


def test_rows_without_a_sentence_keep_their_place_through_every_command(seqvae: Seqvae, tmp_path: Path) -> None:
    text = f"{SENTENCES[0]}\n\n{SENTENCES[1]}\n \n".encode()
    made = seqvae("reconstruct", "-", stdin=text)
    assert len(made.lines) == 4
    assert made.lines[1] == made.lines[3] == ""
    assert "2 empty sentences" in made.err
    codes = seqvae("encode", "-", stdin=text).out
    assert seqvae("decode", "-", stdin=codes.encode()).lines == made.lines
    seqvae("encode", "-", "-o", str(tmp_path / "codes.npy"), stdin=text)
    assert seqvae("decode", str(tmp_path / "codes.npy")).lines == made.lines
    rows = [json.loads(line) for line in seqvae("decode", "-", "--json", stdin=codes.encode()).lines]
    assert [row["text"] for row in rows] == [made.lines[0], None, made.lines[2], None]
    assert rows[1] == {"index": 1, "text": None, "cut": False, "reason": "no code"}
    rows = [json.loads(line) for line in seqvae("reconstruct", "-", "--json", stdin=text).lines]
    assert [row["reconstruction"] for row in rows] == [made.lines[0], None, made.lines[2], None]
    scores = seqvae("score", "-", stdin=text).lines
    assert [line.split("\t")[0] != "" for line in scores] == [True, False, True, False]
    rows = [json.loads(line) for line in seqvae("score", "-", "--json", stdin=text).lines]
    assert [row["nll"] is None for row in rows] == [False, True, False, True]


def test_decode_with_noise_is_seeded_and_does_not_depend_on_the_batch(seqvae: Seqvae) -> None:
    codes = seqvae("encode", *SENTENCES * 4).out.encode()
    bold = ["decode", "--temperature", "3", "--seed", "5"]
    made = [seqvae(*bold, "--batch-size", size, stdin=codes).lines for size in ("1", "5", "256")]
    assert made[0] == made[1] == made[2]
    assert len(set(made[0])) > 3
    assert seqvae("decode", "--temperature", "3", "--seed", "6", stdin=codes).lines != made[0]


def test_beams_answer(seqvae: Seqvae) -> None:
    assert len(seqvae("reconstruct", "--beam", "4", *SENTENCES).lines) == 3
    assert seqvae("reconstruct", "--beam", "1", *SENTENCES).lines == seqvae("reconstruct", *SENTENCES).lines
    assert seqvae("sample", "-n", "3", "--beam", "1").lines == seqvae("sample", "-n", "3", "--greedy").lines


def test_no_unk_keeps_unknown_words_out_of_every_answer(seqvae: Seqvae) -> None:
    """On a corpus most of whose words are unknown."""
    text = "\n".join(tiny_text()).encode()
    assert seqvae("prepare", "-", "--name", "rare", "--min-count", "30", stdin=text).code == 0
    assert seqvae("train", "--data", "rare", *SMALL, "--epochs", "20").code == 0
    code = json.dumps([0.0, 1.0, 0.0, -1.0]).encode()
    for arguments, stdin in (
        (["sample", "--seed", "1"], b""),
        (["sample", "--beam", "2"], b""),
        (["interpolate", "--random"], b""),
        (["reconstruct", "the cat sees the sea"], b""),
        (["decode", "--beam", "2"], code),
        (["decode"], code),
    ):
        assert "<unk>" in seqvae(*arguments, stdin=stdin).out, arguments
        known = seqvae(*arguments, "--no-unk", stdin=stdin)
        assert known.code == 0
        assert known.out
        assert "<unk>" not in known.out, arguments


def test_unk_is_no_word_where_only_the_training_reads_it(seqvae: Seqvae) -> None:
    """Words seen once are `<unk>` in some steps, so that it has a probability; the text has none."""
    text = "\n".join(f"{sentence} w{number} v{number}" for number, sentence in enumerate(tiny_text())).encode()
    assert seqvae("prepare", "-", "--name", "once", stdin=text).code == 0
    assert seqvae("train", "--data", "once", *SMALL, "--epochs", "10", "--set", "train.unknown=1").code == 0
    drawn = [seqvae("sample", "-n", "20", *more).out for more in ([], ["--no-unk"], ["--unk"])]
    assert drawn[0] == drawn[1]
    assert "<unk>" not in drawn[0]
    assert "<unk>" in drawn[2]


def test_sample_in_json_has_the_log_probability(seqvae: Seqvae) -> None:
    rows = [json.loads(line) for line in seqvae("sample", "-n", "5", "--json", "--batch-size", "2").lines]
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
    assert all(row["log_prob"] < 0 for row in rows)
    greedy = [json.loads(line) for line in seqvae("sample", "-n", "5", "--greedy", "--json").lines]
    assert sum(row["log_prob"] / (len(row["tokens"]) + 1) for row in greedy) > sum(
        row["log_prob"] / (len(row["tokens"]) + 1) for row in rows
    )


def test_scores_are_the_bounds_in_columns_and_in_json(seqvae: Seqvae) -> None:
    odd = "sea the the sees cat town town town"
    answer = seqvae("score", *SENTENCES, odd, "--samples", "20")
    columns = [line.split("\t") for line in answer.lines]
    assert [row[-1] for row in columns] == [*SENTENCES, odd]
    bound = [json.loads(line) for line in seqvae("score", *SENTENCES, "--json", "--samples", "20").lines]
    for row, line in zip(bound, columns, strict=False):
        assert row["nll"] == row["iw_nll"] == pytest.approx(float(line[0]), abs=1e-3)
        assert row["nats_per_token"] == pytest.approx(row["nll"] / row["tokens"])
    plain = [json.loads(line) for line in seqvae("score", *SENTENCES, "--json").lines]
    for row in plain:
        assert row["nll"] == row["iw_nll"]
        assert row["neg_elbo"] == pytest.approx(row["distortion"] + row["rate"])
        assert row["samples"] == bounds.SCORE_SAMPLES
    assert f"K = {bounds.SCORE_SAMPLES}\n" in seqvae("score", *SENTENCES).err


def test_the_help_of_score_names_its_default_number_of_samples(seqvae: Seqvae) -> None:
    assert f"default {bounds.SCORE_SAMPLES}]" in " ".join(seqvae("score", "--help").out.split())


def test_score_counts_unknown_words(seqvae: Seqvae) -> None:
    answer = seqvae("score", "-", stdin=b"the zebra sees the unicorn\n")
    assert answer.lines[0].split("\t")[3:] == ["2", "the zebra sees the unicorn"]
    assert "2 of 5 words are unknown, read as <unk>: 'zebra', 'unicorn'" in answer.err


TEXTS = ['"the cat" sees it', "the\tcat", "the  cat  ", "the\u2028cat", 'a "dog', "\u3000", "", '"', "Zoë's, it's"]
"""Sentences that a careless writer of TSV changes, or that lose rows in its readers."""


def tables(seqvae: Seqvae, folder: Path) -> dict[str, tuple[bytes, int, list[str]]]:
    """TSV of the commands that write it: its bytes, the column of the text, and the texts that must be there."""
    stdin = "".join(f"{text}\n" for text in TEXTS).encode()
    seqvae("encode", "-", "-o", str(folder / "codes.tsv"), stdin=stdin)
    header = ["text"]
    lines = [text if text.strip() else "" for text in TEXTS]  # blank lines are read as empty ones
    path = seqvae("interpolate", TEXTS[0], TEXTS[1], "--steps", "2").out.encode()
    return {
        "encode": ((folder / "codes.tsv").read_bytes(), 0, header + lines),
        "score": (seqvae("score", "-", stdin=stdin).out.encode(), 4, lines),
        "score arguments": (seqvae("score", "the\ncat", "a\rdog\r\n").out.encode(), 4, ["the\ncat", "a\rdog\r\n"]),
        "interpolate": (path, 1, [TEXTS[0], TEXTS[1]]),
    }


def test_tsv_is_what_csv_reads_back(seqvae: Seqvae, tmp_path: Path) -> None:
    for name, (data, column, texts) in tables(seqvae, tmp_path).items():
        rows = list(csv.reader(io.StringIO(data.decode(), newline=""), "excel-tab"))
        if name == "interpolate":
            rows = [rows[0], rows[-1]]
        assert [row[column] for row in rows] == texts, name
        assert len({len(row) for row in rows}) == 1, name


def test_tsv_is_what_pandas_reads_back(seqvae: Seqvae, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    for name, (data, column, texts) in tables(seqvae, tmp_path).items():
        found = pandas.read_csv(io.BytesIO(data), sep="\t", header=0 if name == "encode" else None)
        read = found.iloc[:, column].fillna("").tolist()  # an empty field is NaN in pandas
        if name == "interpolate":
            read = [read[0], read[-1]]
        assert read == texts[name == "encode" :], name


def test_a_column_of_scores_still_sorts(seqvae: Seqvae) -> None:
    lines = seqvae("score", *(f'the "{text}"' for text in SENTENCES)).lines
    assert all(float(line.split("\t")[0]) > 0 for line in lines)
    assert len(lines) == 3


# sentences that are cut


def test_sentences_cut_at_max_len_are_marked(seqvae: Seqvae) -> None:
    options = ["-n", "30", "--seed", "1", "--max-len", "6"]
    rows = [json.loads(line) for line in seqvae("sample", *options, "--json").lines]
    whole = [json.loads(line) for line in seqvae("sample", *options[:-1], "500", "--json").lines]
    assert [row["cut"] for row in rows] == [len(row["tokens"]) >= 6 for row in whole]
    cut = [row for row in rows if row["cut"]]
    assert 0 < len(cut) < 30
    assert all(row["eos_counted"] is not row["cut"] for row in rows)
    for row, other in zip(rows, whole, strict=True):
        if row["cut"]:
            assert row["log_prob"] > other["log_prob"]  # fewer words, and no end
        else:
            assert row["log_prob"] == pytest.approx(other["log_prob"], abs=1e-4)
    answer = seqvae("sample", *options)
    assert answer.err == f"warning: {len(cut)} of 30 sentences were cut at 6 tokens\nhint: raise --max-len\n"
    assert seqvae("sample", *options[:-1], "500").err == ""


@pytest.mark.parametrize("command", ["decode", "reconstruct", "interpolate"])
def test_every_decoder_marks_what_it_cuts(seqvae: Seqvae, command: str) -> None:
    arguments = {"decode": ["-"], "reconstruct": SENTENCES[:2], "interpolate": [*SENTENCES[:2], "--steps", "2"]}[
        command
    ]
    codes = seqvae("encode", *SENTENCES[:2]).out.encode()
    answer = seqvae(command, *arguments, "--max-len", "2", "--json", stdin=codes)
    rows = json.loads(answer.out)["steps"] if command == "interpolate" else [json.loads(line) for line in answer.lines]
    assert [row["cut"] for row in rows] == [True, True]
    assert answer.err == ""
    plain = seqvae(command, *arguments, "--max-len", "2", stdin=codes)
    assert "2 of 2 sentences were cut at 2 tokens" in plain.err


def test_a_quiet_training_prints_the_name_of_its_run_alone(seqvae: Seqvae) -> None:
    answer = seqvae("train", *SMALL, "--epochs", "1", "--name", "silent", "-q")
    assert (answer.code, answer.out) == (0, "silent\n")
    assert seqvae("train", "--resume", "silent", "--epochs", "2").out == ""  # commentary is on stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (["decode", "-"], b"the cat\n", 4, "line 1 is not JSON"),
        (["decode", "-"], b"[1, 2]\n", 4, "has 2 numbers"),
        (["decode", "-"], b"[1, 2\xff]\n", 4, "codes are JSON Lines in UTF-8"),
        (["decode", "nowhere.npy"], b"", 4, "nowhere.npy: no such file"),
        (["decode", "--beam", "3", "--temperature", "2"], b"", 2, "--temperature"),
        (["sample", "--greedy", "--beam", "3"], b"", 2, "--beam"),
        (["sample", "--beam", "3", "--top-p", "0.5"], b"", 2, "--top-p"),
        (["reconstruct", "nowhere.txt"], b"", 2, "nowhere.txt"),
        (["reconstruct", "the cat", "-r", "nothing"], b"", 3, "nothing"),
    ],
)
def test_wrong_use_of_the_streams(seqvae: Seqvae, arguments: list[str], stdin: bytes, code: int, words: str) -> None:
    answer = seqvae(*arguments, stdin=stdin)
    assert answer.code == code
    assert words in answer.err
    assert answer.out == ""


@pytest.mark.parametrize("command", ["encode", "reconstruct", "score"])
def test_standard_input_goes_with_nothing_else(seqvae: Seqvae, command: str) -> None:
    answer = seqvae(command, "-", "the cat")
    assert answer.code == 2
    assert "give - alone" in answer.err


def test_an_unknown_space_shows(seqvae: Seqvae) -> None:
    text = "\n".join(line.replace(" ", "") for line in tiny_text())
    assert seqvae("prepare", "-", "--name", "solid", "--tokenizer", "char", "-q", stdin=text.encode()).code == 0
    assert seqvae("train", "--data", "solid", "--name", "solid", *SMALL, "--epochs", "1", "-q").code == 0
    for command in ("encode", "reconstruct", "score"):
        answer = seqvae(command, "-", "-r", "solid", "--json", stdin=b"the cat\nit\tis\n")
        assert answer.err == "warning: 2 of 12 characters are unknown, read as <unk>: ' ', '\\t'\n"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "about 10 s"), (44, "about 40 s"), (100, "about 2 min"), (3000, "about 50 min"), (9000, "about 2 h")],
)
def test_durations_are_rough(seconds: float, said: str) -> None:
    assert about(seconds) == said
