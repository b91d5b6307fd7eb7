"""Maps of codes: principal components, discriminants, neighbourhoods."""

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


def test_principal_components_are_the_directions_of_most_variance() -> None:
    codes = drawn(400, 5) * np.array([1, 9, 1, 3, 1], np.float32)
    found = layout.principal(codes)
    assert np.abs(found.axes[1, 0]) == pytest.approx(1, abs=0.01)
    assert np.abs(found.axes[3, 1]) == pytest.approx(1, abs=0.05)
    assert found.variance is not None
    assert found.variance[0] == pytest.approx(81 / 93, abs=0.05)
    assert np.allclose(found.place(codes).mean(0), 0, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2])
def test_a_code_of_one_or_two_dimensions_has_a_map(size: int) -> None:
    codes = drawn(20, size)
    assert layout.principal(codes).place(codes).shape == (20, 2)


def test_discriminants_find_what_parts_a_label_where_the_variance_does_not_show_it() -> None:
    codes = drawn(900, 6) * np.array([20, 20, 1, 1, 1, 1], np.float32)
    label = np.arange(900) % 3
    codes[:, 3] += 6 * (label == 1)
    codes[:, 5] += 6 * (label == 2)
    found = layout.discriminants(codes, label)
    placed = found.place(codes)
    spread = np.sqrt(np.mean([placed[label == value].var(0) for value in range(3)], axis=0))
    middles = np.stack([placed[label == value].mean(0) for value in range(3)])
    apart = min(np.linalg.norm((middles[i] - middles[j]) / spread) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert apart > 4
    assert np.abs(found.axes[:2]).max() < 0.1 * np.abs(found.axes[3:]).max()


def test_two_values_are_parted_along_the_first_axis_and_the_second_is_the_rest() -> None:
    codes = drawn(600, 4) * np.array([1, 5, 1, 1], np.float32)
    label = np.arange(600) % 2
    codes[:, 2] += 8 * label
    found = layout.discriminants(codes, label)
    first, second = (axis / np.linalg.norm(axis) for axis in found.axes.T)
    assert abs(first[2]) > 0.98
    assert abs(second[1]) > 0.98


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
