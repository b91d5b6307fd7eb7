"""Tables of pandas and Polars: a column of sentences, and beside it the columns of their codes.

A table is known by the package of its class, which is imported only where such a table is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqvae_cli.errors import UsageError, nearest
from seqvae_cli.latent.text_model import Code, TextModel


class FrameModel(TextModel):
    """What a model does with tables."""

    def encode_frame(self, frame: Any, column: str) -> Any:
        """A copy of a table with the posterior means of a column of sentences beside its own: mean_1 to mean_L.

        frame: a DataFrame of pandas or Polars, N rows; they keep their order and index. The new columns are float32. A
        missing value, and a sentence without words, has a row of NaN in pandas, of null in Polars.

        Raises `UsageError` for anything else, for a column that it lacks, and where one of the new names is taken.
        """
        self.require_latent()
        names = code_names(self.latent_size)
        library = _library(frame)
        _check_columns(list(frame.columns), column, names)
        texts = ("" if text is None else text for text in library.texts(frame[column]))
        codes = np.full((len(frame), self.latent_size), np.nan, np.float32)
        for row, (_, found) in zip(codes, self.encode_stream(texts), strict=True):
            if found is not None:
                row[:] = found.mean
        return library.beside(frame, codes, names)


class Library(NamedTuple):
    """How the tables of a package are read and made."""

    texts: Callable[[Any], Iterator[Any]]
    """A column -> its values; None for a missing one."""
    beside: Callable[[Any, Code, list[str]], Any]
    """A table of N rows, numbers [N, L] and L names -> the table with these columns at its end."""


def _pandas_texts(column: Any) -> Iterator[Any]:
    return (None if missing else value for value, missing in zip(column, column.isna(), strict=True))


def _beside_pandas(frame: Any, codes: Code, names: list[str]) -> Any:
    import pandas

    return pandas.concat([frame, pandas.DataFrame(codes, index=frame.index, columns=names)], axis=1)


def _beside_polars(frame: Any, codes: Code, names: list[str]) -> Any:
    import polars

    return frame.hstack(polars.from_numpy(codes, schema=names).fill_nan(None))


LIBRARIES = {"pandas": Library(_pandas_texts, _beside_pandas), "polars": Library(iter, _beside_polars)}


def code_names(size: int, kind: str = "mean") -> list[str]:
    """The names of the L columns of a code: mean_1 to mean_L."""
    return [f"{kind}_{number}" for number in range(1, size + 1)]


def _library(frame: Any) -> Library:
    """Raises `UsageError` for anything but a DataFrame of pandas or Polars."""
    kind = type(frame)
    if kind.__name__ == "LazyFrame":
        raise UsageError("the table is a LazyFrame, which has no rows yet", "call its collect() first")
    found = LIBRARIES.get(kind.__module__.partition(".")[0])
    if found is None or not hasattr(frame, "columns"):
        raise UsageError(f"the table is a {kind.__name__}", "give a DataFrame of pandas or Polars")
    return found


def _check_columns(columns: Sequence[Any], column: str, names: Sequence[str]) -> None:
    if columns.count(column) != 1:
        if column in columns:
            raise UsageError(f"the table has several columns {column!r}", "rename them")
        raise UsageError(f"the table has no column {column!r:.40}", nearest(str(column), map(str, columns)))
    if taken := [name for name in names if name in columns]:
        raise UsageError(f"the table has a column {taken[0]!r} already", "drop or rename it")
