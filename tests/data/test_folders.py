"""The files of a folder: none is left out unseen, none of a held-out split leads into training."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqvae_cli.data.folders import files_of, skipped
from seqvae_cli.errors import DataError, UsageError


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name}\n")
    return root


@pytest.mark.parametrize(
    ("names", "form", "found"),
    [
        (("README.txt", "data.csv"), None, [("train", "data.csv", None)]),
        (("notes.txt", "data.csv"), "csv", [("train", "data.csv", None)]),
        (("a.txt", "b.txt.gz", "C.TXT"), None, [("train", name, None) for name in ("C.TXT", "a.txt", "b.txt.gz")]),
        (("notes.csv", "pos/1.txt"), "txt", [("train", "pos/1.txt", "pos")]),
        (("train.txt", "test.txt", "LICENSE.txt"), None, [("test", "test.txt", None), ("train", "train.txt", None)]),
        (
            ("yesterday.txt", "help_test.txt"),
            None,
            [("train", name, None) for name in ("help_test.txt", "yesterday.txt")],
        ),
        (("en/train.txt", "en/dev.txt"), None, [("valid", "en/dev.txt", "en"), ("train", "en/train.txt", "en")]),
        (("Train/a/1.txt", "test/2.txt"), None, [("train", "Train/a/1.txt", "a"), ("test", "test/2.txt", None)]),
        (("test/1.txt", "raw/2.txt"), None, [("train", "raw/2.txt", "raw"), ("train", "test/1.txt", "test")]),
    ],
)
def test_each_file_has_its_split_and_its_label(
    tmp_path: Path, names: tuple[str, ...], form: str | None, found: list[tuple[str, str, str | None]]
) -> None:
    root = folder(tmp_path, *names)
    assert [(one.split, str(one.path.relative_to(root)), one.label) for one in files_of(root, form)] == found


@pytest.mark.parametrize(
    ("names", "said", "hint"),
    [
        (
            ("notes.txt", "data.csv"),
            "has .csv and .txt files: data.csv, notes.txt",
            "choose one: --format csv or --format txt",
        ),
        (("notes.txt", "pos/1.csv"), "has .txt and .csv files: notes.txt, pos/1.csv", "--format txt or --format csv"),
        (
            ("imdbEr.txt", "pos/1.txt", "neg/1.txt"),
            "has files of its own (imdbEr.txt) and folders with some (neg/1.txt, pos/1.txt)",
            "move the others away",
        ),
        (
            ("night_train.txt", *(f"{i}.txt" for i in range(9))),
            "has files named as splits (night_train.txt) and others (0.txt, 1.txt, 2.txt and 6 more)",
            "--valid FILE, --test FILE",
        ),
        (
            ("en/train.txt", "en/test.txt", "en/more.txt"),
            "en has files named as splits (test.txt, train.txt)",
            "rename",
        ),
        (
            ("train/a.txt", "test/b.txt", "raw/c.txt"),
            "has folders named as splits (test, train) and others (raw)",
            "move the others away",
        ),
        (("train/a.txt", "val/b.txt", "dev/c.txt"), "the folders dev, val of", "move one of them away"),
    ],
)
def test_what_would_leave_files_out_is_refused(tmp_path: Path, names: tuple[str, ...], said: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        files_of(folder(tmp_path, *names))
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_files_that_are_no_text_by_their_endings_are_named(tmp_path: Path) -> None:
    names = ("b/page.html2", "extra", "README", "LICENSE.md", ".hidden", "x.CSV.gz", "y.csv")
    assert skipped(folder(tmp_path, *names)) == ["extra", "b/page.html2"]


def test_an_unknown_format_is_told_before_the_folder_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown format 'cvs'") as caught:
        files_of(tmp_path / "nowhere", "cvs")
    assert caught.value.hint == "did you mean 'csv'?"
    with pytest.raises(DataError, match=r"has no \.csv files"):
        files_of(folder(tmp_path, "README.csv"), "csv")
