"""Downloads from a local server that misbehaves as real servers do."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqvae_cli.data.catalog import CORPORA, Mirror
from seqvae_cli.data.download import fetch, licence_due, local, record_licence_shown
from seqvae_cli.data.prepare import prepare_known
from seqvae_cli.errors import DataError, MachineError
from tests.lying_server import DATA, GOOD, PREFIX, Server, archive, known, mirrors, names, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def check(paths: dict[str, Path], cache: Path) -> None:
    assert {path.name: path.read_bytes() for path in paths.values()} == DATA
    assert list(paths) == ["train", "valid", "test"]
    assert names(cache) == sorted(DATA)


def test_a_good_mirror_is_asked_once_a_file(server: Server, cache: Path) -> None:
    seen = []
    corpus = mirrors(server, "good", "missing")
    check(fetch(corpus, cache, watch=lambda *args: seen.append(args)), cache)
    assert len(server.requests) == 3
    check(fetch(corpus, cache), cache)
    assert len(server.requests) == 3
    assert ("download c.train.txt", len(DATA["c.train.txt"]), len(DATA["c.train.txt"])) in seen


def test_a_length_of_nonsense_is_none(server: Server, cache: Path) -> None:
    check(fetch(mirrors(server, "boastful", "missing"), cache), cache)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("plain-html", "HTML page"), ("trickle", "no progress"), ("large", "more than"), ("endless", "more than")],
)
def test_a_bad_mirror_gives_way_to_the_next(server: Server, cache: Path, mode: str, reason: str) -> None:
    options = {"timeout": 0.3, "limit": 500_000}
    check(fetch(mirrors(server, mode, "good"), cache, **options), cache)  # type: ignore[arg-type]
    for path in cache.iterdir():
        path.unlink()
    corpus = mirrors(server, mode, mode)
    with pytest.raises(DataError, match=reason) as caught:
        fetch(corpus, cache, **options)  # type: ignore[arg-type]
    for mirror in corpus.mirrors:
        assert f"{mirror.url}c.train.txt" in caught.value.message
    assert "--from DIR" in caught.value.hint
    assert all(name.endswith(".part") for name in names(cache))
    if mode != "trickle":
        assert names(cache) == []


def test_an_unreachable_mirror_is_tried_once(cache: Path, server: Server) -> None:
    closed = Mirror("http://127.0.0.1:1/")
    with pytest.raises(DataError, match="no connection") as caught:
        fetch(known(closed), cache, timeout=1)
    assert caught.value.message.count(closed.url) == 1
    check(fetch(known(closed, Mirror(f"{server.address}/good/")), cache, timeout=1), cache)


def test_a_partial_file_is_resumed(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "c.train.txt.part").write_bytes(DATA["c.train.txt"][:12_345])
    check(fetch(mirrors(server, "good"), cache), cache)
    assert server.requests[0] == ("/good/c.train.txt", "bytes=12345-")
    assert server.requests[1][1] is None


def test_another_mirror_resumes_an_interrupted_download(server: Server, cache: Path) -> None:
    check(fetch(mirrors(server, "short", "good"), cache), cache)
    assert ("/good/c.train.txt", f"bytes={len(DATA['c.train.txt']) // 3}-") in server.requests


@pytest.mark.parametrize("size", [100, 12_345, 10_000_000])
@pytest.mark.parametrize("mode", ["good", "no-ranges"])
def test_a_damaged_partial_file_is_discarded(server: Server, cache: Path, mode: str, size: int) -> None:
    cache.mkdir()
    (cache / "c.train.txt.part").write_bytes(b"?" * size)
    check(fetch(mirrors(server, mode), cache), cache)


def test_a_complete_partial_file_needs_no_server(cache: Path) -> None:
    cache.mkdir()
    for name, data in DATA.items():
        (cache / f"{name}.part").write_bytes(data)
    check(fetch(known(Mirror("http://127.0.0.1:1/")), cache), cache)


def test_a_damaged_file_in_the_cache_is_replaced(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "c.test.txt").write_bytes(b"damaged")
    check(fetch(mirrors(server, "good"), cache), cache)


def test_two_downloads_at_once_share_one(server: Server, cache: Path) -> None:
    results: list[dict[str, Path]] = []
    threads = [threading.Thread(target=lambda: results.append(fetch(mirrors(server, "good"), cache))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    check(results[0], cache)
    assert len(server.requests) == 3


def test_an_unwritable_cache_is_a_machine_error(server: Server, cache: Path) -> None:
    cache.write_bytes(b"")
    with pytest.raises(MachineError, match="cache"):
        fetch(mirrors(server, "good"), cache)


# Archives


def from_archive(server: Server, cache: Path, data: bytes) -> dict[str, Path]:
    server.archives["c.tgz"] = data
    return fetch(known(Mirror(f"{server.address}/archive/c.tgz", PREFIX)), cache, timeout=2)


def test_members_are_extracted_from_an_archive(server: Server, cache: Path) -> None:
    check(from_archive(server, cache, archive(("./c/README", b"x" * 5000, None), *GOOD)), cache)
    assert len(server.requests) == 1


def test_mirrors_are_asked_in_order_an_archive_last(server: Server, cache: Path) -> None:
    server.archives["c.tgz"] = archive(*GOOD)
    bad, last = Mirror(f"{server.address}/missing/"), Mirror(f"{server.address}/archive/c.tgz", PREFIX)
    check(fetch(known(bad, last), cache), cache)
    assert len(server.requests) == 4


def test_archives_with_a_missing_or_differing_file_are_errors(server: Server, cache: Path) -> None:
    with pytest.raises(DataError, match=r"no c\.train\.txt"):
        from_archive(server, cache, archive(*GOOD[1:]))
    assert names(cache) == ["c.test.txt", "c.valid.txt"]
    with pytest.raises(DataError, match=r"wrong checksum of c\.train\.txt"):
        from_archive(server, cache, archive((GOOD[0][0], b"other", None)))


@pytest.mark.parametrize("data", [b"", b"no archive", archive(*GOOD)[:500], archive(*GOOD, mode="w")], ids=len)
def test_broken_archives_are_data_errors(server: Server, cache: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r": .*c\.tgz\)"):
        from_archive(server, cache, data)
    assert set(names(cache)) <= set(DATA)


# Local files and notices


def test_local_files_are_checked(tmp_path: Path) -> None:
    corpus = known()
    for name, data in DATA.items():
        (tmp_path / name).write_bytes(data)
    check(local(corpus, tmp_path), tmp_path)
    (tmp_path / "c.valid.txt").write_bytes(b"other\n")
    with pytest.raises(DataError, match=r"c\.valid\.txt") as caught:
        local(corpus, tmp_path)
    assert corpus.files["valid"][1][:12] in caught.value.message
    assert hashlib.sha256(b"other\n").hexdigest()[:12] in caught.value.message
    assert "--no-verify" in caught.value.hint
    assert local(corpus, tmp_path, verify=False)["valid"].read_bytes() == b"other\n"
    (tmp_path / "c.test.txt").unlink()
    with pytest.raises(DataError, match=r"c\.test\.txt is missing"):
        local(corpus, tmp_path, verify=False)


def test_the_licence_notice_is_due_once() -> None:
    corpus = known()
    assert licence_due(corpus)
    record_licence_shown(corpus)
    assert not licence_due(corpus)


def test_a_known_corpus_is_downloaded_and_prepared(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CORPORA, "c", mirrors(server, "missing", "good"))
    first = prepare_known("c", timeout=2)
    assert first.fresh
    assert len(first.corpus.split("train")) == 5_000
    assert not prepare_known("c", timeout=2).fresh
    assert len(server.requests) == 6
