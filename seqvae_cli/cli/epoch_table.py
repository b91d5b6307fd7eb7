"""The table of a training: a row an epoch, in as many columns as the terminal has room for.

Losses are nats a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqvae_cli.evaluation.figures import FIGURES
from seqvae_cli.training.events import EvalEvent, StepEvent
from seqvae_cli.training.schedule import ANNEALING, AUTOENCODER

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    ("epoch", "epoch"),
    ("step", "step"),
    ("tokens/s", "tok/s"),
    ("learning rate", "lr"),
    ("KL weight", "KL wt"),
    *((FIGURES[key].name, FIGURES[key].short) for key in ("distortion", "rate", "neg_elbo")),
    ("validation -ELBO", "val"),
    (FIGURES["elbo_ppl"].name, FIGURES["elbo_ppl"].short),
    *((FIGURES[key].label, FIGURES[key].short) for key in ("mutual_information", "active_units")),
)

OPTIONAL = ("lr", "step", "MI", "tok/s", "AU", "KL wt", "recon", "PPL")
"""Short names of the columns in the order in which a narrow terminal loses them: a number is never cut."""

PHASES = {AUTOENCODER: "autoenc", ANNEALING: "↗ {:.2f}", "": "{:.2f}"}
"""What the column of the KL weight shows in each phase."""

LEGEND = "autoenc: no KL yet · ↗: the KL weight rises"


@dataclass(frozen=True)
class Row:
    """One row of the table: training losses in nats a sentence; `validation` is the -ELBO at KL weight 1."""

    epoch: int
    step: int
    tokens_per_second: float
    learning_rate: float
    phase: str
    kl_weight: float
    distortion: float
    rate: float
    neg_elbo: float
    validation: float | None = None
    perplexity: float | None = None
    mutual_information: float | None = None
    active_units: int | None = None
    validation_rate: float | None = None

    @classmethod
    def of(cls, event: StepEvent | EvalEvent) -> Row:
        head = event.epoch, event.step, event.tokens_per_second, event.learning_rate, event.phase, event.kl_weight
        if isinstance(event, StepEvent):
            return cls(*head, event.distortion, event.rate, event.neg_elbo)
        trained = (event.train_distortion, event.train_rate, event.train_neg_elbo)
        validated = event.neg_elbo, event.elbo_ppl, event.mutual_information
        return cls(*head, *trained, *validated, event.active_units, event.rate)

    def cells(self, best: bool) -> list[str]:
        return [
            f"{self.epoch}{'*' if best else ' '}",
            str(self.step),
            speed(self.tokens_per_second),
            f"{self.learning_rate:.2g}",
            PHASES.get(self.phase, PHASES[""]).format(self.kl_weight),
            *(f"{value:z.2f}" for value in (self.distortion, self.rate, self.neg_elbo)),
            "" if self.validation is None else f"{self.validation:.2f}",
            "" if self.perplexity is None else _shortest(self.perplexity),
            "" if self.mutual_information is None else f"{self.mutual_information:z.1f}",
            "" if self.active_units is None else str(self.active_units),
        ]


def table(rows: Sequence[Row], best: Sequence[bool], width: int) -> Table:
    """The rows, the `best` one green and with a star, in `width` columns of a terminal."""
    from rich import box
    from rich.table import Table

    cells = [row.cells(is_best) for row, is_best in zip(rows, best, strict=True)]
    names = fitting(cells, width)
    legend = LEGEND if any(row.phase for row in rows) else None
    made = Table(box=box.SIMPLE_HEAD, padding=0, caption=legend, caption_justify="left")
    for name in names.values():
        made.add_column(name, justify="right", no_wrap=True)
    for values, is_best in zip(cells, best, strict=True):
        made.add_row(*(values[place] for place in names), style="bold green" if is_best else "")
    return made


def fitting(cells: list[list[str]], width: int) -> dict[int, str]:
    """Place -> name of the columns that fit: the full names, else the short ones, without `OPTIONAL` as needed."""
    sizes = [max(map(len, values)) for values in zip(*cells, strict=True)] if cells else [0] * len(COLUMNS)

    def fits(names: dict[int, str]) -> bool:
        return sum(max(sizes[place], len(name)) + 1 for place, name in names.items()) < width

    full = {place: name for place, (name, _) in enumerate(COLUMNS)}
    if fits(full):
        return full
    names = {place: short for place, (_, short) in enumerate(COLUMNS)}
    for dropped in OPTIONAL:
        if fits(names):
            break
        names = {place: short for place, short in names.items() if short != dropped}
    return names


def speed(tokens_per_second: float) -> str:
    """Such as 850 or 12.3k."""
    return f"{tokens_per_second / 1000:.1f}k" if tokens_per_second >= 1000 else f"{tokens_per_second:.0f}"


def _shortest(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.0f}" if value < 1e5 else f"{value:.0e}"
