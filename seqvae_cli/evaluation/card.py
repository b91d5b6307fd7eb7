"""The model card of a run: the README.md of its archive or repository, for those who get it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seqvae_cli.config import layers, options, presets
from seqvae_cli.data.catalog import CORPORA
from seqvae_cli.evaluation import compare, figures
from seqvae_cli.runs import loading
from seqvae_cli.runs.run import Run
from seqvae_cli.version import __version__

ORIGINS = {
    "init": "The training began with the weights of",
    "fitted_prior": "The prior was fitted after training, to the codes of",
}
"""What is said of the run that an entry of run.json names."""

LICENCE = "No licence is named here. Whoever shares this model adds the one that the text allows."

TEXT = """\
# {name}

{kind}, trained on `{corpus}`. Packed by seqvae {version}.

## Use

```sh
{fetch}
seqvae sample {name}
```

In Python: `seqvae_cli.load("{name}")`.

## Data

{data}

{licence}

## Settings

{settings}

## Figures

{figures}
"""


def card(run: Run, *, fetch: str = "", licence: str = "") -> str:
    """The card as Markdown: what the model is, its data, its settings, its figures, how to load it.

    fetch: the command that brings the run; by default that for its archive. licence: under which it is shared.

    The card depends on the run alone, and names nothing of this machine. Raises `CheckpointError` and `DataError` where
    the run is damaged.
    """
    settings, tokenizer = loading.load_settings_and_tokenizer(run)
    size = settings.model.latent_size
    outcome = compare.outcome(run, [])
    corpus = str(run.info["corpus"]["name"])
    known = CORPORA.get(corpus)
    return TEXT.format(
        name=run.name,
        fetch=fetch or f"seqvae runs import {run.name}.tar.gz",
        kind=f"A sentence VAE: a sentence is a code of {size} numbers" if size else "A language model of sentences",
        version=__version__,
        corpus=corpus,
        data=" ".join(_data(run, len(tokenizer))),
        licence="\n\n".join(_licence(known.licence if known else "", licence)),
        settings="\n".join(_settings(run, outcome.settings)),
        figures="\n".join(_figures(run, outcome.evaluations, size, tokenizer.has_words)),
    )


def _licence(of_corpus: str, given: str) -> Iterator[str]:
    if of_corpus or not given:
        yield of_corpus or LICENCE
    if given:
        yield f"Licence of the model: {given}."


def _data(run: Run, ids: int) -> Iterator[str]:
    sizes = run.info["corpus"].get("sentences")
    if isinstance(sizes, dict):  # a run of an earlier version has none
        yield f"Sentences: {', '.join(f'{split} {count}' for split, count in sizes.items())}."
    yield f"Ids of tokens: {ids}."
    yield f"SHA-256 of the prepared corpus: `{run.info['corpus']['hash']}`."


def _settings(run: Run, settings: dict[str, Any]) -> Iterator[str]:
    """The settings that differ from those of the preset, but for the corpus and the machine."""
    preset = next((name for name in presets.names() if name == run.info.get("preset")), "default")
    of_preset = options.values(layers.resolve(preset))
    for key, what in ORIGINS.items():
        if isinstance(origin := run.info.get(key), dict):
            yield from (f"{what} run `{origin.get('run')}`, step {origin.get('step')}.", "")
    yield from (f"| setting | value | preset `{preset}` |", "|---|---|---|")
    for key, value in settings.items():
        if key != "data" and not key.startswith("runtime.") and value != of_preset[key]:
            yield f"| `{key}` | {value} | {of_preset[key]} |"


def _figures(run: Run, evaluations: dict[str, dict[str, Any]], latent_size: int, has_words: bool) -> Iterator[str]:
    if run.info.get("best_neg_elbo") is not None:
        yield f"Lowest validation -ELBO: {run.info['best_neg_elbo']:.2f} nats a sentence.\n"
    if not evaluations:
        yield f"No evaluation is stored: `seqvae eval {run.name}` makes one."
    for split, evaluation in evaluations.items():
        finite = {key: value for key in evaluation if (value := compare.finite_figure(evaluation, key)) is not None}
        yield from (f"| {split} | value | unit |", "|---|---|---|")
        for label, value, unit in figures.rows(finite, latent_size=latent_size, has_words=has_words):
            yield f"| {label.strip()} | {_shown(value)} | {unit} |"
        yield f"\nSignature: `{evaluation['signature']}`\n"


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:z.2f}" if abs(value) < 1e6 else f"{value:.4g}"
