"""Learning curves in ASCII, for the terminal; `pictures` draws the same panels with matplotlib."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence

from seqvae_cli.plotting import curves
from seqvae_cli.plotting.curves import History, Panel, Point, Runs

LETTERS = "ABCDEFGH"
SIDE_BY_SIDE = 70
"""Columns that two panels side by side need."""
KEY = f"{curves.UNIT}; capital: validation; small: training; *: best; ^v<>: beyond"


def draw_text(
    runs: Runs, panels: Sequence[str] = tuple(curves.PANELS), *, width: int = 80, height: int = 23
) -> list[str]:
    """The named panels in ASCII: lines of at most `width` characters (at least 24), about `height` of them.

    Each run has a letter: capitals, joined by dots, are its validation points, small letters training. Several panels
    in a single column take more lines than `height`.

    Raises `DataError` for an empty panel.
    """
    across = 2 if len(panels) > 1 and width >= SIDE_BY_SIDE else 1
    names = "   ".join(f"{letter}={name}" for letter, name in zip(LETTERS, runs, strict=False))
    phases = "; ".join(
        f"{letter}: {_phases(run)}" for letter, run in zip(LETTERS, runs.values(), strict=False) if run.phases
    )
    key = KEY + (
        f"; -: {curves.entropy_label(runs)}"
        if any(curves.entropies(runs, curves.PANELS[name]) for name in panels)
        else ""
    )
    parts = (names, phases, key)
    below = [line for part in parts for line in textwrap.wrap(part, width, break_on_hyphens=False)]
    room = (height - len(below)) // math.ceil(len(panels) / across)
    if across == 1 < len(panels):
        room = 12
    columns = max((width - 3 * (across - 1)) // across, 24)
    blocks = [_block(runs, curves.PANELS[name], columns, max(room, 8)) for name in panels]
    lines = []
    for start in range(0, len(blocks), across):
        rows = zip(*blocks[start : start + across], strict=True)
        lines += ["   ".join(parts).rstrip() for parts in rows]
    return [*lines, *below]


def _phases(run: History) -> str:
    """The phases of a run in words: `autoencoder pretraining to epoch 3, KL annealing to epoch 9`."""
    ends: dict[str, list[str]] = {}
    for phase in run.phases:
        ends.setdefault(curves.PHASES[phase.name], []).append(f"{round(phase.end, 2):g}")
    return ", ".join(f"{name} to epoch {', '.join(found)}" for name, found in ends.items())


def _block(runs: Runs, panel: Panel, width: int, height: int) -> list[str]:
    """A panel of exactly `height` lines of `width` characters."""
    by_split = curves.panel_curves(runs, panel)
    ranges = curves.axis_ranges(by_split, runs, panel, 0)
    top, bottom = (f"{limit:.4g}" for limit in reversed(ranges[1]))
    gutter = max(7, len(top), len(bottom))
    columns, rows = width - gutter - 1, height - 3
    cells = [[" "] * columns for _ in range(rows)]

    def put(point: Point, mark: str) -> None:
        x, y = (
            (curves.clamped(value, limits) - limits[0]) / (limits[1] - limits[0])
            for value, limits in zip(point, ranges, strict=True)
        )
        cells[round((1 - y) * (rows - 1))][round(x * (columns - 1))] = mark

    for entropy in curves.entropies(runs, panel):
        for step in range(columns):
            put((ranges[0][0] + (ranges[0][1] - ranges[0][0]) * step / (columns - 1), entropy), "-")
    for points in by_split[""]:
        for first, second in itertools.pairwise(points):
            for step in range(columns if curves.is_drawable(first) and curves.is_drawable(second) else 0):
                x, y = (a + (b - a) * step / columns for a, b in zip(first, second, strict=True))
                put((x, y), ".")
    outside = [point for group in by_split.values() for points in group for point in curves.off_scale(points, ranges)]
    for point in outside:  # before the points, which must not be covered
        put(point, curves.edge_marker(point, ranges))
    for split in reversed(curves.SPLITS):
        for letter, points in zip(LETTERS, by_split[split], strict=False):
            for point in points:
                if curves.is_drawable(point) and not curves.off_scale([point], ranges):
                    put(point, letter.lower() if split else letter)
    for run, points in zip(runs.values(), by_split[""], strict=True):
        if best := curves.best_point(run, points):
            put(best, "*")
    sides = {0: top, rows - 1: bottom}
    low, high = (f"{value:.4g}" for value in ranges[0])
    note = curves.off_scale_note(outside, ranges)
    if len(panel.title) + 2 + len(note) > width:
        note = ""
    foot = low + curves.LABELS[panel.x].center(columns - len(low) - len(high)) + high
    return [
        (panel.title + note.rjust(width - len(panel.title)))[:width],
        *(f"{sides.get(index, ''):>{gutter}}|{''.join(row)}" for index, row in enumerate(cells)),
        " " * gutter + "+" + "-" * columns,
        " " * (gutter + 1) + foot[:columns].ljust(columns),
    ]
