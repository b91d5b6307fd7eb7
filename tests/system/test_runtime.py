"""Device, precision, threads and random streams."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from seqvae_cli.errors import MachineError, SeqvaeError
from seqvae_cli.system import runtime
from tests.conftest import normal_noise

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


# Devices


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:9", "mps"])
def test_an_absent_device_is_a_machine_error_that_lists_the_devices(name: str) -> None:
    with pytest.raises(MachineError) as caught:
        runtime.resolve_device(name)
    assert caught.value.exit_code == 5
    assert repr(name) in caught.value.message
    assert caught.value.hint == "devices: cpu"


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "", "cuda:-1", "meta", "cpu cpu"])
def test_an_unknown_device_is_an_error_that_lists_the_devices(name: str) -> None:
    with pytest.raises(SeqvaeError) as caught:
        runtime.resolve_device(name)
    assert "cpu" in caught.value.hint


@pytest.mark.usefixtures("no_accelerator")
def test_auto_is_the_cpu_without_an_accelerator() -> None:
    assert runtime.resolve_device("auto") == runtime.resolve_device("cpu") == CPU


@pytest.mark.usefixtures("two_gpus")
def test_cuda_without_a_number_is_the_first() -> None:
    assert runtime.resolve_device("auto") == runtime.resolve_device("cuda") == CUDA
    assert runtime.resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(MachineError) as caught:
        runtime.resolve_device("cuda:2")
    assert "cpu, cuda:0, cuda:1" in caught.value.hint


# Precision


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, torch.float32),
        ({"avx2": True, "avx512_f": True, "amx_tile": True}, torch.float32),
        ({"avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
    ],
)
def test_auto_precision_is_bfloat16_only_with_cpu_hardware_for_it(
    capabilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert runtime.resolve_precision("auto", CPU) == expected
    assert runtime.resolve_precision("float32", CPU) == torch.float32


def test_bfloat16_is_an_error_on_a_cpu_without_support(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_supports_bfloat16", lambda: True)
    assert runtime.resolve_precision("bfloat16", CPU) == torch.bfloat16
    monkeypatch.setattr(runtime, "_supports_bfloat16", lambda: False)
    with pytest.raises(MachineError, match="bfloat16"):
        runtime.resolve_precision("bfloat16", CPU)


def test_auto_precision_is_float32_if_capabilities_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert runtime.resolve_precision("auto", CPU) == torch.float32


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)])
def test_auto_precision_of_a_gpu_depends_on_its_compute_capability(
    capability: tuple[int, int], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert runtime.resolve_precision("auto", CUDA) == expected


def test_autocast_computes_matrix_products_in_the_given_precision() -> None:
    a = torch.ones(2, 2)
    with runtime.autocast(CPU, torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        with runtime.autocast(CPU, torch.float32):
            assert (a @ a).dtype == torch.float32
    with runtime.autocast(CPU, torch.float32):
        assert (a @ a).dtype == torch.float32
    assert runtime.precision_name(torch.bfloat16) == "bfloat16"
    assert runtime.precision_name(torch.float32) == "float32"


def test_set_threads_uses_the_given_count_or_one_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert runtime.set_threads(3) == 3
    assert runtime.set_threads(7) == 7
    cores = runtime.set_threads(0)
    assert cores >= 1
    if hasattr(os, "sched_getaffinity"):
        assert cores == len(os.sched_getaffinity(0))
    assert asked == [3, *[cores] * (cores != 7)]


# Random streams


def test_a_stream_depends_on_seed_and_index_alone() -> None:
    draws = {
        (seed, index): tuple(runtime.stream(seed, index).random(4))
        for seed in (0, 1, 2, 2**32, 2**63 - 1)
        for index in (0, 1, 2, 3, 10**6)
    }
    assert len(set(draws.values())) == len(draws)
    np.random.default_rng(0).random(7)
    for (seed, index), draw in draws.items():
        assert tuple(runtime.stream(seed, index).random(4)) == draw


def test_the_stream_of_a_sentence_depends_on_seed_and_words_alone() -> None:
    """Order and length of the words count; the type of the array and its place in memory do not."""
    sentences = [np.array(ids, dtype=np.int64) for ids in ([], [5], [5, 5], [5, 6], [6, 5], [5, 6, 0])]
    draws = {
        (seed, ids.tobytes()): tuple(runtime.sentence_stream(seed, ids).random(4))
        for seed in (0, 1, 2**63 - 1)
        for ids in sentences
    }
    assert len(set(draws.values())) == len(draws) == 18
    every_second = np.array([5, 9, 6, 9], dtype=np.int32)[::2]
    assert tuple(runtime.sentence_stream(1, every_second).random(4)) == draws[1, sentences[3].tobytes()]


def test_streams_of_similar_sentences_are_uncorrelated() -> None:
    noise = normal_noise(0, [np.array([4, 5, index]) for index in range(100)], (200,)).double()
    correlation = torch.corrcoef(noise).fill_diagonal_(0)
    assert float(correlation.abs().max()) < 0.4  # 5.7 standard deviations of 1 / sqrt(200)
    assert abs(float(noise.mean())) < 0.03
    assert float(noise.var()) == pytest.approx(1, abs=0.05)


def test_noise_of_a_sentence_does_not_depend_on_other_sentences_or_on_its_size() -> None:
    first, second, third = (np.array(ids) for ids in ([4, 5], [7], [4, 5, 6]))
    noise = normal_noise(3, [first, second, third], (4, 2))
    assert noise.dtype == torch.float32
    assert noise.shape == (3, 4, 2)
    assert torch.equal(normal_noise(3, [third], (4, 2))[0], noise[2])
    assert torch.equal(normal_noise(3, [second], (400, 2))[0, :4], noise[1])


def test_the_random_state_is_restored() -> None:
    state = runtime.random_state(CPU)
    assert state.keys() == {"cpu"}
    assert state["cpu"].dtype == torch.uint8
    first = torch.rand(5)
    runtime.restore_random_state(state, CPU)
    assert torch.equal(torch.rand(5), first)


def test_the_stream_of_an_absent_device_is_ignored() -> None:
    state = runtime.random_state(CPU) | {"cuda": torch.zeros(16, dtype=torch.uint8)}
    first = torch.rand(5)
    runtime.restore_random_state(state, CPU)
    assert torch.equal(torch.rand(5), first)
