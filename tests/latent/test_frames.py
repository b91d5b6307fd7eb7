"""A table of pandas or Polars keeps its rows and gets the codes of a column of sentences beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae_cli.api import Model, load
from seqvae_cli.errors import UsageError

TEXTS = ["the cat sees the sea", None, "a dog likes it", " ", "my sister paints a red house"]
NAMES = ["mean_1", "mean_2", "mean_3", "mean_4"]


@pytest.fixture
def model(trained_home: Path) -> Model:
    assert trained_home.is_dir()
    return load("tiny-run")


@pytest.fixture(params=["pandas", "polars"])
def library(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param, reason=f"{request.param} is not installed")


def expected(model: Model) -> np.ndarray[Any, Any]:
    codes = np.full((5, 4), np.nan, np.float32)
    codes[[0, 2, 4]] = model.encode([TEXTS[0], TEXTS[2], TEXTS[4]])  # type: ignore[list-item]
    return codes


def test_codes_stand_beside_the_columns_row_by_row(model: Model, library: Any) -> None:
    frame = library.DataFrame({"stars": [5, 4, 3, 2, 1], "text": TEXTS})
    found = model.encode_frame(frame, "text")
    assert type(found) is library.DataFrame
    assert list(found.columns) == ["stars", "text", *NAMES]
    assert list(frame.columns) == ["stars", "text"], "the given table stays as it is"
    codes = found[NAMES].to_numpy()
    assert codes.dtype == np.float32
    np.testing.assert_array_equal(codes, expected(model))
    assert found["stars"].to_list() == frame["stars"].to_list()
    assert model.encode_frame(frame[:0], "text").shape == (0, 6)


def test_the_index_is_kept_if_its_values_repeat(model: Model) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"text": TEXTS}, index=[7, 7, 3, "a", 7])
    found = model.encode_frame(frame, "text")
    assert found.index.equals(frame.index)
    np.testing.assert_array_equal(found[NAMES].to_numpy(), expected(model))
    with pytest.raises(UsageError, match="several columns 'text'"):
        model.encode_frame(pandas.concat([frame, frame], axis=1), "text")


def test_a_missing_code_is_null_in_polars(model: Model) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.DataFrame({"text": TEXTS})
    assert model.encode_frame(frame, "text")["mean_4"].is_null().to_list() == [False, True, False, True, False]
    with pytest.raises(UsageError, match="LazyFrame"):
        model.encode_frame(frame.lazy(), "text")


def test_a_table_that_does_not_fit_is_refused(model: Model, library: Any) -> None:
    frame = library.DataFrame({"text": TEXTS, "stars": range(5)})
    for table, column, words in (
        (frame, "texts", "no column 'texts'"),
        (frame, "stars", "0 is not a sentence"),
        (frame["text"], "text", "the table is a Series"),
        (model.encode_frame(frame, "text"), "text", "a column 'mean_1' already"),
    ):
        with pytest.raises(UsageError, match=words):
            model.encode_frame(table, column)
    with pytest.raises(UsageError, match="a table is given"):
        model.encode(frame)
