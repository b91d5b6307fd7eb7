"""An archive with its corpus: the run is evaluated where it is unpacked, and a wrong corpus never appears."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from seqvae_cli import api
from seqvae_cli.data import corpus as corpora
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError
from seqvae_cli.runs import archive, arrival, packed_corpus, registry
from seqvae_cli.system import files, json_files, places
from tests.conftest import Seqvae


@pytest.fixture
def packed(tiny_corpus: Corpus) -> bytes:
    return b"".join(archive.Pack(registry.find("tiny-run"), corpus=tiny_corpus).blocks())


def unpack(data: bytes) -> api.Model:
    return api.load(archive.unpack(io.BytesIO(data), "new"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_run_is_evaluated_where_there_was_no_corpus(packed: bytes, tiny_corpus: Corpus) -> None:
    expected, before = api.load("tiny-run").evaluate(samples=2), content(tiny_corpus.path)
    shutil.rmtree(places.corpora())
    model = unpack(packed)
    assert content(model.corpus().path) == before
    assert model.evaluate(samples=2).figures == expected.figures
    assert not (model.run.path / "corpus").exists()
    assert [path.name for path in places.corpora().iterdir()] == [tiny_corpus.path.name]


def test_a_corpus_that_is_there_stays(packed: bytes, tiny_corpus: Corpus) -> None:
    before = {path: path.stat().st_ino for path in tiny_corpus.path.iterdir()}
    unpack(packed)
    assert {path: path.stat().st_ino for path in tiny_corpus.path.iterdir()} == before


def test_a_corpus_of_this_name_with_other_content_is_kept(packed: bytes, tiny_corpus: Corpus) -> None:
    other_hash(tiny_corpus)
    before = content(tiny_corpus.path)
    with pytest.raises(DataError, match="with other content"):
        unpack(packed)
    assert content(tiny_corpus.path) == before
    assert [path.name for path in places.runs().iterdir()] == ["tiny-run"]


def test_a_file_beside_the_corpus_is_refused(tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    more = packed_corpus.sources(tiny_corpus) | {"corpus/train.more.bin": tiny_corpus.path / "train.tokens.bin"}
    monkeypatch.setattr(packed_corpus, "sources", lambda _: more)
    data = b"".join(archive.Pack(registry.find("tiny-run"), corpus=tiny_corpus).blocks())
    with pytest.raises(DataError, match=r"train\.more\.bin does not belong"):
        unpack(data)


def other_hash(corpus: Corpus) -> None:
    (corpus.path / "test.tokens.bin").write_bytes(bytes((corpus.path / "test.tokens.bin").stat().st_size))
    digests = corpus.info["files"] | {"test.tokens.bin": files.sha256(corpus.path / "test.tokens.bin")}
    info = corpus.info | {"files": digests, "hash": corpora.content_hash(digests)}
    json_files.write(corpus.path / "corpus.json", {key: info[key] for key in info if key != "digest"}, sealed=True)


def other_name(corpus: Corpus) -> None:
    info = corpus.info | {"name": "ptb"}
    json_files.write(corpus.path / "corpus.json", {key: info[key] for key in info if key != "digest"}, sealed=True)


@pytest.mark.parametrize("change", [other_hash, other_name])
def test_another_corpus_than_that_of_the_run_never_appears(
    tiny_corpus: Corpus, change: Callable[[Corpus], None]
) -> None:
    change(tiny_corpus)
    data = b"".join(archive.Pack(registry.find("tiny-run"), corpus=Corpus.open(tiny_corpus.path)).blocks())
    shutil.rmtree(places.corpora())
    with pytest.raises(DataError, match="another corpus than that of its run") as caught:
        unpack(data)
    assert files.TEMPORARY not in caught.value.message
    assert list(places.corpora().iterdir()) == []
    assert [path.name for path in places.runs().iterdir()] == ["tiny-run"]


@pytest.mark.parametrize("name", ["corpus/../x.json", "corpus/x.tokens.bin", "corpus/train.tokens.py", "corpus/"])
def test_only_files_of_a_corpus_are_unpacked(name: str) -> None:
    assert not arrival.limit(name)


def test_a_corpus_without_its_list_of_files_is_refused(
    packed: bytes, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert packed
    without = {packed_corpus.PREFIX + "tokenizer.json": tiny_corpus.path / "tokenizer.json"}
    monkeypatch.setattr(packed_corpus, "sources", lambda _: without)
    data = b"".join(archive.Pack(registry.find("tiny-run"), corpus=tiny_corpus).blocks())
    with pytest.raises(DataError, match=r"corpus\.json"):
        unpack(data)


def test_a_damaged_corpus_is_not_packed(tiny_corpus: Corpus) -> None:
    path = tiny_corpus.path / "train.tokens.bin"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    with pytest.raises(DataError, match="damaged"):
        archive.Pack(registry.find("tiny-run"), corpus=tiny_corpus)


@pytest.mark.usefixtures("trained_home")
def test_the_commands_carry_it(seqvae: Seqvae, tmp_path: Path) -> None:
    file = str(tmp_path / "tiny.tar.gz")
    assert seqvae("runs", "export", "tiny-run", file, "--weights-only", "--with-corpus").code == 0
    shutil.rmtree(places.corpora())
    answer = seqvae("runs", "import", file, "--name", "new")
    assert "its corpus is here: tiny-" in answer.err
    assert seqvae("eval", "new", "--samples", "2").code == 0
    shutil.rmtree(places.corpora())
    assert seqvae("runs", "export", "new", str(tmp_path / "other.tar.gz"), "--with-corpus").code == 3


def test_the_archive_names_no_folder_of_the_machine(tiny_home: Path, packed: bytes) -> None:
    held = b"".join(member.read() for member in members_of(packed))
    assert b"tiny.txt" in held
    assert str(tiny_home.parent).encode() not in held


def members_of(packed: bytes) -> list[io.BytesIO]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archived:
        opened = [archived.extractfile(member) for member in archived]
        return [io.BytesIO(one.read()) for one in opened if one is not None]
