"""The catalog of published corpora."""

from __future__ import annotations

from seqvae_cli.data.catalog import CORPORA
from seqvae_cli.data.corpus import check_name


def test_known_corpora_are_complete() -> None:
    for name, known in CORPORA.items():
        assert known.name == check_name(name)
        assert set(known.files) == {"train", "valid", "test"}
        assert all(len(digest) == 64 for _, digest in known.files.values())
        assert known.mirrors
        assert known.citation
        assert all(mirror.members is not None or mirror.url.endswith("/") for mirror in known.mirrors)
