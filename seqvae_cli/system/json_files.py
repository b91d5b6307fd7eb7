"""JSON in files: written durably, strict about numbers, sealed by a digest of its own where that counts."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from seqvae_cli.errors import DataError, MachineError
from seqvae_cli.system import files

MAX_TIME = 2**63
"""Nanoseconds since 1970 that a file gives, at most."""
MAX_DIGITS = 300
"""Digits of an integer, at most; each is then a finite float, too."""


def write(path: Path, value: Any, *, sealed: bool = False) -> str:
    """`files.write` of `to_bytes`."""
    return files.write(path, to_bytes(value, sealed=sealed))


def to_bytes(value: Any, *, sealed: bool = False) -> bytes:
    """Indented JSON; raises `ValueError` for NaN. `sealed` adds the digest that `unseal` checks."""
    if sealed:
        value = {**value, "digest": _seal(value)}
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # A sealed file ends with its last brace: the loss of a line end would not be detected.
    # A path that is not UTF-8 has lone surrogates, which JSON can hold as escapes alone.
    return (text if sealed else f"{text}\n").encode(errors="backslashreplace")


def unseal(value: Any, path: Path) -> dict[str, Any]:
    """The value that `write` sealed in `path`. Raises `DataError` where its digest is missing or differs."""
    if not isinstance(value, dict) or not isinstance(value.get("digest"), str):
        raise DataError(f"{path} is damaged: it has no digest")
    body = {key: item for key, item in value.items() if key != "digest"}
    files.compare(path, _seal(body), value["digest"])
    return body


def _seal(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read(path: Path) -> Any:
    """The JSON in `path`. Raises `DataError` for a missing or invalid file, `MachineError` for an unreadable one."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except OSError as error:
        raise MachineError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error


def parse(text: str) -> Any:
    """The value of a JSON text.

    Raises `ValueError` for text that is not JSON, for NaN, infinity and floats that overflow, which could not be
    written again, and for integers that no float can hold; `RecursionError` for one that is nested too deeply.
    """
    return json.loads(text, parse_constant=_reject_constant, parse_float=_finite, parse_int=_whole)


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large for a float")
    return number


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{text[:20]} is too large")
    return int(text)
