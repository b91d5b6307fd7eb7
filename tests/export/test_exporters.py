"""Exports answer as the model does, in onnxruntime and in torch.export, for every variant of the model."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from seqvae_cli import api
from seqvae_cli.data.batching import collate
from seqvae_cli.data.tokenizer import BOS, SPECIALS, Tokenizer
from seqvae_cli.data.tokenizers.characters import GRAPHEMES
from seqvae_cli.errors import MachineError, UsageError
from seqvae_cli.export import exporters, graphs, onnx, torch_export
from seqvae_cli.latent.strategy import Strategy
from seqvae_cli.model import SentenceVAE
from tests.conftest import Seqvae, tiny_text
from tests.faults.matrix import FULL
from tests.test_docs import ROOT, blocks
from tests.test_variants import WORDS, build, combinations

EXAMPLE = ROOT / "examples" / "onnx_decode.py"
CLOSE = 1e-5

Call = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]

DECODERS: list[dict[str, Any]] = [
    {"latent_state": False, "latent_input": False, "latent_output": True},
    {"latent_rotary": True, "pooling": "rotary", "bidirectional": True, "encoder_layers": 2},
    {"word_dropout": 1.0, "cell": "gru", "latent_rotary": True, "decoder_layers": 2, "encoder_size": 4},
]
"""What `combinations` leaves at its default."""


def example() -> ModuleType:
    """examples/onnx_decode.py as a module."""
    spec = importlib.util.spec_from_file_location("onnx_decode", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


full = pytest.mark.skipif(not FULL, reason="seconds an export: make faults")


@pytest.fixture(scope="session")
def needs_onnx() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="the extra onnx and onnxruntime are not installed")


@pytest.fixture(scope="session")
def onnx_folder(tiny_home: Path, needs_onnx: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """The ONNX export of `tiny-run`, made once."""
    folder = tmp_path_factory.mktemp("onnx") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQVAE_HOME", str(tiny_home))
        api.load("tiny-run").export(folder)
    return folder


def onnx_call(path: Path) -> Call:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [found.name for found in session.get_outputs()]
    return lambda given: dict(zip(names, session.run(names, dict(given)), strict=True))


def torch_call(path: Path, described: dict[str, Any]) -> Call:
    module = torch.export.load(path).module()

    def call(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = module(*(torch.from_numpy(given[name]) for name in described["inputs"]))
        return {name: value.numpy() for name, value in zip(described["outputs"], found, strict=True)}

    return call


def calls(folder: Path) -> Iterator[Call]:
    """The encoder, the decoder's start and its step."""
    for name, described in json.loads((folder / "config.json").read_text())["graphs"].items():
        yield onnx_call(folder / name) if name.endswith(".onnx") else torch_call(folder / name, described)


def assert_like(network: SentenceVAE, encode: Call, start: Call, step: Call, words: int) -> None:
    """Codes over ragged lengths, whatever the padding holds, and log p after each word, rows reordered as in a beam."""
    random = np.random.default_rng(0)
    for lengths in ([6, 1, 3, 6, 2], [1], [4], [0, 0, 0]):
        sentences = [random.integers(4, words, length) for length in lengths]
        batch = collate(sentences)
        tokens = np.where(np.arange(batch.ids.shape[1]) < batch.lengths[:, None], batch.ids, words - 1)
        posterior = network.encoder(batch)
        found = encode({"tokens": tokens, "lengths": batch.lengths})
        np.testing.assert_allclose(found["mean"], posterior.code, atol=CLOSE)
        np.testing.assert_allclose(found["scale"], posterior.scale, atol=CLOSE, rtol=CLOSE)
        z, expected = found["mean"], network.decoder.start(posterior.code)
        state, token = start({"z": z}), np.full(len(z), BOS)
        for column in range(tokens.shape[1]):
            logits, expected = network.decoder.step(torch.from_numpy(token), expected)
            log_p, *parts = step({"token": token, "z": z, **state}).values()
            np.testing.assert_allclose(log_p, logits.log_softmax(-1), atol=CLOSE, rtol=CLOSE)
            rows = random.integers(0, len(z), len(z))
            expected = network.decoder.reorder(expected, torch.from_numpy(rows))
            state = {name: part[rows] for name, part in zip(state, parts, strict=True)}
            z, token = z[rows], tokens[rows, column]


