"""Tables that are given as text are refused with the command that is meant; sentences never are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqvae_cli.data import lookalikes
from seqvae_cli.data.readers import Reading, read_records
from seqvae_cli.errors import DataError

ROWS = [("1", "It is good", "5"), ("2", "I do not like it", "1")] * 8


def joined(delimiter: str, header: tuple[str, ...] = ("id", "review", "stars")) -> str:
    return "".join(delimiter.join(row[-len(header) :]) + "\n" for row in [header, *ROWS])


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        (joined(","), "a table of 3 columns, separated by commas", "--format csv --text review; or"),
        (joined(";"), "a table of 3 columns, separated by semicolons", "--format csv --text review; or"),
        (joined("\t"), "a table of 3 columns, separated by tabs", "--format tsv --text review; or"),
        (joined(",", ("text", "label")), "a table of 2 columns", "--format csv --text text; or"),
        (joined("\t").partition("\n")[2], "a table of 3 columns", "put a line with the names of its columns before it"),
        (joined(",", ("", "said it", "stars")), "a table of 3 columns", "--format csv --text 'said it'; or"),
        (joined(",", ("a", "b", "c")).replace("It is good", '"It is, good"'), "a table of 3 columns", "--text b; or"),
        ('{"text": "a", "id": 1}\n' * 2 + '{"text": "cu', "JSON Lines, an object a line", "--format jsonl --text text"),
        ('{"one": "a b c", "two": "d e f"}', "JSON Lines, an object a line", "--format jsonl --text COLUMN"),
        (
            '[{"text": "a"}, {"text": "b"}]',
            "a JSON document",
            "jq -c '.[]' 'my file.txt' | seqvae score - --format jsonl",
        ),
        ('{\n  "text": "a"\n}\n', "a JSON document", "jq"),
    ],
)
def test_a_table_is_refused_with_the_command(text: str, what: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        lookalikes.refuse(text, "my file.txt", "seqvae score")
    assert caught.value.message == f"my file.txt looks like {what}{caught.value.message.partition(what)[2]}"
    assert hint in caught.value.hint
    assert "seqvae score" in caught.value.hint
    assert "--format txt" in caught.value.hint


PROSE = [
    "Der Zug trinkt gerne Tee, und lacht.\nMein Nachbar schläft auf dem Sofa, weil es regnet.\n" * 20,
    "red, green, blue\n" * 20,
    "the cat , a dog , a bird .\n" * 20,
    "one,two,three\n" * 5 + "but not all lines,are alike\n" * 9,
    "1,5-dimethyl\nN,N-diethyl\n" * 9,
    "C1=CC,CC\n" * 20,
    "id,text,label\n1,a,b\n",  # two rows are no table
    "{a} is a set\n{} is empty\n" * 9,
    "{}\n" * 9,
    "[laughs] yes\n" * 9,
    '"Quotes", he said, "are text"\n' * 20,
    "Wait; what; why\nNo; never; mind\n" * 20,
    "",
    "\n\n",
    "a\tb\n" * 3,
]


@pytest.mark.parametrize("text", PROSE)
def test_sentences_are_no_table(text: str) -> None:
    lookalikes.refuse(text, "a.txt", "seqvae prepare")


def test_a_file_of_text_is_looked_at_unless_its_format_is_given(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(json.dumps({"text": "a"}) + "\n" for _ in range(3)))
    with pytest.raises(DataError, match="looks like JSON Lines"):
        next(read_records(path, Reading()))
    assert [one.text for one in read_records(path, Reading("txt"))] == ['{"text": "a"}'] * 3
