"""Rows 9 and 10: what comes from elsewhere is checked before it gets a name, and can reach nothing but its place."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.data import corpus, download, prepare
from seqvae_cli.data.catalog import CORPORA, KnownCorpus, Mirror
from seqvae_cli.runs import archive, registry
from seqvae_cli.runs.run import Run
from tests import lying_server
from tests.conftest import Seqvae
from tests.faults.matrix import FULL, assert_one_line, snapshot, still_loads, tries
from tests.lying_server import DATA, GOOD, PREFIX, Entry, Server, kind, known, mirrors, serving
from tests.runs.test_archive import Member, index, member, members, packed, repacked, with_manifest

PATIENCE = 0.3
"""Seconds without progress after which a mirror is given up here; users wait for 30."""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[[KnownCorpus], None]:
    """Makes a corpus known to `seqvae prepare`."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setitem(prepare.prepare_known.__kwdefaults__, "timeout", PATIENCE)
    return lambda made: monkeypatch.setitem(CORPORA, made.name, made)


def cached(home: Path) -> dict[str, bytes]:
    return snapshot(home / "cache" / "c")


def assert_prepared(home: Path) -> None:
    """The corpus is what the good mirror has, and nothing else is in the cache."""
    assert cached(home) == DATA
    made = corpus.find("c")
    made.verify()
    for split in ("train", "valid", "test"):
        assert len(made.split(split)) == DATA[f"c.{split}.txt"].count(b"\n")
    assert made.tokenizer.decode(made.split("train")[0]) == "train sentence"


# Row 9

FAULTS = {
    "wrong": "wrong checksum",
    "short": "broke off",
    "missing": "HTTP 404",
    "html": "HTML page",
    "stalled": "no progress",
}


@pytest.mark.row(9)
@pytest.mark.parametrize("bad", [1 + seed for seed in tries(3, 1)])
@pytest.mark.parametrize("fault", FAULTS)
def test_bad_mirrors_give_way_to_the_next(
    fault: str, bad: int, server: Server, offer: Callable[..., None], seqvae: Seqvae, home: Path
) -> None:
    offer(mirrors(server, *[fault] * bad, "good"))
    answer = seqvae("prepare", "c")
    assert answer.code == 0, answer.err
    assert "error:" not in answer.err
    assert_prepared(home)
    assert [path for path, _ in server.requests].count(f"/{fault}/c.train.txt") == bad


@pytest.mark.row(9)
@pytest.mark.parametrize("fault", FAULTS)
def test_where_every_mirror_is_bad_the_addresses_and_the_way_out_are_told(
    fault: str, server: Server, offer: Callable[..., None], seqvae: Seqvae, home: Path, tmp_path: Path
) -> None:
    offered = mirrors(server, *[f"{fault}/{number}" for number in range(4)])
    offer(offered)
    answer = seqvae("prepare", "c")
    assert answer.code == 4
    assert_one_line(answer.err, FAULTS[fault], "seqvae prepare c --from DIR")
    for mirror in offered.mirrors:
        assert f"{mirror.url}c.train.txt" in answer.err
    assert "\\n" not in answer.err
    assert corpus.list_prepared() == []
    # No file has its name, and what is kept to be resumed is a beginning of the right one.
    for name, data in cached(home).items():
        assert fault in ("short", "stalled")
        assert name.endswith(".part")
        assert DATA[name.removesuffix(".part")].startswith(data)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name, data in DATA.items():
        (elsewhere / name).write_bytes(data)
    assert seqvae("prepare", "c", "--from", str(elsewhere)).code == 0
    assert snapshot(elsewhere) == DATA
    offer(mirrors(server, "good"))
    assert seqvae("prepare", "c").code == 0
    assert_prepared(home)


# Row 10: the archive of a mirror


def hostile_entries(outside: Path) -> dict[str, list[Entry]]:
    """What may stand in an archive in front of the files that are wanted."""
    wanted = f"{PREFIX}c.train.txt"
    target = str(outside / "target")
    return {
        "absolute": [(str(outside / "absolute"), b"x", None)],
        "dots": [("../" * depth + "outside/dots", b"x", None) for depth in range(1, 8)],
        "dots below the prefix": [(f"{PREFIX}{'../' * depth}c.train.txt", b"x", None) for depth in range(1, 8)],
        "symlink to a file": [(wanted, None, kind(tarfile.SYMTYPE, target))],
        "symlink to a folder": [
            ("./c", None, kind(tarfile.SYMTYPE, str(outside))),
            ("./c/through", b"x", None),
            (f"{PREFIX}through", b"x", None),
        ],
        "hard link": [(wanted, None, kind(tarfile.LNKTYPE, target))],
        "character device": [(wanted, None, kind(tarfile.CHRTYPE))],
        "block device": [(wanted, None, kind(tarfile.BLKTYPE))],
        "pipe": [(wanted, None, kind(tarfile.FIFOTYPE))],
        "folder": [(wanted, None, kind(tarfile.DIRTYPE))],
        "duplicate": [(wanted, b"another", None)],
        "mac": [("__MACOSX/./c/data/._c.train.txt", b"x", None), (f"__MACOSX/{wanted}", b"x", None)],
        "other folders": [("c.train.txt", b"x", None), ("./c/README", b"x" * 5000, None)],
    }


