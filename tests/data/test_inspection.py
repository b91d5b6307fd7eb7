"""What `prepare` finds odd about a corpus, and the ordinary corpora in which it finds nothing."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from seqvae_cli import prepare_corpus
from seqvae_cli.data import inspection
from seqvae_cli.data.inspection import Inspector
from seqvae_cli.data.readers import Reading
from seqvae_cli.data.repeats import fingerprint
from seqvae_cli.data.segments import ends_inside
from seqvae_cli.data.toy.build import prepare_toy
from seqvae_cli.system import json_files
from tests.conftest import tiny_text
from tests.data.corpora import prepared, whole

PTB = Path(os.environ.get("SEQVAE_PTB") or Path(__file__).parents[3] / "shared" / "data" / "ptb")
OWN = PTB.parent / "own"

SENTENCES = [f"The {noun} in {place} was sold, and nobody knew why." for noun in ("house", "car") for place in "ABCDE"]
PARAGRAPH = " ".join(SENTENCES)
WRAPPED = [PARAGRAPH[start : start + 71] for start in range(0, 60 * (len(PARAGRAPH) // 60), 60)]
JAPANESE = ["今日は天気がとてもいいです。", "彼女は図書館で本を読んでいます。", "東京はとても大きな都市です。"]
THAI = ["วันนี้อากาศดีมาก พรุ่งนี้ฝนจะตก", "เขาไปทำงานที่กรุงเทพทุกวัน"]
SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "[Na+].[Cl-]", "[2H]C([2H])[2H]", "[nH]1cccc1"]
HEADLINES = [f"Mayor {i} Opens a New Bridge in the Old Part of the Harbour Town {i}" for i in range(20)]


def kinds(lines: list[str], tokenizer: str = "word") -> list[str]:
    inspector = Inspector(tokenizer)
    for line in lines:
        inspector.add("train", line, line)
    return [finding.kind for finding in inspector.findings(lambda _, index: lines[index])]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["id,text,label", *(f'{i},"It is, well, good",pos' for i in range(9))], "table"),
        ([f"It is good {i}\tpositive" for i in range(9)], "table"),
        ([f"| It is good {i} | positive |" for i in range(9)], "table"),
        ([f"It is good {i};positive" for i in range(9)], "table"),
        ([f"It is good {i}     positive      {i}" for i in range(9)], "table"),
        ([json.dumps({"id": i, "text": "It is good"}) for i in range(9)], "json"),
        (json.dumps([{"id": i, "text": "It is good"} for i in range(9)], indent=2).splitlines(), "json"),
        ([PARAGRAPH, PARAGRAPH + " More."], "paragraphs"),
        (["今天天气好。明天下雨吗？是。我不去。", "我不去。他去。她也去！为什么？"], "paragraphs"),
        (["the dog barks . the cat runs ! the bird sings . it rains ."], "paragraphs"),
        (WRAPPED, "wrapped"),
        (JAPANESE, "unspaced"),
        (THAI, "unspaced"),
        (SMILES, "unspaced"),
        (["Anna", "Bertha", "Clara"], "unspaced"),
    ],
)
def test_lines_that_are_not_sentences_are_found(lines: list[str], expected: str) -> None:
    assert expected in kinds(lines)


@pytest.mark.parametrize(
    ("lines", "tokenizer"),
    [
        (SENTENCES, "word"),
        (tiny_text(), "word"),
        ([f"Der Bürgermeister trinkt gerne Tee, und lacht {i} mal." for i in range(9)], "word"),
        ([f"Mr. A. B. Smith of the U.S. met Dr. J. Cole at St. Paul's on Jan. {i}." for i in range(9)], "word"),
        ([f"It is {i}. Really? I think so." for i in range(9)], "word"),
        ([f'"Yes {i}," he said, "and no."' for i in range(9)], "word"),
        ([f"It cost 1,{i}00 dollars" for i in range(1, 4)] + ["It was free"] * 2, "word"),
        (HEADLINES, "word"),
        ([f"学生 今天 去 北京 {i} 。" for i in range(9)], "whitespace"),
        (JAPANESE, "char"),
        (SMILES, "char"),
        (["Yes.", "No!", *SENTENCES], "word"),
    ],
)
def test_ordinary_sentences_draw_no_finding(lines: list[str], tokenizer: str) -> None:
    lines = list(dict.fromkeys(lines))
    assert kinds(lines, tokenizer) == []


def test_repeated_and_leaked_sentences_are_counted_over_the_splits() -> None:
    inspector = Inspector("word")
    rows = {"train": ["a b", "c d", "A  B", "e f"], "valid": ["c d", "x y"], "test": ["a b ", "z z"]}
    for split, texts in rows.items():
        for text in texts:
            inspector.add(split, text, text.lower())
    found = {finding.kind: finding for finding in inspector.findings(lambda split, index: rows[split][index])}
    assert (found["repeated"].count, found["repeated"].of, found["repeated"].example) == (3, 8, "a b")
    assert (found["leaked"].count, found["leaked"].of, found["leaked"].example) == (2, 4, "c d")
    assert found["leaked"].share == 0.5


def test_a_fingerprint_is_that_of_the_words_in_their_order() -> None:
    assert fingerprint(" a \t b\u3000c\n") == fingerprint("a b c")
    assert len({fingerprint(text) for text in ("a b", "b a", "ab", "A b", "a b c", "")}) == 6


@pytest.mark.parametrize("text", ["a" * 10**6, "." * 10**6, "a. " * 10**5, "Ab. (" * 10**5, '"' * 10**6, "日" * 10**6])
def test_a_line_of_a_megabyte_is_looked_at_in_part(text: str) -> None:
    assert ends_inside(text) <= 2_048
    kinds([text] * 3)


def test_rare_and_unknown_words_follow_from_the_counts(tmp_path: Path) -> None:
    rare = whole(tmp_path / "rare.txt", "\n".join(f"the word w{i} and" for i in range(50)).encode())
    assert [(finding.kind, finding.count, finding.of) for finding in rare.findings] == [("rare", 50, 200)]
    text = tmp_path / "cut.txt"
    text.write_text("\n".join(f"the word w{i} and" for i in range(50)))
    cut = prepared(text, valid_fraction=0.1, test_fraction=0.1).corpus
    assert [(finding.kind, finding.count, finding.of) for finding in cut.findings] == [("unknown", 10, 40)]
    assert "--lower" in cut.findings[0].advice
    assert prepared(text, tokenizer="char").corpus.findings == []


def test_findings_are_stored_beside_the_hash_and_come_back(tmp_path: Path) -> None:
    data = "\n".join(["the same sentence"] * 30 + ["another one"] * 10).encode()
    corpus = whole(tmp_path / "t.txt", data)
    (found,) = corpus.findings
    assert (found.kind, found.count, found.of, found.example) == ("repeated", 38, 40, "the same sentence")
    path = corpus.path / "corpus.json"
    older = {key: value for key, value in corpus.info.items() if key not in ("findings", "once")}
    json_files.write(path, older, sealed=True)
    again = prepared(tmp_path / "t.txt", valid_fraction=0.0, test_fraction=0.0)
    assert not again.fresh
    assert again.corpus.hash == corpus.hash
    assert again.corpus.findings == []


@pytest.mark.parametrize("stored", [3, [3], [{"kind": "repeated"}], [{"kind": "repeated", "count": "x", "of": 1}]])
def test_findings_that_are_none_make_a_damaged_corpus(tmp_path: Path, stored: object) -> None:
    corpus = whole(tmp_path / "t.txt", b"a b\n" * 5)
    json_files.write(corpus.path / "corpus.json", corpus.info | {"findings": stored}, sealed=True)
    assert prepared(tmp_path / "t.txt", valid_fraction=0.0, test_fraction=0.0).fresh


def test_findings_of_a_newer_version_are_left_out() -> None:
    entry = {"kind": "of the future", "count": 1, "of": 1, "example": ""}
    lengths = {"max": 3, "p90": 3}
    info = {"splits": {"train": {"lengths": lengths, "words": 9}}, "recipe": {"tokenizer": "char", "lower": False}}
    assert inspection.findings(info | {"findings": [entry]}) == []


@pytest.mark.usefixtures("small_toy")
def test_toy_has_no_findings() -> None:
    assert prepare_toy(sentences=1000).corpus.findings == []


@pytest.mark.skipif(not (OWN / "reviews.csv").is_file(), reason="no texts beside PTB; set SEQVAE_PTB")
def test_files_of_our_own_have_the_findings_they_deserve(tmp_path: Path) -> None:
    reviews = tmp_path / "reviews.txt"
    with open(OWN / "reviews.csv", newline="") as file:
        reviews.write_text("\n".join(row["review_text"] for row in csv.DictReader(file)))
    assert prepared(reviews, tokenizer="word").corpus.findings == []

    def found(name: str, tokenizer: str) -> list[str]:
        made = prepared(OWN / name, tokenizer=tokenizer, reading=Reading("txt"))  # tables, taken as lines
        return [finding.kind for finding in made.corpus.findings]

    assert found("german.txt", "word") == ["repeated", "leaked"]
    assert found("chinese.txt", "char") == ["repeated", "leaked"]
    assert found("chinese.txt", "word") == ["unspaced", "repeated", "leaked"]
    assert found("reviews.csv", "word") == ["table"]
    assert found("reviews.jsonl", "word") == ["json"]


def test_every_kind_of_finding_names_a_flag_and_fits_a_line() -> None:
    for kind in inspection.KINDS:
        finding = inspection.Finding(kind, 10**7, 10**7)
        advice = inspection._advice(kind, {"lower": False, "min_count": 2})
        assert "--" in advice
        assert len(f"warning: {finding.text}") <= 80, finding.text
        assert len(f"hint: {advice}") <= 80, advice


def test_what_was_done_already_is_not_advised() -> None:
    counts = {"words": 100, "unknown": 50, "lengths": {"max": 3, "p90": 3}}
    stored = [
        {"kind": kind, "count": 9, "of": 9, "example": ""} for kind in ("paragraphs", "wrapped", "repeated", "leaked")
    ]
    info = {"splits": {"train": counts, "valid": counts}, "findings": stored}
    plain = {"tokenizer": "word", "lower": False, "min_count": 1}
    told = inspection.findings(info | {"recipe": plain})
    assert [finding.kind for finding in told] == ["wrapped", "paragraphs", "unknown", "repeated", "leaked"]
    assert told[2].advice == "--lower, subwords: --tokenizer bpe"
    done = plain | {"lower": True, "min_count": 2, "sentences": "document", "dedupe": True}
    (told_again,) = inspection.findings(info | {"recipe": done})
    assert told_again.advice == "a lower --min-count, subwords: --tokenizer bpe"


def test_a_row_of_a_table_does_not_go_on_in_the_next(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("\n".join(["text", *(f'"{line}"' for line in WRAPPED)]) + "\n")
    (tmp_path / "notes.txt").write_text("\n".join(WRAPPED) + "\n")
    told = {form: prepare_corpus(tmp_path / f"notes.{form}", sentences="line").findings for form in ("csv", "txt")}
    assert "wrapped" in {finding.kind for finding in told["txt"]}
    assert "wrapped" not in {finding.kind for finding in told["csv"]}
