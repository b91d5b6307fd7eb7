"""The event files of `--log tensorboard`, read back by TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.logs.logged import logged
from seqvae_cli.runs.run import Run
from seqvae_cli.training import session
from seqvae_cli.training.events import StepEvent, WarningEvent
from tests.trainings import assert_same_run, fit, new_run

pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")


def followed(run: Run, corpus: Corpus, **options: Any) -> list[Any]:
    return list(logged(session.fit(run, corpus, **options), run, ["tensorboard"]))


def read(run: Run) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(run.path / "logs" / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    log.Reload()
    return log


def assert_log_has_the_metrics(log: Any, run: Run) -> None:
    lines = run.metrics()
    steps = [line["step"] for line in lines]
    names = {"validation/neg_elbo": "neg_elbo", "train/neg_elbo": "train_neg_elbo", "epoch/kl_weight": "kl_weight"}
    names |= {f"validation/{name}": name for name in ("distortion", "rate", "elbo_ppl", "mutual_information")}
    for tag, name in names.items():
        found = [(point.step, point.value) for point in log.Scalars(tag)]
        assert found == list(zip(steps, np.float32([line[name] for line in lines]), strict=True)), tag
    for i in range(4):
        found = [point.value for point in log.Scalars(f"rate_by_dimension/{i + 1}")]
        assert found == list(np.float32([line["rate_by_dimension"][i] for line in lines]))


def test_the_figures_are_those_of_the_run_and_the_weights_are_the_same(tiny_corpus: Corpus) -> None:
    quiet, told = new_run(tiny_corpus, "quiet"), new_run(tiny_corpus, "told")
    fit(quiet, tiny_corpus)
    followed(told, tiny_corpus)
    assert_same_run(quiet, told)
    log = read(told)
    assert_log_has_the_metrics(log, told)
    text = log.Tensors("samples/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert all(line.startswith("    ") for line in text.splitlines())

    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    def content(tag: str) -> Any:
        return HParamsPluginData.FromString(log.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content)

    settings = content("session_start_info").session_start_info.hparams
    assert settings["model.hidden_size"].number_value == 16
    (metric,) = content("experiment").experiment.metric_infos
    (result,) = log.Scalars(metric.name.tag)
    assert result.value == np.float32(min(line["neg_elbo"] for line in told.metrics()))


def test_a_killed_and_resumed_training_leaves_the_log_of_an_undisturbed_one(tiny_corpus: Corpus) -> None:
    settings = {"train__epochs": 2, "train__batch_size": 4}
    whole, run = new_run(tiny_corpus, "whole", **settings), new_run(tiny_corpus, "killed", **settings)
    followed(whole, tiny_corpus)
    events = logged(session.fit(run, tiny_corpus), run, ["tensorboard"])
    next(event for event in events if isinstance(event, StepEvent) and event.epoch == 2)
    events.close()  # type: ignore[attr-defined]
    assert [point.step for point in read(run).Scalars("step/rate")] == [10, 20, 30]  # seen at once
    followed(run, tiny_corpus, resume=True)
    found, expected = read(run), read(whole)
    assert found.Tags()["scalars"] == expected.Tags()["scalars"]
    for tag in expected.Tags()["scalars"]:
        if "second" not in tag:
            points = [[(point.step, point.value) for point in log.Scalars(tag)] for log in (found, expected)]
            assert points[0] == points[1], tag
    assert_log_has_the_metrics(found, run)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_warning(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    full: Any = lambda *_: open("/dev/full", "wb")  # noqa: E731, SIM115
    monkeypatch.setattr("seqvae_cli.logs.tensorboard.open", full, raising=False)
    events = followed(new_run(tiny_corpus, "full", train__epochs=1), tiny_corpus)
    (warning,) = [event for event in events if isinstance(event, WarningEvent)]
    assert warning.message.startswith("the tensorboard log failed: OSError: [Errno 28] No space left on device")
    assert events[-1].reason == "finished"
    assert capfd.readouterr().err == ""