@pytest.mark.row(10)
@pytest.mark.parametrize("what", hostile_entries(Path()))
def test_from_an_archive_only_the_named_files_are_taken(
    what: str, server: Server, offer: Callable[..., None], seqvae: Seqvae, home: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "target").write_bytes(b"mine")
    server.archives["c.tgz"] = lying_server.archive(*hostile_entries(outside)[what], *GOOD)
    offer(known(Mirror(f"{server.address}/archive/c.tgz", PREFIX)))
    answer = seqvae("prepare", "c")
    assert answer.code == 0, answer.err
    assert_prepared(home)
    assert snapshot(outside) == {"target": b"mine"}
    assert {path.name for path in tmp_path.iterdir()} == {"home", "outside"}
    assert {path.name for path in home.iterdir()} <= {"cache", "corpora", "licences"}
    assert {path.name for path in (home / "cache").iterdir()} == {"c"}
    assert {path.name for path in (home / "cache" / "c").iterdir()} <= {*DATA, ".lock"}
    assert not any(path.is_symlink() for path in home.rglob("*"))


@pytest.mark.row(10)
@pytest.mark.parametrize("what", ["one file of zeros", "many empty files"])
def test_a_bomb_from_a_mirror_is_not_unpacked(
    what: str, server: Server, offer: Callable[..., None], seqvae: Seqvae, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not FULL:
        monkeypatch.setattr(download, "MAX_UNPACKED", 1 << 20)
    size = download.MAX_UNPACKED
    if what == "one file of zeros":
        bomb = lying_server.archive(("zeros", bytes(size), None), *GOOD)
    else:
        bomb = gzip.compress(tarfile.TarInfo("empty").tobuf() * (1 + size // tarfile.BLOCKSIZE), 1)
    server.archives["c.tgz"] = bomb
    offer(known(Mirror(f"{server.address}/archive/c.tgz", PREFIX)))
    answer = seqvae("prepare", "c")
    assert answer.code == 4
    assert_one_line(answer.err, "too large", f"{server.address}/archive/c.tgz", "--from DIR")
    assert cached(home) == {}


# Row 10: the archive of a run


@pytest.fixture
def run(trained_home: Path) -> Run:
    assert trained_home.is_dir()
    run = registry.find("tiny-run")
    run.tag(["paper"])
    return run


EXTRA: dict[str, tuple[str, dict[str, Any]]] = {
    "stranger": ("notes.txt", {}),
    "lock": ("lock", {}),
    "absolute": ("", {"full": "/tmp/run.json"}),
    "dots": ("../run.json", {}),
    "dots_inside": ("best/../run.json", {}),
    "dot": ("./run.json", {}),
    "outside": ("", {"full": "run.json"}),
    "macosx": ("", {"full": "__MACOSX/._run.json"}),
    "escapes": ("\x1b[31mx", {}),
    "symlink": ("tags.json", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
    "hard_link": ("tags.json", {"type": tarfile.LNKTYPE, "linkname": archive.FOLDER + "run.json"}),
    "device": ("tags.json", {"type": tarfile.CHRTYPE}),
    "block_device": ("tags.json", {"type": tarfile.BLKTYPE}),
    "pipe": ("tags.json", {"type": tarfile.FIFOTYPE}),
    "folder": ("best", {"type": tarfile.DIRTYPE}),
    "contiguous": ("tags.json", {"type": tarfile.CONTTYPE}),
    "sparse": ("tags.json", {"type": tarfile.GNUTYPE_SPARSE}),
    "long_name": ("x" * 300, {}),
    "pax": ("tags.json", {"type": tarfile.XHDTYPE}),
    "pax_global": ("tags.json", {"type": tarfile.XGLTYPE}),
    "huge_extension": ("tags.json", {"type": tarfile.GNUTYPE_LONGNAME, "size": 1 << 40}),
    "link_name_on_a_file": ("tags.json", {"linkname": "/etc/passwd"}),
    "duplicate": ("run.json", {}),
}


@pytest.mark.row(10)
@pytest.mark.parametrize(("what", "where"), list(product(EXTRA, ("first", "last")))[:: 1 if FULL else 5])
def test_an_archive_with_a_file_that_is_none_of_its_run_is_refused(
    what: str, where: str, run: Run, seqvae: Seqvae, tmp_path: Path
) -> None:
    found = members(packed(run))
    name, values = EXTRA[what]
    extra = member(name, **values)
    refuse(repacked([found[0], extra, *found[1:]] if where == "first" else [*found, extra]), run, seqvae, tmp_path)


@pytest.mark.row(10)
@pytest.mark.parametrize("what", ["symlink", "hard_link", "device", "folder", "pax", "sparse"])
def test_an_archive_with_something_else_under_the_name_of_a_file_is_refused(
    what: str, run: Run, seqvae: Seqvae, tmp_path: Path
) -> None:
    found = members(packed(run))
    found[index(found, "tags.json")] = member("tags.json", **EXTRA[what][1])
    refuse(repacked(found), run, seqvae, tmp_path)


SIZE = 1 << 28 if FULL else 1 << 22


def more_than_promised(found: list[Member]) -> bytes:
    i = index(found, "tags.json")
    return repacked([*found[:i], member("tags.json", bytes(SIZE)), *found[i + 1 :]])


def zeros_without_end(found: list[Member]) -> bytes:
    return repacked(found, tail=bytes(SIZE))


def a_manifest_of_zeros(found: list[Member]) -> bytes:
    return repacked([member(archive.MANIFEST, bytes(SIZE)), *found[1:]])


def a_vocabulary_of_zeros_that_was_promised(found: list[Member]) -> bytes:
    i = index(found, "tokenizer.json")
    zeros = bytes(min(SIZE, 1 << 26))
    entry = {"size": len(zeros), "sha256": hashlib.sha256(zeros).hexdigest()}
    again = members(with_manifest(found, lambda manifest: manifest["files"].update({"tokenizer.json": entry})))
    return repacked([*again[:i], member("tokenizer.json", zeros), *again[i + 1 :]])


def more_than_any_run_has(found: list[Member]) -> bytes:
    entry = {"size": 1 << 34, "sha256": "0" * 64}
    return with_manifest(found, lambda manifest: manifest["files"].update({"best/000001/model.safetensors": entry}))


@pytest.mark.row(10)
@pytest.mark.parametrize(
    "bomb",
    [
        more_than_promised,
        zeros_without_end,
        a_manifest_of_zeros,
        a_vocabulary_of_zeros_that_was_promised,
        more_than_any_run_has,
    ],
)
def test_an_archive_that_is_a_bomb_is_refused(
    bomb: Callable[[list[Member]], bytes], run: Run, seqvae: Seqvae, tmp_path: Path
) -> None:
    refuse(bomb(members(packed(run))), run, seqvae, tmp_path)


NAMES = [
    *("/x.json", "../x.json", "best/1/../../x.json", "__MACOSX/x.json", "x.json", "lock", "run.json\n", ""),
    *("best/1/model.pt", "best/1/.tmp-x.json", "best/x/model.safetensors", "other/1/a.json", "BEST/1/a.json"),
    "evaluations/x.json",
]


@pytest.mark.row(10)
@pytest.mark.parametrize("name", NAMES[:: 1 if FULL else 4])
def test_a_manifest_with_a_file_that_no_run_has_is_refused(name: str, run: Run, seqvae: Seqvae, tmp_path: Path) -> None:
    found = members(packed(run))
    entry = {"size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}
    again = members(with_manifest(found, lambda manifest: manifest["files"].update({name: entry})))
    refuse(repacked([*again, member(name, b"{}")]), run, seqvae, tmp_path)


def refuse(data: bytes, run: Run, seqvae: Seqvae, tmp_path: Path) -> None:
    """Asserts that `runs import` takes nothing of it, leaves nothing anywhere and says so in a line."""
    assert gzip.decompress(data)[:12].startswith(b"seqvae-run/")
    file = tmp_path / "stranger.tar.gz"
    file.write_bytes(data)
    before, times = snapshot(tmp_path), {path: path.lstat().st_mtime_ns for path in run.path.rglob("*")}
    answer = seqvae("runs", "import", str(file), "--name", "new")
    assert answer.code == 4, answer.err
    assert_one_line(answer.err)
    assert str(tmp_path) not in answer.err
    assert "\x1b" not in answer.err
    assert len(answer.err) < 600
    assert answer.out == ""
    assert snapshot(tmp_path) == before
    assert {path: path.lstat().st_mtime_ns for path in run.path.rglob("*")} == times
    assert registry.names() == ["tiny-run"]
    still_loads(run)
