"""The live view of a training: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import functools
import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from seqvae_cli.cli import display, epoch_table, live, remarks
from seqvae_cli.config import layers, options, presets
from seqvae_cli.config.adapt import Facts, adapted
from seqvae_cli.config.schema import Settings
from seqvae_cli.training import schedule
from seqvae_cli.training.events import (
    CollapseEvent,
    EndEvent,
    PlateauEvent,
    WarningEvent,
)
from tests.cli.terminal import EVAL, START, STEP, on_terminal

pytestmark = pytest.mark.usefixtures("fresh_display")


def test_training_in_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with live.TrainingView() as view:
        for event in (START, STEP, STEP, EVAL, replace(EVAL, epoch=2, best=False), PlateauEvent(2, 0.000125, 1)):
            view.show(event)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 4  # no step yet: ten seconds have not passed
    assert "run toy-1: 1,234,567 parameters" in lines[0]
    assert lines[0].endswith("40 epochs of 100 steps (the first 3 as an autoencoder, the next 6 of annealing)")
    assert "validation -ELBO 114.25" in lines[1]
    assert lines[1].endswith("best")
    assert lines[2].startswith("epoch 2/40 ")
    assert not lines[2].endswith("best")
    assert "learning rate 0.00013, weights of epoch 1" in lines[3]


def test_a_terminal_says_what_is_done_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_terminal(monkeypatch)
    with live.TrainingView() as view:
        assert "building the model" in screen.getvalue()
        view.show(START)
        assert "building" not in screen.getvalue().rpartition("\x1b[2K")[2]


def test_a_training_that_shows_nothing_leaves_no_empty_table(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_terminal(monkeypatch)
    with live.TrainingView():
        pass
    assert "epoch" not in screen.getvalue()


@pytest.mark.parametrize(
    ("pretrain", "annealing", "said"),
    [
        (0, 0, "100 steps"),
        (0.5, 0, "100 steps (the first 0.5 as an autoencoder)"),
        (0, 12.251, "100 steps (the first 12.25 of annealing)"),
        (1200, 0, "100 steps (the first 1200 as an autoencoder)"),
    ],
)
def test_the_first_line_names_the_phases(
    pretrain: float, annealing: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with live.TrainingView() as view:
        view.show(replace(START, pretrain=pretrain, annealing=annealing))
    assert capsys.readouterr().err.rstrip().endswith(said)


@pytest.mark.parametrize(
    ("device", "reason", "said"),
    [("cuda:0", "weight drop", True), ("cuda:0", "", False), ("cpu", "no CUDA device", False)],
)
def test_a_training_says_why_its_steps_are_no_graphs(
    device: str, reason: str, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with live.TrainingView() as view:
        view.show(replace(START, device=device, no_graphs=reason))
    assert ("CUDA graphs: weight drop" in capsys.readouterr().err) is said


def test_sizes_that_follow_from_the_corpus_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    small = adapted(Settings(), Facts(sentences=300, seen_once=60, seen_twice=20, occurrences=5, unigram_nll=100))
    settings = layers.resolve(adapted=small)
    view = live.TrainingView()
    view.show(replace(START, sentences=300, settings=settings, epochs=settings.train.epochs))
    view.show(replace(START, sentences=300, settings=settings, step=5))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3, "a resumed run has said it"
    train, model = settings.train, settings.model
    said = f"300 sentences: {model.hidden_size} dimensions, batches of {train.batch_size}, {train.epochs} epochs, "
    assert lines[1].startswith(said + f"learning rate {train.lr:.2g}, dropout {model.dropout:.2g}, ")
    assert "60 % of the tokens seen once read as unknown" in lines[1]
    assert lines[1].endswith(f"stops after {train.early_stop} epochs without progress")


@pytest.mark.parametrize(
    ("validation", "train", "said"), [(102.0, 90.0, True), (100.5, 90.0, False), (102.0, 101.5, False)]
)
def test_an_overfitting_run_says_so(validation: float, train: float, said: bool) -> None:
    view = live.TrainingView()
    view.show(START)
    view.show(replace(EVAL, epoch=1, neg_elbo=100.0, train_neg_elbo=101.0))
    view.show(replace(EVAL, epoch=2, neg_elbo=validation, train_neg_elbo=train, best=False))
    lessons = [lesson for lesson in view.lessons() if lesson.startswith("it overfits: after epoch 1")]
    assert len(lessons) == said


@pytest.mark.parametrize(
    ("sentences", "information", "latent", "said"),
    [
        (300, 0.1, 32, "300 sentences may be too few for a code: some thousands of the same kind would help"),
        (30_000, 0.1, 32, "little in common"),
        (300, 2.0, 32, ""),
        (300, 0.0, 0, ""),
    ],
)
def test_a_code_that_says_little_is_told_with_what_helps(
    sentences: int, information: float, latent: int, said: str
) -> None:
    view = live.TrainingView()
    settings = layers.resolve(overrides={"model.latent_size": latent})
    view.show(replace(START, sentences=sentences, settings=settings))
    view.show(replace(EVAL, mutual_information=information))
    lessons = view.lessons()
    assert len(lessons) == bool(said)
    assert said in "".join(lessons)


@pytest.mark.parametrize(
    ("epochs", "told"), [(1, "1 epoch is too few"), (15, "15 epochs are too few"), (16, "Without a code")]
)
def test_a_training_too_short_for_its_phases_is_no_verdict_on_the_code(epochs: int, told: str) -> None:
    settings = layers.resolve(overrides={"train.epochs": epochs, "train.pretrain": 2.5, "objective.kl_warmup": 5.0})
    settings = schedule.shortened_phases(settings)
    phases = {"pretrain": settings.train.pretrain, "annealing": settings.objective.kl_warmup}
    view = live.TrainingView()
    view.show(replace(START, sentences=300, epochs=epochs, settings=settings, **phases))
    view.show(replace(EVAL, mutual_information=0.1))
    (lesson,) = view.lessons()
    assert told in lesson
    assert ("few for its phases" in lesson) == (epochs < 16)
    assert ("too few for a code" in lesson) == (epochs >= 16)


def test_a_resumed_training_names_the_phases_until_they_are_over(capsys: pytest.CaptureFixture[str]) -> None:
    with live.TrainingView() as view:
        view.show(replace(START, step=899))
        view.show(replace(START, step=900))
    within, after = capsys.readouterr().err.splitlines()
    assert within.endswith("(the first 3 as an autoencoder, the next 6 of annealing), from step 899")
    assert after.endswith("40 epochs of 100 steps, from step 900")


def test_a_step_is_a_plain_line_when_it_is_due(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "PLAIN_SECONDS", 0.0)
    with live.TrainingView() as view:
        view.show(STEP)
    assert capsys.readouterr().err.startswith("epoch 1 (annealing)  step 10/4000  -ELBO 106.75 = 98.12 + KL 17.25 ")


def test_quiet_training_shows_only_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    display.settings.quiet = True
    with live.TrainingView() as view:
        for event in (
            START,
            STEP,
            EVAL,
            PlateauEvent(1, 0.1, 1),
            CollapseEvent(1, 0.01, 0.0, Settings()),
            CollapseEvent(2, 8.0, 0.01, Settings()),
        ):
            view.show(event)
        view.show(WarningEvent("odd \x1b[31m"))
    warnings = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in warnings] == ["warning", "hint", "warning", "warning"]
    assert "posterior is collapsing" in warnings[0]
    assert warnings[1] == "hint: a new run may try --min-rate 5, --word-dropout 0.25, --aggressive"
    assert warnings[3] == "warning: odd \\x1b[31m"


def test_the_live_table_fits_80_columns_and_keeps_all_epochs_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    display.settings.color = False
    monkeypatch.setattr(live, "REDRAW_SECONDS", 0.0)
    with live.TrainingView() as view:
        view.show(START)
        for epoch in range(1, 61):
            view.show(replace(STEP, epoch=epoch, step=epoch * 1000 - 500, steps=60_000))
            phase = "annealing" if epoch < 40 else ""
            view.show(replace(EVAL, epoch=epoch, step=epoch * 1000, best=epoch <= 3, phase=phase))
            screen = terminal.getvalue().split("\x1b[1A")[-1].splitlines()
            assert len(screen) <= 24
        view.show(CollapseEvent(60, 0.02, 0.01, Settings()))
        before = len(terminal.getvalue())
    lines = [line.rstrip() for line in terminal.getvalue().replace("\x1b[2K", "").replace("\x1b[?25l", "").splitlines()]
    assert [line for line in lines if len(line.rpartition("\x1b[1A")[2]) > 80] == []
    last = terminal.getvalue()[before:]
    for epoch in (1, 2, 4, 59, 60):
        assert f" {epoch} {epoch}000 " in " ".join(last.split())
    assert "3* " in last
    assert "2* " not in last
    assert all(name in terminal.getvalue() for _, name in epoch_table.COLUMNS)


def test_the_table_names_the_phase_of_each_row_and_says_what_it_means() -> None:
    view = live.TrainingView()
    phases = ("autoencoder", "annealing", "")
    for epoch, phase in enumerate(phases, 1):
        view.show(replace(EVAL, epoch=epoch, phase=phase, kl_weight=(epoch - 1) / 2, elbo_ppl=8.78e5))
    table = view.table(None)
    column = [short for _, short in epoch_table.COLUMNS].index("KL wt")
    assert list(table.columns[column].cells) == ["autoenc", "↗ 0.50", "1.00"]
    assert "autoenc" in str(table.caption)
    assert "↗" in str(table.caption)
    view.rows = view.rows[2:]
    assert view.table(None).caption is None
    view.rows = [replace(view.rows[0], phase="autoencoder", step=123456, rate=140.56, neg_elbo=171.8)]
    console = Console(width=80, file=io.StringIO())
    assert len(epoch_table.LEGEND) <= console.measure(view.table(None)).minimum <= 80


def test_the_best_epoch_stays_visible() -> None:
    view = live.TrainingView()
    for epoch in range(1, 31):
        view.show(replace(EVAL, epoch=epoch, best=epoch <= 3))
    assert list(view.table(5).columns[0].cells) == ["3*", "27 ", "28 ", "29 ", "30 "]
    view.show(replace(STEP, epoch=31))
    assert list(view.table(5).columns[0].cells) == ["3*", "28 ", "29 ", "30 ", "31 "]
    assert len(list(view.table(None).columns[0].cells)) == 31


def test_an_epoch_repeated_after_a_resume_is_shown_once() -> None:
    view = live.TrainingView()
    for epoch in (1, 2, 3, 2):
        view.show(replace(EVAL, epoch=epoch))
    assert [row.epoch for row in view.rows] == [1, 2]


def test_the_view_closes_when_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)

    def train() -> None:
        with live.TrainingView() as view:
            view.show(START)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert terminal.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is visible again


@pytest.mark.parametrize(
    ("seconds", "took"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (61.0, "1 min 1 s"), (3660.0, "1 h 1 min")]
)
def test_summary(seconds: float, took: str) -> None:
    text = remarks.summary(EndEvent("finished", 30, 3000, 12, 101.256, seconds))
    assert text == f"finished after 30 epochs, 3,000 steps, {took}; best epoch 12, validation -ELBO 101.26"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"objective.free_bits_total": 12.5}, ["12.5 free nats"]),
        ({"objective.free_bits_total": 100, "objective.free_bits_fade": 0.5}, ["100 free nats that fall to 0"]),
        ({"objective.free_bits": 0.25, "objective.free_bits_total": 0}, ["0.25 free nats a dimension"]),
        ({"objective.target_rate": 8}, []),
    ],
)
def test_free_nats_are_told_where_they_count(changed: dict[str, float], said: list[str]) -> None:
    text = remarks.sizes(replace(START, settings=layers.resolve(overrides=changed)))
    assert [part for part in text.split(", ") if "free nats" in part] == said


def hinted(settings: Settings, *, held: bool, **changed: Any) -> tuple[str, dict[str, Any]]:
    """The hint of a collapse, and the settings that it recommends."""
    start = replace(START, **{"sentences": 20_000, "settings": settings, **changed})
    hint = remarks.collapse_hint(start, CollapseEvent(2, 8.0 if held else 0.1, 0.01, settings))
    flags = {flag.names[0].partition("/")[0]: flag.key for flag in options.flags()}
    found = re.findall(r"(--[a-z-]+)(?: ([\d.]+))?", hint)
    return hint, {flags[name]: value or True for name, value in found}


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("preset", sorted(set(presets.names()) - {"lm"}))  # it has no code that could collapse
def test_the_hint_of_a_collapse_recommends_what_the_run_lacks(preset: str, held: bool) -> None:
    settings = layers.resolve(preset)
    hint, recommended = hinted(settings, held=held)
    assert recommended
    for key, value in recommended.items():
        now = functools.reduce(getattr, key.split("."), settings)
        assert not now, f"{key} is {now} already"
        assert layers.resolve(preset, overrides={key: value}) != settings
    assert ("carries no information" in hint) == held
    if held:
        assert not {"objective.min_rate", "objective.free_bits_total"} & recommended.keys()


def test_where_nothing_is_lacking_the_hint_is_a_smaller_decoder() -> None:
    everything = {"train.pretrain": 1, "objective.min_rate": 3, "model.word_dropout": 0.1, "train.aggressive": True}
    hint, recommended = hinted(layers.resolve(overrides=everything), held=False)
    assert list(recommended) == ["model.hidden_size"]
    assert hint == "a new run may try a smaller decoder: --hidden-size"


@pytest.mark.parametrize(("sentences", "said"), [(300, True), (20_000, False)])
def test_the_hint_of_a_collapse_on_few_sentences_asks_for_more(sentences: int, *, said: bool) -> None:
    hint, recommended = hinted(layers.resolve(), held=True, sentences=sentences)
    assert (
        "300 sentences may be too few for a code: some thousands of the same kind would help; a new run" in hint
    ) == said
    assert recommended


def test_the_hint_of_a_collapse_keeps_initial_weights_and_lets_free_bits_stay() -> None:
    begun = layers.resolve(overrides={"train.pretrain": 0, "objective.kl_schedule": "none"})
    assert "train.pretrain" in hinted(begun, held=False)[1]
    assert "train.pretrain" not in hinted(begun, held=False, initial=True)[1]
    fading = layers.resolve(overrides={"objective.free_bits_fade": 0.3})
    assert hinted(fading, held=False)[1]["objective.free_bits_fade"] == "1"
    assert "objective.free_bits_fade" not in hinted(layers.resolve(), held=False)[1]


def test_the_hint_says_nothing_of_a_code_that_one_sentence_cannot_measure() -> None:
    view = live.TrainingView()
    view.show(replace(START, valid_sentences=1, settings=layers.resolve()))
    view.show(replace(EVAL, mutual_information=0.0))
    assert view.lessons() == []


def test_the_autoencoder_like_preset_is_not_sent_to_itself() -> None:
    view = live.TrainingView()
    view.show(replace(START, settings=layers.resolve("autoencoder-like")))
    view.show(replace(EVAL, mutual_information=0.1))
    (lesson,) = view.lessons()
    assert "lm" in lesson
    assert "autoencoder-like" not in lesson


def test_counts_of_one_are_singular(capsys: pytest.CaptureFixture[str]) -> None:
    with live.TrainingView() as view:
        view.show(replace(START, threads=1, epochs=1, steps_per_epoch=1))
    assert "1 thread), 1 epoch of 1 step" in capsys.readouterr().err
    assert remarks.summary(EndEvent("stopped", 4, 1, 3, 101.256, 7.0)).startswith("stopped early, without a better")
