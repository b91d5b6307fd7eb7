"""Documents, paragraphs and wrapped lines -> sentences."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from seqvae_cli.data import languages, segments
from seqvae_cli.data.readers import Reading
from seqvae_cli.data.records import Columns
from seqvae_cli.data.segments import look, sentences
from seqvae_cli.errors import MachineError, UsageError
from tests.conftest import Seqvae, tiny_text
from tests.data.corpora import prepared
from tests.data.corpora import sentences as all_sentences

GERMAN = [f"Der Bürgermeister der Stadt {name} ist heute nicht im Büro." for name in ("Ulm", "Köln", "Bonn", "Jena")]
ENGLISH = [f"The house near Dr. {name} was sold, and nobody in the town knew why." for name in ("Ba", "Ce", "Di", "Fo")]
PARAGRAPHS = [" ".join([*ENGLISH[: 2 + i % 3], f"It is the end of part {i}."]) for i in range(40)]
EXPECTED = [sentence for i in range(40) for sentence in [*ENGLISH[: 2 + i % 3], f"It is the end of part {i}."]]

LAYOUTS = {
    "a paragraph a line": "\n".join(PARAGRAPHS),
    "wrapped": "\n\n".join(textwrap.fill(paragraph, 70) for paragraph in PARAGRAPHS),
    "wrapped, indented": "\n".join(textwrap.fill(paragraph, 70, initial_indent="   ") for paragraph in PARAGRAPHS),
    "a sentence a line, blank lines between": "\n\n".join(
        "\n".join(p.replace(". It", ".\nIt").split("\n")) for p in PARAGRAPHS
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_same_sentences(layout: str) -> None:
    lines = LAYOUTS[layout].split("\n")
    found = look(lines)
    assert found.language == "en"
    assert list(sentences(lines, "en", found.wrapped)) == EXPECTED


@pytest.mark.parametrize(
    ("lines", "documents"),
    [
        (LAYOUTS["wrapped"].split("\n"), True),
        (PARAGRAPHS, True),
        (["今天天气好。明天下雨吗？是。我不去。"] * 3, True),
        (ENGLISH, False),
        (tiny_text(), False),
        (["Anna", "Bertha"], False),
        ([f"{paragraph}\tpositive" for paragraph in PARAGRAPHS], False),
        ([""] * 9, False),
        ([], False),
    ],
)
def test_the_beginning_tells_documents_from_sentences(lines: list[str], documents: bool) -> None:
    assert look(lines).documents is documents


def test_only_the_beginning_is_looked_at() -> None:
    def endless() -> object:
        while True:
            yield "a sentence"

    assert not look(endless()).documents  # type: ignore[arg-type]
    assert look("x" * 10_000 for _ in iter(int, 1)) == segments.Layout(False, False, "en")


def test_lines_of_chinese_are_joined_without_a_space() -> None:
    lines = ["  今天天气很好，我们去", "公园。明天下雨，", "", "The end of", "the day."]
    found = ["今天天气很好，我们去公园。", "明天下雨，", "The end of the day."]
    assert list(sentences(lines, "zh", wrapped=True)) == found


def test_a_text_without_blank_lines_is_joined_in_parts() -> None:
    lines = (f"word{i} " * 100_000 for i in range(9))
    assert max(map(len, sentences(lines, "en", wrapped=True))) < 3 * segments.MAX_LINE


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (" ".join(GERMAN), "de"),
        (" ".join(ENGLISH), "en"),
        ("Le maire de la ville ne vient pas, et les enfants jouent dans la rue.", "fr"),
        ("El alcalde de la ciudad no viene, y los niños juegan en la calle.", "es"),
        ("De burgemeester van de stad komt niet, en het is een mooie dag.", "nl"),
        ("今日は天気がいいです。", "ja"),
        ("今天天气好。", "zh"),
        ("Это первое предложение.", "ru"),
        ("Її діти пішли до лісу, і він теж.", "uk"),
        ("오늘은 날씨가 좋습니다.", "ko"),
        ("वह घर जाता है।", "hi"),
        ("Xyzzy plugh 42", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_guessed(text: str, language: str) -> None:
    assert languages.guess(text) == language


@pytest.mark.parametrize("options", [{}, {"dedupe": True}, {"tokenizer": "char"}])
def test_documents_give_the_corpus_of_their_sentences(tmp_path: Path, options: dict[str, object]) -> None:
    documents, lines = tmp_path / "documents.txt", tmp_path / "lines.txt"
    documents.write_text(LAYOUTS["wrapped"])
    lines.write_text("\n".join(EXPECTED))
    split = prepared(documents, sentences="document", **options).corpus
    assert split.hash == prepared(lines, **options).corpus.hash
    assert (split.info["recipe"]["sentences"], split.info["recipe"]["language"]) == ("document", "en")
    assert prepared(documents, sentences="auto", language="en", **options).corpus.path == split.path
    assert not {"wrapped", "paragraphs"} & {finding.kind for finding in split.findings}


def test_sentences_a_line_stay_the_corpus_they_are(text: Path) -> None:
    plain = prepared(text)
    assert "sentences" not in plain.corpus.info["recipe"]
    for mode in ("line", "auto"):
        assert prepared(text, sentences=mode).corpus.path == plain.corpus.path


def test_a_row_of_a_table_is_a_document_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,mood\nI love it,b\ngreat phone,b\n,b\nworks fine. It is good.,b\n")
    expected = ["I love it", "great phone", "works fine.", "It is good."]
    for reading in (Reading(), Reading(columns=Columns("text", ("mood",)))):
        options = {"valid_fraction": 0.0, "test_fraction": 0.0, "reading": reading}
        corpus = prepared(path, sentences="document", language="en", **options).corpus
        assert all_sentences(corpus) == expected
    wrapped = LAYOUTS["wrapped"].split("\n")
    assert look(wrapped).documents
    assert look(wrapped, table=True) == segments.Layout(False, False, "en")
    assert look(PARAGRAPHS, table=True).documents


def test_a_document_ends_with_its_file(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text(f"CHAPTER {i}\n\nIt was late, and the rain\nfell on the town of\nUlm\n")
    options = {"sentences": "document", "language": "en", "valid_fraction": 0.0, "test_fraction": 0.0}
    found = all_sentences(prepared(tmp_path, **options).corpus)
    assert found == [
        text for i in range(3) for text in (f"CHAPTER {i}", "It was late, and the rain fell on the town of Ulm")
    ]


@pytest.mark.parametrize(
    "options",
    [{"sentences": "word"}, {"sentences": 200}, {"language": "de"}, {"sentences": "document", "language": "German!"}],
)
def test_invalid_modes_and_languages_are_refused(text: Path, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        prepared(text, **options)


def test_without_sentencex_the_way_to_it_is_shown(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencex", None)
    with pytest.raises(MachineError) as caught:
        prepared(text, sentences="document")
    assert caught.value.hint == 'pip install "seqvae[sentences]"'
    assert prepared(text).fresh


def test_the_command_says_what_it_decided(seqvae: Seqvae) -> None:
    text = LAYOUTS["wrapped"].encode()
    assert "hint: --sentences document joins and splits them\n" in seqvae("prepare", "-", stdin=text).err
    guessed = seqvae("prepare", "-", "--sentences", "auto", stdin=text)
    assert guessed.err.startswith("sentences: document (--sentences says otherwise)\nlanguage: en (guessed; ")
    given = seqvae("prepare", "-", "--sentences", "document", "--language", "de", stdin=text)
    assert "guessed" not in given.err
    assert "sentences:" not in given.err
    lines = seqvae("prepare", "-", "--sentences", "auto", stdin="\n".join(tiny_text()).encode())
    assert lines.err.startswith("sentences: line (--sentences says otherwise)\n")
    for wrong in (["toy", "--sentences", "document"], ["-", "--sentences", "9"], ["-", "--language", "de"]):
        answer = seqvae("prepare", *wrong)
        assert answer.code == 2
        assert "hint: " in answer.err
