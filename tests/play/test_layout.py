"""Neighbourhood maps: places of codes, and their computation in the background."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from seqvae_cli.errors import MachineError
from seqvae_cli.play import layout
from seqvae_cli.play.layout import Background, Codes, Neighbourhood, Plane


def drawn(count: int, size: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def test_a_shown_code_lies_at_its_own_place_and_another_between() -> None:
    codes = np.array([[0, 0], [1, 0], [9, 9], [9, 8], [8, 9]], np.float32)
    places = np.array([[0, 0], [2, 0], [50, 50], [50, 50], [50, 50]], float)
    found = Neighbourhood(codes, places)
    assert np.allclose(found.place(codes[:2]), places[:2], atol=1e-3)
    (middle,) = found.place(np.array([[0.5, 0]], np.float32))
    assert 0.8 < middle[0] < 2


def test_t_sne_keeps_clusters_together() -> None:
    pytest.importorskip("sklearn")
    codes = np.concatenate([drawn(40, 6, seed) + 30 * seed for seed in (0, 1)])
    placed = layout.neighbourhood(codes)
    inside = max(
        np.linalg.norm(placed[part] - placed[part].mean(0), axis=1).max() for part in (slice(40), slice(40, 80))
    )
    assert np.linalg.norm(placed[:40].mean(0) - placed[40:].mean(0)) > inside


def wait(background: Background, folder: Path, codes: Codes) -> Neighbourhood:
    for _ in range(500):
        if found := background.find(folder, codes):
            return found
        time.sleep(0.01)
    raise AssertionError("no map")


def test_a_map_is_computed_once_in_the_background_and_kept_with_the_run(tmp_path: Path) -> None:
    calls, go = [], threading.Event()

    def compute(codes: Codes) -> Plane:
        go.wait(10)
        calls.append(len(codes))
        return codes[:, :2].astype(float)

    codes = drawn(12, 3)
    first = Background(compute)
    assert first.find(tmp_path, codes) is None
    assert first.find(tmp_path, codes) is None
    go.set()
    assert np.array_equal(wait(first, tmp_path, codes).places, codes[:, :2])
    for _ in range(500):  # it answers before the file is written
        if list((tmp_path / layout.FOLDER).glob("*.npy")):
            break
        time.sleep(0.01)
    found = Background(compute).find(tmp_path, codes)
    assert found is not None
    assert np.array_equal(found.places, codes[:, :2])
    assert calls == [12]
    other = wait(Background(lambda _: np.zeros((12, 2))), tmp_path, codes + 1)  # other codes, another map
    assert np.array_equal(other.places, np.zeros((12, 2)))


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"no array", b"\x80\x04."])
def test_a_damaged_map_is_computed_again(tmp_path: Path, damage: bytes) -> None:
    codes = drawn(12, 3)
    first = Background(lambda given: given[:, :2].astype(float))
    wait(first, tmp_path, codes)
    for _ in range(500):
        if kept := list((tmp_path / layout.FOLDER).glob("tsne-*.npy")):
            break
        time.sleep(0.01)
    kept[0].write_bytes(damage)
    assert np.array_equal(wait(Background(lambda _: np.ones((12, 2))), tmp_path, codes).places, np.ones((12, 2)))


def test_what_the_library_raises_becomes_a_reason(tmp_path: Path) -> None:
    def compute(_: Codes) -> Plane:
        raise ValueError("odd")

    background = Background(compute)
    with pytest.raises(MachineError, match="odd"):
        wait(background, tmp_path, drawn(12, 3))
    with pytest.raises(MachineError, match="3 sentences"):
        background.find(tmp_path, drawn(3, 3))


def test_after_a_failure_the_next_request_tries_again(tmp_path: Path) -> None:
    failures = iter([MachineError("no memory")])

    def compute(codes: Codes) -> Plane:
        for failure in failures:
            raise failure
        return codes[:, :2].astype(float)

    background, codes = Background(compute), drawn(12, 3)
    with pytest.raises(MachineError, match="no memory"):
        wait(background, tmp_path, codes)
    assert np.allclose(wait(background, tmp_path, codes).places, codes[:, :2])


def test_few_maps_stay_in_memory_and_with_their_run(tmp_path: Path) -> None:
    background = Background(lambda codes: codes[:, :2].astype(float))
    for seed in range(layout.MOST_HELD + 4):
        codes = drawn(12, 3) + seed
        wait(background, tmp_path, codes)
    assert len(background._made) <= layout.MOST_HELD
    assert len(list((tmp_path / layout.FOLDER).iterdir())) == layout.MOST_KEPT
    assert Background().find(tmp_path, codes) is not None, "the newest"


def test_maps_that_nobody_waits_for_are_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training has other codes after each epoch, and each map takes longer than an epoch."""
    calls, begun, go = [], threading.Event(), threading.Event()

    def compute(codes: Codes) -> Plane:
        calls.append(float(codes[0, 0]))
        begun.set()
        go.wait(10)
        return codes[:, :2].astype(float)

    monkeypatch.setattr(layout, "WANTED", 0.2)
    background, first = Background(compute), threading.active_count()
    epochs = [np.full((12, 3), epoch, np.float32) for epoch in range(6)]
    for codes in epochs:
        assert background.find(tmp_path, codes) is None
    assert begun.wait(10)
    assert threading.active_count() <= first + 1
    time.sleep(0.3)
    assert background.find(tmp_path, epochs[3]) is None
    go.set()
    wait(background, tmp_path, epochs[3])
    assert calls == [0, 3]
