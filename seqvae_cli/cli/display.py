"""Output to the user: the answer on stdout, all commentary on stderr.

`out`, `out_row`, `out_json`, `out_jsonl` and `table` write the answer; `say`, `warn`, `detail` and `progress` write
commentary and ignore a broken stderr. Animation and colour appear only on a terminal; elsewhere output is plain lines.
Functions import Rich where they use it, so that importing this module is cheap.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from seqvae_cli.system.progress import Advance

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_SECONDS = 10.0
"""Seconds between two lines of progress where stderr is not a terminal."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass
class Settings:
    """The options common to all commands; `app` sets them before the command runs."""

    quiet: bool = False
    verbose: bool = False
    color: bool = True
    debug: bool = False


settings = Settings()


def safe(text: str) -> str:
    """`text` with control characters and line breaks written as escapes (`\\x1b`)."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def pretty(stream: IO[str]) -> bool:
    """Whether `stream` is a terminal that supports more than plain lines."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def colored(stream: IO[str]) -> bool:
    """Whether to colour `stream`: a terminal, without `--no-color` and `NO_COLOR`."""
    return settings.color and not os.environ.get("NO_COLOR") and pretty(stream)


def console(stream: IO[str]) -> Console:
    """A Rich console on `stream` that follows `pretty` and `colored` and no other environment variable."""
    from rich.console import Console

    terminal = pretty(stream)
    return Console(
        file=stream,
        force_terminal=terminal,
        force_jupyter=False,
        force_interactive=terminal,
        color_system="auto" if colored(stream) else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def out(text: str) -> None:
    """One line of the answer: `text` and a newline on stdout, neither wrapped nor cut.

    Newlines inside `text` are escaped; on a terminal, so are all other control characters but the tab.
    """
    if sys.stdout.isatty():
        text = "\t".join(map(safe, text.split("\t")))
    elif "\n" in text or "\r" in text:
        text = text.replace("\n", "\\n").replace("\r", "\\r")
    sys.stdout.write(text + "\n")


def out_prose(text: str) -> None:
    """Sentences of the answer in one line; on a terminal wrapped at words to its width."""
    if not pretty(sys.stdout):
        out(text)
        return
    for line in _wrapped(text, console(sys.stdout).width):
        out(line)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def out_row(values: Sequence[str]) -> None:
    """One row of the answer in columns: `tsv_row`; on a terminal without quotes, control characters escaped."""
    sys.stdout.write("\t".join(map(safe, values)) + "\n" if sys.stdout.isatty() else tsv_row(values))


def tsv_row(values: Sequence[str]) -> str:
    """A line of TSV that `csv.reader(file, "excel-tab")` and `pandas.read_csv(file, sep="\\t")` read back unchanged.

    A value with a tab, a quote or a line end is quoted, and quotes in it are doubled.
    """
    buffer = io.StringIO()
    csv.writer(buffer, "excel-tab").writerow(values)  # with its own "\r\n", so that it quotes both characters
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def out_json(value: Any) -> None:
    """The answer as one indented JSON document. Raises `ValueError` on NaN and infinity, which JSON lacks."""
    sys.stdout.write(_json(value, indent=2) + "\n")


def out_jsonl(value: Any) -> None:
    """One row of an answer in JSON Lines. Raises `ValueError` on NaN and infinity, which JSON lacks."""
    sys.stdout.write(_json(value, indent=None) + "\n")


def comment(text: str, head: str = "") -> None:
    """Writes `head`, which may hold colour codes, and the escaped lines of `text` to stderr, even with `--quiet`."""
    lines = [safe(line) for line in text.split("\n")]
    # A closed pipe or terminal on stderr must not end a training.
    with suppress(OSError):
        sys.stderr.write(head + "\n".join(lines) + "\n")
        sys.stderr.flush()


def say(text: str) -> None:
    """Commentary on stderr, unless `--quiet`."""
    if not settings.quiet:
        comment(text)


def detail(text: str) -> None:
    """Commentary on stderr, only with `--verbose`."""
    if settings.verbose:
        comment(text)


def warn(text: str, hint: str = "") -> None:
    """A warning on stderr, even with `--quiet`, and in `hint` the remedy."""
    notice("warning", text, "yellow")
    if hint:
        notice("hint", hint, "cyan")


def notice(label: str, text: str, color: str) -> None:
    """One line `label: text` on stderr: the label in `color` on a terminal, the text escaped by `safe`."""
    codes = {"red": "31", "yellow": "33", "cyan": "36"}
    head = f"\x1b[1;{codes[color]}m{label}:\x1b[0m" if colored(sys.stderr) else f"{label}:"
    comment(safe(text), head + " ")


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    answer: bool = True,
    note: str = "",
    optional: Sequence[str] = (),
    sideways: bool = False,
) -> None:
    """Rows under named columns: the answer on stdout, or commentary on stderr (`answer=False`).

    On a terminal: with `title` above and `note` below, in its width; `optional` columns are left out, in that order,
    if the table is too wide (see `tables`). Elsewhere: aligned plain text with column names, all columns, no title.
    Numbers are right-aligned, None is `-`, floats have two decimals. `sideways`: rows are shown as columns, on a
    terminal where there is room.
    """
    from seqvae_cli.cli import tables

    stream = sys.stdout if answer else sys.stderr
    if not answer and settings.quiet:
        return
    cells, columns = [[_cell(value) for value in row] for row in rows], [safe(name) for name in columns]
    width = console(stream).width if pretty(stream) else None
    if sideways:
        turned = list(zip(columns, *cells, strict=True))
        if width is None or tables.fitting_widths(turned[0], turned[1:], width):
            columns, cells = list(turned[0]), [list(row) for row in turned[1:]]
    with suppress(*(() if answer else (OSError,))):
        if width is None:
            stream.writelines(f"{line}\n" for line in tables.plain(columns, cells))
            return
        lines, heading = tables.fitted(columns, cells, width, [safe(name) for name in optional])
        bold, thin, end = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if colored(stream) else ("", "", "")
        heads = _wrapped(safe(title), width)
        stream.writelines(["\n" * bool(title), *(f"{bold}{line}{end}\n" for line in heads)])
        for place, line in enumerate(lines):
            stream.write(f"{bold}{line}{end}\n" if place < heading else f"{line}\n")
        for line in _wrapped(safe(note), width):
            stream.write(f"{thin}{line}{end}\n")


