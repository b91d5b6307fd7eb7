"""`seqvae runs`: the run folders on this machine."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqvae_cli.cli import display
from seqvae_cli.cli.commands.runs.archive import export, import_
from seqvae_cli.cli.commands.runs.compare import BEST_HELP, best, compare
from seqvae_cli.cli.commands.runs.doctor import doctor
from seqvae_cli.cli.commands.runs.formatting import setting, table, tags, when
from seqvae_cli.cli.commands.runs.hub import pull, push
from seqvae_cli.cli.commands.runs.plot import plot
from seqvae_cli.cli.commands.runs.trash import restore, rm, show_trash
from seqvae_cli.cli.commands.runs.watch import watch
from seqvae_cli.cli.options import Json, RequiredRun, RunArgument, complete_tag
from seqvae_cli.evaluation.figures import FIGURES

if TYPE_CHECKING:
    from seqvae_cli.runs.run import Run

app = typer.Typer(
    help="List, show, compare, watch, tag, plot, move and check runs.\n\nExample:\n\n    seqvae runs list",
    no_args_is_help=True,
)


@app.command("list")
def list_(
    trash: Annotated[bool, typer.Option("--trash", help="List what `runs rm` has moved to the trash.")] = False,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="Only runs with this tag.", autocompletion=complete_tag)
    ] = None,
    json: Json = False,
) -> None:
    """List all runs, oldest first.

    Examples:

        seqvae runs list
        seqvae runs list --tag paper --json | jq -r .run
    """
    from seqvae_cli.runs import registry
    from seqvae_cli.runs.run import check_tag

    if tag is not None:
        check_tag(tag)
    if trash:
        show_trash(tag, json)
        return
    runs, damaged = registry.runs()
    for name, reason in damaged:
        display.warn(f"run {display.safe(name)} cannot be read: {reason}")
    tagged = [(run, run_tags) for run in runs if tag in (run_tags := tags(run.path)) or tag is None]
    if json:
        for run, run_tags in tagged:
            display.out_jsonl(_summary(run, run_tags))
        return
    if not tagged:
        display.say(f"no run is tagged {tag}" if runs else "there is no run yet: seqvae train")
        return
    columns = ["run", "status", "corpus", "epoch", "val -ELBO", "tags", "created"]
    corpora = {run.info["corpus"]["hash"]: run.info["corpus"] for run, _ in tagged}
    named = Counter(corpus["name"] for corpus in corpora.values())
    rows = [
        [
            run.name,
            run.status,
            run.info["corpus"]["name" if named[run.info["corpus"]["name"]] == 1 else "folder"],
            run.info.get("epoch"),
            run.info.get("best_neg_elbo"),
            ", ".join(run_tags),
            when(run.info["created"]),
        ]
        for run, run_tags in tagged
    ]
    table(columns, rows, optional=["created", "tags", "corpus"])


@app.command()
def show(run: RunArgument = None, json: Json = False) -> None:
    """Show a run: its status, settings and epochs.

    Examples:

        seqvae runs show
        seqvae runs show ptb-default-1 --json | jq .settings.train.lr
    """
    from seqvae_cli.config import options
    from seqvae_cli.runs import loading, registry

    found = registry.find("latest" if run is None else run)
    settings, _ = loading.load_settings_and_tokenizer(found)
    metrics, run_tags = found.metrics(), tags(found.path)
    if json:
        display.out_json(_summary(found, run_tags) | {"settings": settings.model_dump(), "metrics": metrics})
        return
    summary = _summary(found, run_tags) | {"created": when(found.info["created"]), "tags": ", ".join(run_tags) or None}
    summary |= {key: _origin(summary[key]) for key in ("init", "fitted_prior")}
    flat = [(key, value) for key, value in summary.items() if value is not None]
    flat += [(key, _value(settings.model_dump(), key)) for key, _ in options.fields()]
    display.table("", ["", "value"], flat)
    if metrics:
        shown = ("distortion", "rate", "neg_elbo", "elbo_ppl", "mutual_information", "active_units")
        columns = ["epoch", "KL wt", *(FIGURES[key].short for key in shown), "best"]
        best = found.info.get("best_epoch")
        rows = [
            [*map(line.get, ("epoch", "kl_weight", *shown)), "*" if line.get("epoch") == best else ""]
            for line in metrics
        ]
        display.out("")
        display.table("validation", columns, rows)


def path(run: RunArgument = None, json: Json = False) -> None:
    """Print the folder of a run.

    Example:

        cat "$(seqvae runs path latest)/metrics.jsonl"
    """
    from seqvae_cli.runs import registry

    found = registry.find("latest" if run is None else run)
    if json:
        display.out_json({"run": found.name, "path": str(found.path)})
    else:
        display.out(str(found.path))


def tag(
    run: RequiredRun,
    tags: Annotated[
        list[str], typer.Argument(metavar="TAG", help="Tags to add, or to remove.", autocompletion=complete_tag)
    ],
    remove: Annotated[bool, typer.Option("--remove", help="Remove these tags.")] = False,
    json: Json = False,
) -> None:
    """Tag a run and print all its tags, one a line.

    A tag is 1 to 100 lower-case letters, digits, '.', '_' and '-', a letter or digit first.

    Examples:

        seqvae runs tag latest baseline paper
        seqvae runs tag latest paper --remove
    """
    from seqvae_cli.runs import registry

    found = registry.find(run)
    remaining = found.tag(remove=tags) if remove else found.tag(add=tags)
    if json:
        display.out_json({"run": found.name, "tags": remaining})
    else:
        for name in remaining:
            display.out(name)


def _summary(run: Run, run_tags: list[str]) -> dict[str, Any]:
    info = run.info
    return {
        "run": run.name,
        "status": run.status,
        "tags": run_tags,
        "corpus": info["corpus"]["folder"],
        "created": info["created"],
        "epoch": info.get("epoch"),
        "epochs": info.get("epochs"),
        "best_epoch": info.get("best_epoch"),
        "best_neg_elbo": info.get("best_neg_elbo"),
        "seconds": info.get("seconds"),
        "device": info.get("device"),
        "precision": info.get("precision"),
        "threads": info.get("threads"),
        "failure": info.get("failure"),
        "init": info.get("init"),
        "fitted_prior": info.get("fitted_prior"),
        "path": str(run.path),
    }


def _origin(found: Any) -> str | None:
    """The run and the step that an entry of run.json names."""
    return f"{found.get('run')}, step {found.get('step')}" if isinstance(found, dict) else None


def _value(settings: dict[str, Any], key: str) -> Any:
    """The setting under a dotted key, such as `train.lr`."""
    value: Any = settings
    for part in key.split("."):
        value = value[part]
    return setting(value)


app.command()(compare)
app.command(help=BEST_HELP)(best)
app.command()(watch)
app.command()(tag)
app.command()(rm)
app.command()(restore)
app.command()(path)
app.command()(plot)
app.command()(export)
app.command("import")(import_)
app.command()(push)
app.command()(pull)
app.command()(doctor)
