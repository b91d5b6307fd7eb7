"""`seqvae train`: a corpus -> a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import display, progress
from seqvae_cli.cli.headings import DATA_AND_RUN
from seqvae_cli.cli.models import open_device
from seqvae_cli.cli.options import Json, complete_log, complete_preset, complete_run, one_of
from seqvae_cli.cli.settings import SettingsCommand, given
from seqvae_cli.cli.signals import stop_on_signals
from seqvae_cli.config import presets
from seqvae_cli.errors import UsageError
from seqvae_cli.system.processes import Processes, joined, of_environment

if TYPE_CHECKING:
    from seqvae_cli.data.corpus import Corpus

app = typer.Typer()


@app.command(cls=SettingsCommand, context_settings={"token_normalize_func": lambda name: name.replace("_", "-")})
def train(
    context: typer.Context,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Settings to start from: {', '.join(presets.names())}; `seqvae presets` says what each is for "
            "[default: default].",
            autocompletion=complete_preset,
            rich_help_panel=DATA_AND_RUN,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML settings over the preset's.", rich_help_panel=DATA_AND_RUN),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting, such as train.lr=0.002.",
            rich_help_panel=DATA_AND_RUN,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the run [default: CORPUS-PRESET-N].", rich_help_panel=DATA_AND_RUN),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|auto",
            help="Go on with a run; auto: the last one that was interrupted.",
            autocompletion=lambda incomplete: [*one_of("auto")(incomplete), *complete_run(incomplete)],
            rich_help_panel=DATA_AND_RUN,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Begin a new run with the weights, the model and the tokenizer of RUN, without pretraining and "
            "annealing; --data names another corpus, made by `seqvae prepare TEXT --tokenizer-of RUN`.",
            autocompletion=complete_run,
            rich_help_panel=DATA_AND_RUN,
        ),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Also log to RUN/logs/NAME, several times for several logs: "
            "tensorboard, wandb, mlflow or trackio, none of which sends anything by itself; a resumed run goes on "
            "with the logs it has.",
            autocompletion=complete_log,
            rich_help_panel=DATA_AND_RUN,
        ),
    ] = None,
    keep_schedule: Annotated[
        bool,
        typer.Option(
            "--keep-schedule",
            help="With --resume and other --epochs: the cosine of the learning rate and the cycles of the KL weight "
            "keep their length; a cosine then ends at a tenth of --lr, not at 0.",
            rich_help_panel=DATA_AND_RUN,
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Train a sentence VAE on a prepared corpus.

    Later layers of settings win: preset default, --preset, what follows from the corpus, --config, --set, flags. Ctrl-C
    saves a checkpoint and prints the command that goes on.

    Examples:

        seqvae train --data ptb --epochs 30
        seqvae train --preset seed --batch-size 64 --set objective.kl_warmup=5
        seqvae train --log tensorboard
        seqvae train --resume auto
    """
    display.settings.quiet |= bool(of_environment().rank)
    with progress.working("loading PyTorch"):
        from seqvae_cli.cli import remarks
        from seqvae_cli.cli.live import TrainingView
        from seqvae_cli.config import layers
        from seqvae_cli.data import corpus as corpora
        from seqvae_cli.logs import loggers
        from seqvae_cli.logs.logged import logged
        from seqvae_cli.runs import registry
        from seqvae_cli.training import session
        from seqvae_cli.training.events import EndEvent
        from seqvae_cli.training.initial import Initial

    with joined() as processes:
        if not processes.first:
            _follow(processes)
            return
        logs = loggers.check(log or [])
        overrides = _assignments(set_ or []) | given(context)
        epochs = precision = None
        if resume is not None:
            other = set(overrides) - {"train.epochs", "runtime.precision"}
            precision = overrides.get("runtime.precision")
            changed = config or init or name is not None or preset is not None
            if other or precision not in (None, "float32") or changed:
                hint = "only --epochs, --keep-schedule and --precision float32 may be given with --resume"
                raise UsageError("a resumed run keeps its settings", hint)
            run = registry.resumable() if resume == "auto" else registry.find(resume)
            if "train.epochs" in overrides:
                epochs = layers.resolve(overrides=overrides).train.epochs
            corpus = corpora.find(run.info["corpus"]["folder"])
            logs = list(dict.fromkeys([*loggers.begun(run.path), *logs]))
        else:
            if keep_schedule:
                raise UsageError("--keep-schedule goes with --resume and other --epochs", "leave it out")
            if "runtime.device" in overrides:
                open_device(str(overrides["runtime.device"]), processes)
            preset = "default" if preset is None else preset
            initial = Initial(registry.find(init, trained=True)) if init is not None else None
            settings, corpus = session.settle(preset, config, overrides, initial=initial)
            run = session.start(settings, corpus, preset=preset, name=name, initial=initial, processes=processes)
            if initial:
                display.say(f"begins with the weights of {initial.run.name}, step {initial.step}; {_unknown(corpus)}")
        display.detail(f"run folder: {run.path}")
        for log_name in logs:
            display.say(f"log: {loggers.view(run.path, log_name)}")
        end = None
        with stop_on_signals() as stop, TrainingView() as view:
            options: dict[str, Any] = {"epochs": epochs, "keep_schedule": keep_schedule, "precision": precision}
            # The generators have no other holder: where this loop is left, they end, and with them the run.
            for event in logged(
                session.fit(
                    run, corpus, resume=resume is not None, stop=lambda: bool(stop), processes=processes, **options
                ),
                run,
                logs,
            ):
                view.show(event)
                end = event
        assert isinstance(end, EndEvent)
        run = registry.find(run.name)
        if json:
            keys = ("status", "best_neg_elbo", "best_epoch", "epoch", "seconds")
            display.out_json({"run": run.name, "path": str(run.path)} | {key: run.info.get(key) for key in keys})
        elif display.settings.quiet:
            display.out(run.name)
        if end.reason == "complete":
            display.say(remarks.nothing_left(run.name, end.epoch, int(run.info["epochs"])))
            return
        display.say(f"{run.name}: {remarks.summary(end)}")
        for lesson in view.lessons() if not stop else []:
            display.say(lesson)
        display.say(f"run folder: {run.path}")
        if stop:
            display.comment(f"saved; to go on: seqvae train --resume {run.name}")
            raise typer.Exit(128 + stop[0])
        held_out = "" if corpus.sentences("test") else " --split valid"
        follow = [f"seqvae eval {run.name}{held_out}", f"seqvae sample {run.name}"]
        if layers.load(run.path / "config.yaml").model.latent_size:
            follow.append(f"seqvae interpolate --random -r {run.name}")
        display.say(f"next: {' · '.join(follow)}")


def _follow(processes: Processes) -> None:
    """What all processes but the first do: they train with it, and show nothing."""
    from seqvae_cli.training import session

    with stop_on_signals(say=False) as stop:
        session.follow(processes, lambda: bool(stop))
    if stop:
        raise typer.Exit(128 + stop[0])


def _unknown(corpus: Corpus) -> str:
    counts = corpus.info["splits"]["train"]
    share = counts["unknown"] / max(1, counts["words"])
    return f"{100 * share:.2f} % of the training words of {corpus.name} are unknown to it"


def _assignments(pairs: list[str]) -> dict[str, Any]:
    """The settings of `--set KEY=VALUE`, by dotted key. Raises `UsageError`."""
    from seqvae_cli.config import layers

    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE", "such as --set train.lr=0.002")
        try:
            values[key] = layers.scalar(text)
        except ValueError as error:
            raise UsageError(f"--set {pair!r}: the value cannot be read", "such as --set train.lr=0.002") from error
    return values