class Pace:
    """Limits plain lines to one every `seconds`, the first after `seconds`."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.clock = clock
        self.last = clock()

    def due(self) -> bool:
        """Whether a line is due; restarts the interval if so."""
        now = self.clock()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


@contextmanager
def progress(description: str, total: int | None = None, unit: str = "items") -> Iterator[Advance]:
    """Progress on stderr; yields a function to call with the number of units just done.

    `unit` is `bytes`, shown as kB, MB and so on, or any plural noun. `total` is None where it is unknown.
    """
    if settings.quiet:
        yield lambda _: None
    elif pretty(sys.stderr):
        with bar(description, total, unit) as advance:
            yield advance
    else:
        done, pace = 0, Pace(PLAIN_SECONDS)

        def advance_plainly(amount: int) -> None:
            nonlocal done
            done += amount
            if pace.due():
                of = f" of {quantity(total, unit)} ({100 * done // total}%)" if total else ""
                comment(safe(f"{description}: {quantity(done, unit)}{of}"))

        yield advance_plainly


@contextmanager
def bar(description: str, total: int | None, unit: str) -> Iterator[Advance]:
    """A bar of progress on the terminal that stderr is; the arguments are those of `progress`."""
    from rich import progress as bars

    amount: bars.ProgressColumn = bars.DownloadColumn() if unit == "bytes" else bars.MofNCompleteColumn()
    name = bars.TextColumn("{task.description}", markup=False)
    columns = [name, bars.BarColumn(), amount, bars.TimeRemainingColumn()]
    if unit != "bytes":
        columns.insert(3, bars.TextColumn(safe(unit), markup=False))
    # By default Rich redirects stdout, the answer, to stderr.
    with bars.Progress(*columns, console=console(sys.stderr), transient=True, redirect_stdout=False) as drawn:
        task = drawn.add_task(safe(description), total=total)
        yield lambda count: drawn.advance(task, count)


def _json(value: Any, indent: int | None) -> str:
    ascii_only = (sys.stdout.encoding or "ascii").lower().replace("-", "") != "utf8"
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    return _CONTROL.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:z.2f}" if abs(value) < 1e6 else f"{value:.4g}"
    return safe(str(value))


def quantity(count: int, unit: str) -> str:
    """`12.3 MB` where `unit` is `bytes`, else `1,234 sentences`."""
    if unit != "bytes":
        return f"{count:,} {unit}"
    value, name = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, name = value / 1000, larger
    return f"{count} B" if name == "B" else f"{value:.1f} {name}"