@full
@pytest.mark.parametrize("form", ["onnx", "torch-export"])
def test_every_variant_answers_as_the_model(form: str, tmp_path: Path, needs_onnx: None) -> None:  # noqa: ARG001
    tried = [one for one in combinations() if one["latent_size"]]
    variants = [*tried[::5], *({"latent_size": 3} | one for one in DECODERS)]
    tokenizer = Tokenizer("whitespace", False, (*SPECIALS, *map(str, range(WORDS - len(SPECIALS)))))
    for number, variant in enumerate(variants):
        network = build(**variant).eval().requires_grad_(False)
        folder = tmp_path / str(number)
        exporters.export(network, tokenizer, folder, form, unk=True, about={})
        assert_like(network, *calls(folder), words=WORDS)


def test_onnxruntime_answers_as_the_model(tmp_path: Path, needs_onnx: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Ragged sentences and a bidirectional LSTM. The first state is torch's here: each export takes a second."""
    network = build(bidirectional=True, latent_size=3).eval().requires_grad_(False)
    monkeypatch.setattr(onnx, "graphs", lambda *given: graphs.graphs(*given)[::2])
    described = onnx.write(network, tmp_path)["graphs"]
    first = graphs.StartGraph(network.decoder)

    def start(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            name: part.numpy() for name, part in zip(first.parts(), first(torch.from_numpy(given["z"])), strict=True)
        }

    encode, step = (onnx_call(tmp_path / name) for name in described)
    assert_like(network, encode, start, step, WORDS)


def test_a_program_of_torch_answers_as_the_model(tmp_path: Path) -> None:
    network = build(latent_size=3).eval().requires_grad_(False)
    described = torch_export.write(network, tmp_path)["graphs"]
    encode, start, step = (torch_call(tmp_path / name, graph) for name, graph in described.items())
    assert_like(network, encode, start, step, WORDS)


@full
@pytest.mark.usefixtures("trained_home")
def test_the_example_decodes_the_sentences_of_the_model(onnx_folder: Path) -> None:
    model = api.load("tiny-run")
    assert_like(model.network, *calls(onnx_folder), words=len(model.tokenizer))
    decoder = example().Model(onnx_folder)
    sentences = [*tiny_text()[::7], "the", "a whale sees it"]
    mean, scale = model.posterior(sentences)
    found = decoder.encode(sentences)
    np.testing.assert_allclose(found[0], mean, atol=CLOSE)
    np.testing.assert_allclose(found[1], scale, atol=CLOSE)
    codes = np.concatenate([mean, np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)])
    assert decoder.decode(codes) == model.decode(codes)
    assert decoder.decode(codes, beam=3) == model.decode(codes, Strategy(beam=3))


@full
def test_an_onnx_file_names_its_axes_and_no_path(onnx_folder: Path) -> None:
    import onnx as library

    config = json.loads((onnx_folder / "config.json").read_text())
    assert [*config["graphs"]] == ["encoder.onnx", "decoder_start.onnx", "decoder_step.onnx"]
    for name, described in config["graphs"].items():
        model = library.load(onnx_folder / name)
        library.checker.check_model(model, full_check=True)
        assert [(one.domain, one.version) for one in model.opset_import if not one.domain] == [("", config["opset"])]
        for kind, values in (("inputs", model.graph.input), ("outputs", model.graph.output)):
            shapes = {
                value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
                for value in values
            }
            assert shapes == {key: value["shape"] for key, value in described[kind].items()}
        assert b"seqvae_cli" not in (onnx_folder / name).read_bytes()


