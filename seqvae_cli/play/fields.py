"""Reads the values of a request, each within its bounds. All methods raise `UsageError` with the name of the value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.errors import UsageError, nearest
from seqvae_cli.latent.codes import LARGEST

LONGEST = 2000
"""Characters of a text in a request, at most."""


class Fields:
    """The JSON object of a request. A value that is absent or null has its default."""

    def __init__(self, values: Mapping[str, Any], known: Sequence[str]) -> None:
        self._values = values
        if unknown := next((name for name in values if name not in known), None):
            raise UsageError(f"unknown value {unknown!r:.60}", nearest(unknown, known))

    def text(self, name: str, default: str | None = None) -> str:
        """A string of at most `LONGEST` characters; without a default it must have words."""
        value = self._get(name, default)
        if not isinstance(value, str):
            raise UsageError(f"{name} is not a text" if value is not None else f"{name} is missing")
        return _checked(name, value, blank=default is not None)

    def texts(self, name: str, most: int) -> list[str]:
        """A list of 1 to `most` strings that have words."""
        values = self._get(name, None)
        if not isinstance(values, list) or not 1 <= len(values) <= most:
            raise UsageError(f"{name} is not a list of 1 to {most} sentences")
        if not all(isinstance(value, str) for value in values):
            raise UsageError(f"{name} has something that is not a text")
        return [_checked(name, value) for value in values]

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise UsageError(f"{name} is {value!r:.40}", f"a whole number from {least:,} to {most:,}")
        return value

    def number(self, name: str, default: float, least: float, most: float) -> float:
        value = self._get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise UsageError(f"{name} is {value!r:.40}", f"a number from {least:g} to {most:g}")
        return float(value)

    def flag(self, name: str, default: bool | None = False) -> bool | None:
        value = self._get(name, default)
        if value is not None and not isinstance(value, bool):
            raise UsageError(f"{name} is {value!r:.40}", "true or false")
        return value

    def choice(self, name: str, default: str, known: Sequence[str]) -> str:
        value = self._get(name, default)
        if value not in tuple(known):
            raise UsageError(f"{name} is {value!r:.60}", f"one of {', '.join(known)}")
        return str(value)

    def codes(self, name: str, size: int, most: int) -> NDArray[np.float32] | None:
        """1 to `most` codes of `size` numbers: [N, size]; None where they are absent."""
        values = self._get(name, None)
        if values is None:
            return None
        if not isinstance(values, list) or not 1 <= len(values) <= most:
            raise UsageError(f"{name} is not a list of 1 to {most} codes")
        for row in values:
            numbers = isinstance(row, list) and all(type(one) in (int, float) and abs(one) <= LARGEST for one in row)
            if not numbers or len(row) != size:
                raise UsageError(f"{name} has a row that is not a code", f"a code is {size} numbers")
        return np.array(values, np.float32)

    def _get(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        return default if value is None else value


def _checked(name: str, value: str, *, blank: bool = False) -> str:
    if len(value) > LONGEST:
        raise UsageError(f"{name} has {len(value):,} characters", f"at most {LONGEST:,}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{name} has half a character (a lone surrogate)") from error
    if not blank and not value.strip():
        raise UsageError(f"{name} has no words", "give a sentence")
    return value
