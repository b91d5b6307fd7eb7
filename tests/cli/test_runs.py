"""`seqvae runs` as a user types it, on a tiny trained run."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli import api
from seqvae_cli.cli import options
from seqvae_cli.cli.commands.runs import trash
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import NAME_RULE, Run
from seqvae_cli.system import files, places
from tests.conftest import SMALL, Answer, Seqvae
from tests.runs.folders import holder

pytestmark = pytest.mark.usefixtures("trained_home")


def copy(name: str, **info: Any) -> Run:
    """A run beside `tiny-run`, created after it."""
    run = registry.find("tiny-run")
    shutil.copytree(run.path, run.path.parent / name)
    new = Run(run.path.parent / name)
    new.update(created=max(other.info["created"] for other in registry.runs()[0]) + 1, **info)
    return new


def ok(answer: Answer) -> Answer:
    assert answer.code == 0, answer.err
    return answer


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["best", "--by", "iwppl"], 2, "did you mean 'iw_ppl'"),
        (["best", "--by", "iw_ppl"], 3, "seqvae eval tiny-run"),
        (["best", "--data", "tinny"], 3, "did you mean 'tiny'"),
        (["best", "--split", "dev"], 2, "known: train, valid, test"),
        (["compare", "tiny-run", "nothing"], 3, "nothing"),
        (["compare", "../x"], 2, NAME_RULE),
        (["tag", "tiny-run", "Two Words"], 2, NAME_RULE),
        (["tag", "tiny-run", "\x1b[31m"], 2, "'\\x1b[31m'"),
        (["tag", "tiny-run", "good", "../x"], 2, NAME_RULE),
        (["tag", "tiny-run", "paper", "--remove"], 2, "no tag 'paper'"),
        (["tag", "nothing", "paper"], 3, "nothing"),
        (["list", "--tag", "../x"], 2, NAME_RULE),
        (["rm", "tiny"], 3, "write it in full: tiny-run"),
        (["rm", "latest"], 2, "in full"),
        (["rm", "../runs/tiny-run"], 2, NAME_RULE),
        (["rm", "tiny-run/"], 2, NAME_RULE),
        (["rm", "tiny-run", "nothing"], 3, "nothing"),
        (["restore", "tiny-run"], 3, "trash"),
        (["restore", "../x"], 2, NAME_RULE),
        (["export", "nothing", "x.tar.gz"], 3, "nothing"),
        (["export", "tiny-run", "nowhere/x.tar.gz"], 2, "existing folder"),
        (["export", "tiny-run", "-", "--json"], 2, "--json"),
        (["import", "nowhere.tar.gz"], 4, "nowhere.tar.gz"),
        (["import", "-"], 4, "not a complete run archive"),
        (["doctor", "nothing"], 3, "nothing"),
        (["doctor", "../x"], 2, NAME_RULE),
    ],
)
def test_bad_input_gets_one_clear_line_its_exit_code_and_changes_nothing(
    seqvae: Seqvae, arguments: list[str], code: int, words: str
) -> None:
    before = contents()
    answer = seqvae("runs", *arguments)
    assert answer.code == code, answer.err
    assert answer.out == ""
    assert words in answer.err
    assert answer.err.startswith("error: ")
    assert len(answer.err.splitlines()) <= 2
    assert "\x1b" not in answer.err
    assert contents() == before


def contents() -> dict[Path, bytes]:
    """All files among the runs but the locks."""
    return {path: path.read_bytes() for path in places.runs().rglob("*") if path.is_file() and path.suffix != ".lock"}


# Evaluations that are kept


def stored() -> list[Path]:
    return sorted((registry.find("tiny-run").path / "evaluations").iterdir())


def test_an_evaluation_is_kept_in_a_file_of_its_own_and_again_in_the_same(seqvae: Seqvae) -> None:
    answer = ok(seqvae("eval", "--samples", "2", "--json"))
    (path,) = stored()
    kept = json.loads(path.read_text())
    assert kept.items() >= json.loads(answer.out).items()
    ok(seqvae("eval", "--samples", "2", "-q"))
    assert stored() == [path]
    ok(seqvae("eval", "--samples", "3", "-q"))
    ok(seqvae("eval", "--samples", "2", "--split", "valid", "-q"))
    assert len(stored()) == 3
    assert ok(seqvae("runs", "doctor")).out == ""


def test_where_a_run_folder_takes_nothing_the_result_is_shown_with_one_warning(seqvae: Seqvae) -> None:
    whole = ok(seqvae("eval", "--samples", "2", "--json")).out
    folder = registry.find("tiny-run").path / "evaluations"
    shutil.rmtree(folder)
    folder.write_text("a file in its place")
    answer = ok(seqvae("eval", "--samples", "2", "--json"))
    assert answer.out == whole
    assert answer.err.count("warning: ") == 1
    assert "not stored" in answer.err


def test_an_evaluation_of_a_run_that_was_removed_meanwhile_does_not_bring_it_back(
    seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqvae_cli.evaluation import metrics
    from seqvae_cli.runs import trash

    bleu = metrics.bleu

    def removing(*arguments: Any) -> float:
        trash.discard(trash.removable("tiny-run"))
        return bleu(*arguments)

    monkeypatch.setattr(metrics, "bleu", removing)
    answer = ok(seqvae("eval", "--samples", "2"))
    assert "-ELBO" in answer.out
    assert answer.err.count("warning: ") == 1
    assert not list(places.runs().iterdir())


# list, show, tag


def test_tags_are_listed_shown_filtered_and_removed(seqvae: Seqvae) -> None:
    copy("other")
    assert "tags" not in ok(seqvae("runs", "list")).lines[0]
    assert ok(seqvae("runs", "tag", "tiny", "paper", "a.b", "paper")).lines == ["a.b", "paper"]
    header, first, second = ok(seqvae("runs", "list")).lines
    assert "tags" in header.split()
    assert "a.b, paper" in first
    assert second.startswith("other")
    rows = [json.loads(line) for line in ok(seqvae("runs", "list", "--json")).lines]
    assert [(row["run"], row["tags"]) for row in rows] == [("tiny-run", ["a.b", "paper"]), ("other", [])]
    assert [json.loads(line)["run"] for line in ok(seqvae("runs", "list", "--tag", "a.b", "--json")).lines] == [
        "tiny-run"
    ]
    assert "a.b, paper" in ok(seqvae("runs", "show", "tiny-run")).out
    assert json.loads(ok(seqvae("runs", "show", "tiny-run", "--json")).out)["tags"] == ["a.b", "paper"]
    answer = ok(seqvae("runs", "tag", "tiny-run", "paper", "--remove", "--json"))
    assert json.loads(answer.out) == {"run": "tiny-run", "tags": ["a.b"]}
    answer = ok(seqvae("runs", "list", "--tag", "paper"))
    assert answer.out == ""
    assert "no run is tagged paper" in answer.err


def test_damaged_tags_hide_no_run_and_the_way_out_is_shown(seqvae: Seqvae) -> None:
    (registry.find("tiny-run").path / "tags.json").write_text('["\\u001b[31m"]')
    answer = ok(seqvae("runs", "list"))
    assert "tiny-run" in answer.out
    assert answer.err.count("warning: ") == 1
    assert "\x1b" not in answer.out + answer.err
    answer = seqvae("runs", "tag", "tiny-run", "x")
    assert answer.code == 4
    assert "delete it" in answer.err


# compare and best


def test_compare_shows_what_differs_beside_what_came_of_it(seqvae: Seqvae) -> None:
    arguments = ["--epochs", "1", "--lr", "0.0125", "--name", "second", "-q"]
    ok(seqvae("train", *SMALL, *arguments))
    ok(seqvae("eval", "tiny-run", "--samples", "2", "-q"))
    answer = ok(seqvae("runs", "compare"))
    assert [line.split() for line in answer.lines[:3]] == [
        ["run", "tiny-run", "second"],
        ["train.epochs", "2", "1"],
        ["train.lr", "0.002", "0.0125"],
    ]
    assert "model.latent_size" not in answer.out
    assert "test IW PPL" in answer.out
    assert "valid IW PPL" not in answer.out
    for i in range(4):
        copy(f"copy-{i}")
    header, first, *_ = ok(seqvae("runs", "compare")).lines  # many: a row each
    assert header.split()[:3] == ["run", "train.epochs", "train.lr"]
    assert first.split()[:3] == ["tiny-run", "2", "0.002"]
    compared = json.loads(ok(seqvae("runs", "compare", "second", "tiny", "second", "--json")).out)
    assert compared["settings"] == ["train.epochs", "train.lr"]
    assert [row["run"] for row in compared["runs"]] == ["second", "tiny-run"]
    second_run, tiny_run = compared["runs"]
    assert second_run["evaluations"] == {}
    assert tiny_run["evaluations"]["test"]["iw_samples"] == 2
    assert tiny_run["neg_elbo"] == registry.find("tiny-run").info["best_neg_elbo"]
    assert tiny_run["best_epoch"] in (1, 2)
    assert tiny_run["seconds"] > 0


def test_compare_warns_of_bounds_of_different_k(seqvae: Seqvae) -> None:
    copy("other")
    for name, samples in (("tiny-run", "2"), ("other", "3")):
        ok(seqvae("eval", name, "--samples", samples, "-q"))
    assert "different K (2, 3)" in ok(seqvae("runs", "compare", "other", "tiny-run")).err
    assert "different K" not in ok(seqvae("runs", "compare", "tiny-run")).err


def test_compare_warns_of_other_corpora_and_leaves_damaged_runs_out_unless_named(seqvae: Seqvae) -> None:
    copy("foreign", corpus={"name": "d", "folder": "d-0", "hash": "1" * 64})
    assert "different corpora" in ok(seqvae("runs", "compare", "tiny-run", "foreign")).err
    hurt = copy("hurt")
    (hurt.path / "config.yaml").write_text("seed: 7\n")
    answer = ok(seqvae("runs", "compare"))
    assert answer.lines[0].split() == ["run", "tiny-run"]
    assert "hurt" in answer.err
    assert "runs doctor" in answer.err
    assert seqvae("runs", "compare", "hurt").code == 4


def test_best_prints_a_name_that_eval_takes(seqvae: Seqvae) -> None:
    copy("worse", best_neg_elbo=1000.0)
    assert ok(seqvae("runs", "best")).lines == ["tiny-run"]
    ok(seqvae("eval", "worse", "--samples", "2", "-q"))
    answer = ok(seqvae("runs", "best", "--by", "iw_ppl", "--data", "tiny"))
    assert answer.lines == ["worse"]
    assert "without this figure: tiny-run" in answer.err
    ok(seqvae("eval", answer.lines[0], "--samples", "3", "-q"))
    best = json.loads(ok(seqvae("runs", "best", "--by", "bleu", "--json")).out)
    assert best["run"] == "worse"
    assert best["split"] == "test"
    ok(seqvae("eval", "tiny-run", "--samples", "2", "-q"))
    assert "different K (2, 3)" in ok(seqvae("runs", "best", "--by", "iw_nll")).err


# rm and restore


def test_rm_says_what_it_moves_and_restore_brings_it_back(seqvae: Seqvae) -> None:
    run = copy("other")
    dry = ok(seqvae("runs", "rm", "other", "--dry-run"))
    assert run.path.is_dir()
    assert "nothing was moved" in dry.err
    answer = ok(seqvae("runs", "rm", "other"))
    assert answer.out == dry.out
    assert answer.lines[1].split()[0] == "other"
    assert answer.lines[1].split()[2] in ("kB", "MB")
    assert "seqvae runs restore other" in answer.err
    assert registry.names() == ["tiny-run"]
    assert "other" in ok(seqvae("runs", "list", "--trash")).out
    (row,) = [json.loads(line) for line in ok(seqvae("runs", "list", "--trash", "--json")).lines]
    assert row["run"] == "other"
    assert row["bytes"] > 1000
    copy("other")
    again = seqvae("runs", "restore", "other")
    assert again.code == 2
    assert "seqvae runs rm other" in again.err
    assert json.loads(ok(seqvae("runs", "rm", "other", "--json")).out)["runs"][0]["run"] == "other"
    assert ok(seqvae("runs", "restore", "other")).lines == ["other"]
    assert ok(seqvae("runs", "doctor")).code == 0


def test_all_names_are_checked_before_the_first_run_is_moved(seqvae: Seqvae) -> None:
    run = copy("other")
    with holder(run):
        answer = seqvae("runs", "rm", "tiny-run", "other")
    assert answer.code == 5
    assert "being trained by process" in answer.err
    assert answer.out == ""
    assert registry.names() == ["other", "tiny-run"]


def test_the_trash_can_be_filtered_by_tag(seqvae: Seqvae) -> None:
    copy("other").tag(["old"])
    copy("third")
    ok(seqvae("runs", "rm", "other", "third", "-q"))
    assert [line.split()[0] for line in ok(seqvae("runs", "list", "--trash", "--tag", "old")).lines] == ["run", "other"]
    assert "nothing in the trash is tagged new" in ok(seqvae("runs", "list", "--trash", "--tag", "new")).err


def test_completion_offers_only_what_can_be_meant(seqvae: Seqvae) -> None:
    copy("other")
    assert options.complete_run_name("") == ["other", "tiny-run"]
    ok(seqvae("runs", "rm", "other"))
    assert options.complete_run_name("l") == []
    assert trash._complete_trashed("o") == ["other"]
    assert trash._complete_trashed("t") == []


# export and import


def test_a_run_goes_through_a_file_and_through_a_pipe(
    seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok(seqvae("runs", "tag", "tiny-run", "paper"))
    file = tmp_path / "run.tar.gz"
    answer = ok(seqvae("runs", "export", "tiny-run", str(file)))
    assert answer.lines == [str(file)]
    again = seqvae("runs", "export", "tiny-run", str(file))
    assert again.code == 2
    assert "exists already" in again.err
    taken = seqvae("runs", "import", str(file))
    assert taken.code == 2
    assert "--name" in taken.err
    monkeypatch.setenv("SEQVAE_HOME", str(tmp_path / "elsewhere"))
    assert ok(seqvae("runs", "import", str(file))).lines == ["tiny-run"]
    found = json.loads(ok(seqvae("runs", "import", "-", "--name", "piped", "--json", stdin=file.read_bytes())).out)
    assert found["run"] == "piped"
    assert ok(seqvae("runs", "doctor")).out == ""
    assert registry.find("piped").tags() == ["paper"]
    assert len(ok(seqvae("sample", "piped", "-n", "3")).lines) == 3
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw := io.BytesIO()))
    from seqvae_cli.cli import boundary

    assert boundary.main(["runs", "export", "tiny-run", "-"]) == 0
    assert raw.getvalue() == file.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "home", "run.tar.gz"]


def test_what_cannot_be_packed_or_unpacked_leaves_no_file(seqvae: Seqvae, tmp_path: Path) -> None:
    file = tmp_path / "run.tar.gz"
    run = registry.find("tiny-run")
    with holder(run):
        assert seqvae("runs", "export", "tiny-run", str(file)).code == 5
    run.update(status="finished")
    ok(seqvae("runs", "export", "tiny-run", str(file)))
    data = file.read_bytes()
    file.write_bytes(data[:-100])
    answer = seqvae("runs", "import", str(file), "--name", "x")
    assert answer.code == 4
    assert len(answer.err.splitlines()) <= 2
    assert [path.name for path in places.runs().iterdir()] == ["tiny-run"]
    (weights, *_) = run.path.glob("best/*/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    other = tmp_path / "other.tar.gz"
    assert seqvae("runs", "export", "tiny-run", str(other)).code == 4
    assert not other.exists()


# doctor


def test_the_doctor_names_the_damage_and_its_exit_code_is_that_of_bad_data(seqvae: Seqvae) -> None:
    well = ok(seqvae("runs", "doctor", "--json"))
    assert json.loads(well.out) == {"runs": 1, "damaged": [], "findings": []}
    hurt = copy("hurt")
    (hurt.path / "run.json").write_text("{")
    stale = copy("stale", status="running")
    (stale.path / f"{files.TEMPORARY}x").write_text("")
    answer = seqvae("runs", "doctor")
    assert answer.code == 4
    assert [line.split()[:2] for line in answer.lines[1:]] == [
        ["hurt", "damaged"],
        ["stale", "stale"],
        ["stale", "leftover"],
    ]
    report = json.loads(seqvae("runs", "doctor", "--json").out)
    assert report["damaged"] == ["hurt"]
    assert {finding["kind"] for finding in report["findings"]} == {"damaged", "stale", "leftover"}
    assert seqvae("runs", "doctor", "hurt").code == 4
    assert ok(seqvae("runs", "doctor", "stale", "latest")).code == 0


def test_without_any_run_every_command_answers(seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEQVAE_HOME", str(tmp_path / "empty"))
    for command in (["compare"], ["best"], ["tag", "latest", "x"], ["export", "latest", "x.tar.gz"]):
        answer = seqvae("runs", *command)
        assert answer.code == 3
        assert "seqvae train" in answer.err
    assert ok(seqvae("runs", "doctor")).out == ""
    assert ok(seqvae("runs", "list", "--trash")).out == ""
    assert not (tmp_path / "empty").exists()


def test_a_read_only_run_folder_still_gets_its_figures(seqvae: Seqvae) -> None:
    if os.name != "posix" or os.geteuid() == 0:
        pytest.skip("the permissions of an ordinary user are needed")
    run = registry.find("tiny-run")
    run.path.chmod(0o500)
    try:
        answer = ok(seqvae("eval", "--samples", "2"))
    finally:
        run.path.chmod(0o700)
    assert "-ELBO" in answer.out
    assert "not stored" in answer.err


TAGGING = """
import sys
from seqvae_cli.cli import boundary
sys.exit(boundary.main(["runs", "tag", "tiny-run", *sys.argv[1:], "-q"]))
"""


def test_tags_set_at_once_and_beside_a_training_are_all_kept() -> None:
    run = registry.find("tiny-run")
    processes = [
        subprocess.Popen([sys.executable, "-c", TAGGING, f"tag-{i}"], stdout=subprocess.DEVNULL) for i in range(4)
    ]
    epochs = 0
    while any(process.poll() is None for process in processes):
        epochs = epochs % 100 + 1
        run.update(epoch=epochs)  # as a training does, from what it remembers
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    run.update(epoch=epochs)
    again = registry.find("tiny-run")
    assert again.tags() == [f"tag-{i}" for i in range(4)]
    assert again.info["epoch"] == epochs


@pytest.mark.parametrize("number", ["1e999", "NaN"])
def test_a_number_that_json_cannot_hold_hides_no_other_run(seqvae: Seqvae, number: str) -> None:
    path = copy("odd").path / "run.json"
    path.write_text(path.read_text().replace('"seconds": ', f'"seconds": {number}, "more": '))
    answer = ok(seqvae("runs", "list", "--json"))
    assert [json.loads(line)["run"] for line in answer.lines] == ["tiny-run"]
    assert "odd" in answer.err
    assert seqvae("runs", "doctor").code == 4


def test_figures_of_other_weights_never_count(seqvae: Seqvae) -> None:
    """Also where the epochs are lost, which say what step the best weights have."""
    ok(seqvae("eval", "tiny-run", "--samples", "2"))
    ok(seqvae("runs", "best", "--by", "iw_ppl"))
    (registry.find("tiny-run").path / "metrics.jsonl").unlink()
    assert seqvae("runs", "best", "--by", "iw_ppl").code == 3


def test_an_archive_that_came_meanwhile_is_not_replaced(
    seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "run.tar.gz"
    link = os.link

    def late(source: Any, target: Any) -> None:
        archive.write_text("another's")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    answer = seqvae("runs", "export", "tiny-run", str(archive))
    assert answer.code == 5
    assert "run.tar.gz" in answer.err
    assert archive.read_text() == "another's"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["run.tar.gz"]


def test_only_folders_and_links_count_as_trash(seqvae: Seqvae) -> None:
    places.home().joinpath("trash").mkdir()
    (places.home() / "trash" / "odd~5").write_text("a file")
    assert seqvae("runs", "restore", "odd").code == 3


def test_weights_that_are_no_numbers_are_refused(seqvae: Seqvae) -> None:
    import torch

    from seqvae_cli.runs import checkpoint

    run = registry.find("tiny-run")
    model = api.load("tiny-run").network
    with torch.no_grad():
        model.decoder.vocabulary.bias[5] = torch.nan
    for folder in ("best", "last"):
        checkpoint.write(run.path / folder, 99, {"model": model.state_dict()})
    answer = seqvae("sample", "tiny-run")
    assert answer.code == 4
    assert "not finite" in answer.err
