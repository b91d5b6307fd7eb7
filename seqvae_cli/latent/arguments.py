"""Checks of what callers of a model give: sentences, codes, counts, strategies. All raise `UsageError`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from seqvae_cli.data.windows import Pause
from seqvae_cli.errors import UsageError
from seqvae_cli.latent.codes import LARGEST
from seqvae_cli.latent.strategy import Strategy

T = TypeVar("T")


def check_text(text: object) -> str:
    """Raises `UsageError` for anything but a string."""
    if not isinstance(text, str):
        raise UsageError(f"{_short(text)} is not a sentence", "a sentence is a str")
    return text


@overload
def check_sentences(sentences: Iterable[str]) -> Iterator[str]: ...
@overload
def check_sentences(sentences: Iterable[str | Pause]) -> Iterator[str | Pause]: ...
def check_sentences(sentences: Iterable[str | Pause]) -> Iterator[str | Pause]:
    """The sentences, each checked when it is read; a `PAUSE` stays.

    Raises `UsageError` for one string or bytes, and for a table, which would be iterated over as the names of its
    columns.
    """
    if isinstance(sentences, str):
        raise UsageError("one sentence is given where several are meant", "put it in a list")
    if hasattr(sentences, "columns") and hasattr(sentences, "shape"):
        raise UsageError("a table is given where sentences are meant", 'give one column, such as frame["text"]')
    given = check_iterable(sentences, "sentences")
    return (one if isinstance(one, Pause) else check_text(one) for one in given)


def check_iterable(values: Iterable[T], name: str) -> Iterable[T]:
    """Raises `UsageError` for what cannot be iterated, and for bytes."""
    try:
        if isinstance(values, bytes | bytearray):
            raise TypeError
        iter(values)
    except TypeError as error:
        raise UsageError(f"{name} are {_short(values)}", f"give a list or another iterable of {name}") from error
    return values


def check_codes(codes: ArrayLike | Tensor, size: int) -> NDArray[np.float32]:
    """A copy of the codes as an array [N, L], L = `size`; one code [L] is a row.

    Raises `UsageError` for another shape, for anything but numbers, and for numbers beyond `LARGEST`.
    """
    try:
        array = np.asarray(codes.detach().cpu().float() if isinstance(codes, Tensor) else codes)
        if array.dtype.kind not in "fiu":
            raise TypeError
        with np.errstate(over="ignore"):
            z = np.array(array.reshape(0, size) if array.shape == (0,) else array, np.float32, order="C", ndmin=2)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"codes are numbers of shape (N, {size})") from error
    if z.ndim != 2 or z.shape[1] != size or not np.isfinite(z).all():
        raise UsageError(f"codes of shape {z.shape} are not finite numbers of shape (N, {size})")
    if z.size and (largest := float(np.abs(z).max())) > LARGEST:
        raise UsageError(f"a code has {largest:g}", f"its numbers are at most {LARGEST:g}")
    return z


def check_code(code: ArrayLike | Tensor, size: int) -> NDArray[np.float32]:
    """A copy of one code [L]; raises like `check_codes`."""
    z = check_codes(code, size)
    if len(z) != 1:
        raise UsageError(f"codes of shape {z.shape} are given where one is meant", f"one has shape ({size},)")
    row: NDArray[np.float32] = z[0]
    return row


def check_strategy(strategy: object) -> None:
    """Raises `UsageError` for anything but a `Strategy`."""
    if not isinstance(strategy, Strategy):
        raise UsageError(f"strategy is {_short(strategy)}", "give a Strategy, such as Strategy(greedy=True)")


def check_counts(**values: tuple[object, int]) -> None:
    """Raises `UsageError` for a value that is not a whole number of at least its minimum: name=(value, minimum)."""
    for name, (value, least) in values.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value < 2**63:
            raise UsageError(f"{name} is {value!r:.80}", f"a whole number from {least} to 2^63 - 1")


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"a {type(value).__name__}"
