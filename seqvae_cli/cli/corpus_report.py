"""What `prepare` says of a corpus: its table, its findings, and what was decided about its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqvae_cli.cli import display
from seqvae_cli.errors import counted

if TYPE_CHECKING:
    from seqvae_cli.data.build import Prepared
    from seqvae_cli.data.corpus import Corpus


def _warn_of_findings(corpus: Corpus) -> None:
    """Warns of what is odd about a corpus, each in two lines of 80 columns."""
    from seqvae_cli.cli import tables

    for finding in corpus.findings:
        example = tables.shortened(finding.example, 80 - len(f'warning: {finding.text}: ""'))
        display.warn(f'{finding.text}: "{example}"' if example else finding.text, finding.advice)


def say_layout(recipe: dict[str, Any], given: dict[str, Any]) -> None:
    """Says what was decided about the text where that was left open."""
    if given.get("sentences") == "auto":
        display.say(f"sentences: {recipe.get('sentences', 'line')} (--sentences says otherwise)")
    if "language" in recipe and "language" not in given:
        display.say(f"language: {recipe['language']} (guessed; --language says otherwise)")


def report(prepared: Prepared, json: bool) -> None:
    from seqvae_cli.config.adapt import SCARCE  # loads pydantic

    corpus = prepared.corpus
    info = corpus.info
    if json:
        findings = [finding.to_json() for finding in corpus.findings]
        place = {"folder": corpus.path.name, "path": str(corpus.path), "fresh": prepared.fresh}
        display.out_json({**info, "findings": findings, **place})
        _warn_of_findings(corpus)
        return
    columns = ["split", "sentences", "tokens", "types", "unk %", "p50", "p90", "p99", "max", "cut", "dropped"]
    rows = []
    for split, counts in info["splits"].items():
        lengths = counts["lengths"]
        unknown = 100 * counts["unknown"] / max(1, counts["words"])
        dropped = counts["too_long"] + counts["empty"]
        rows.append(
            [split, counts["sentences"], counts["tokens"], info["types"] if split == "train" else None, unknown]
            + [lengths[key] for key in ("p50", "p90", "p99", "max")]
            + [counts["truncated"], dropped]
        )
    pieces = f"{corpus.tokenizer.noun}s"
    note = f"tokens: with <eos>; p50 to max: {pieces} a sentence; cut: truncated; dropped: blank or over-long"
    display.table(str(info["name"]), columns, rows, note=note, optional=["p90", "p50", "types"])
    entropy = f", entropy {corpus.entropy:.2f} nats a sentence" if corpus.entropy is not None else ""
    if repeated := info["splits"]["train"].get("repeated"):
        display.say(f"{counted(repeated, 'repeated sentence')} left out")
    done = "prepared" if prepared.fresh else "was prepared already"
    display.say(f"{corpus.path.name} {done}: {len(corpus.tokenizer):,} ids with the special ones{entropy}")
    if records := _told(info):
        display.say(records)
    _warn_of_findings(corpus)
    if 0 < (sentences := corpus.sentences("train")) < SCARCE:
        display.say(f"{counted(sentences, 'training sentence')} may be too few for a code; --preset lm has none")
    if not corpus.sentences("valid"):
        display.warn("valid has no sentences, and a training needs some", "--valid FILE, or a higher --valid-fraction")
        return
    display.say(f"next: seqvae train --data {info['name']}{_outlook(corpus)}")


def _outlook(corpus: Corpus) -> str:
    """What a training with the default takes; empty where a split that it needs is missing."""
    from seqvae_cli.training import forecast

    if not (corpus.sentences("train") and corpus.sentences("valid")):
        return ""
    settings, seconds = forecast.of_default(corpus)
    return f" ({counted(settings.train.epochs, 'epoch')}, {about(seconds)} on this CPU at most)"


def about(seconds: float) -> str:
    """A rough duration: `about 40 s`, `about 3 min`, `about 2 h`."""
    if seconds < 90:
        return f"about {10 * max(1, round(seconds / 10))} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {round(seconds / 3600)} h"


def _told(info: dict[str, Any]) -> str:
    """What was read beside the sentences, in a line; empty for text without labels."""
    parts = [f"text: {info['text']}"] if info.get("text") else []
    if info.get("labels"):
        parts.append(f"labels: {', '.join(info['labels'])}")
    if info.get("ids"):
        parts.append("with ids")
    if joined := info.get("joined"):
        parts.append(f"{counted(joined, 'text')} of several lines, joined by spaces")
    return "; ".join(parts)