@full
def test_the_example_prints_what_it_decodes(
    onnx_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, lines in ((["the cat sees it"], 1), (["--between", "the cat sees it", "a dog paints it"], 7)):
        monkeypatch.setattr(sys, "argv", ["onnx_decode.py", str(onnx_folder), *arguments])
        example().main()
        assert len(capsys.readouterr().out.splitlines()) == lines


@pytest.mark.parametrize("kind", ["word", "whitespace", "char", "graphemes"])
def test_the_example_splits_and_joins_as_the_tokenizer(kind: str, tmp_path: Path, needs_onnx: None) -> None:  # noqa: ARG001
    texts = [
        "He said: \"It's $5.20, isn't it?\" (No.)",
        "U.S. e\u0301tudes <unk> <eos> x",
        "ﬁ A\u00a0b \u2028c",
        "«Oui», ３４!",
    ]
    rule, details = ("char", GRAPHEMES) if kind == "graphemes" else (kind, {})
    for normalize, lower in itertools.product(("none", "nfkc") if kind != "char" else ("none",), (False, True)):
        draft = Tokenizer(rule, lower, SPECIALS, normalize, details)
        pieces = dict.fromkeys(piece for text in texts for piece in draft.split(text) if piece not in SPECIALS)
        tokenizer = Tokenizer(rule, lower, (*SPECIALS, *[*pieces][:-2]), normalize, details)
        tokenizer.save(tmp_path / "tokenizer.json")
        config = {
            "ids": {"pad": 0, "bos": 1, "eos": 2, "unk": 3},
            "word_pattern": exporters.PATTERNS.get(tokenizer.kind),
        }
        other = example().Tokenizer(tmp_path, config)
        for text in texts:
            *ids, _ = other.encode(text)
            assert ids == tokenizer.encode(text)
            assert other.decode(ids) == tokenizer.decode(ids)


@pytest.mark.usefixtures("trained_home")
def test_the_lines_of_the_page_make_the_same_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(compile("".join(blocks(ROOT / "docs" / "export.md", "python")), "export.md", "exec"), space)
    for name, value in api.load("latest").network.state_dict().items():
        assert torch.equal(space["network"].state_dict()[name], value)


@pytest.mark.usefixtures("trained_home")
def test_exported_weights_lie_beside_their_tokenizer(tmp_path: Path) -> None:
    model = api.load("tiny-run")
    written = model.export(tmp_path / "weights", "safetensors")
    assert [path.name for path in written] == ["config.json", "model.safetensors", "tokenizer.json"]
    config = json.loads(written[0].read_text())
    stored = safetensors.torch.load_file(written[1])
    assert len(stored) == len(list(model.network.parameters()))  # tied weights once
    assert Tokenizer.load(written[2]) == model.tokenizer
    assert (config["run"], config["step"]) == ("tiny-run", model.step)


@pytest.mark.usefixtures("trained_home")
def test_all_of_an_export_is_on_the_disk_before_it_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real, rename = os.fsync, Path.rename

    def renamed(path: Path, target: Path) -> Path:
        if target.name == "weights":
            before.extend(synced)
        return rename(path, target)

    before: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_ino), real(handle)))
    monkeypatch.setattr(Path, "rename", renamed)
    written = api.load("tiny-run").export(tmp_path / "weights", "safetensors")
    assert {path.stat().st_ino for path in (*written, tmp_path / "weights")} <= set(before)
    assert synced[-1] == tmp_path.stat().st_ino, "and the rename after it"


@pytest.mark.usefixtures("trained_home")
def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = api.load("tiny-run")
    (tmp_path / "taken").mkdir()
    for folder, form, problem in (
        ("new", "onxn", "onxn"),
        ("taken", "safetensors", "exists already"),
        ("no/folder", "safetensors", "cannot be made"),
    ):
        with pytest.raises(UsageError, match=problem):
            model.export(tmp_path / folder, form)
    network = build(latent_size=0).eval()
    with pytest.raises(UsageError, match="language model"):
        exporters.export(network, model.tokenizer, tmp_path / "new", "torch-export", unk=True, about={})
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MachineError) as caught:
        model.export(tmp_path / "new")
    assert caught.value.hint == 'pip install "seqvae[onnx]"'
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["taken"]  # nothing is left behind


@pytest.mark.usefixtures("trained_home")
def test_the_command_names_the_folder_after_the_run(
    seqvae: Seqvae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = seqvae("export", "tiny", "--format", "safetensors", "--threads", "1", "--json")
    found = json.loads(answer.out)
    assert found["path"] == str(tmp_path / "tiny-run-safetensors")
    assert found["files"] == {path.name: path.stat().st_size for path in Path(found["path"]).iterdir()}
    assert seqvae("export", "tiny", "--format", "safetensors", "--threads", "1").code == 2
    assert "did you mean 'onnx'" in seqvae("export", "tiny", "--format", "onxn", "--threads", "1").err
