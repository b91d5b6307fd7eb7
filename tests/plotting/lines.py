"""Metrics of made-up runs, for tests of plots."""

from __future__ import annotations

from typing import Any

from seqvae_cli.plotting.curves import History

SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}
"""The first bytes of each kind of picture."""


def metrics(epochs: int, shift: float = 0.0, **changes: Any) -> list[dict[str, Any]]:
    """Lines of a run whose losses fall; the first training KL is far off, as under a KL weight near 0."""
    lines = []
    for epoch in range(1, epochs + 1):
        rate, distortion = 8 - 2 / epoch + shift, 25 + 30 / epoch + shift
        line: dict[str, Any] = {"epoch": epoch, "rate": rate, "distortion": distortion, "neg_elbo": rate + distortion}
        train = {"rate": rate + (90 if epoch == 1 else 0.1), "distortion": distortion + 2 / epoch}
        line |= {f"train_{key}": value for key, value in train.items()}
        lines.append(line | {"train_neg_elbo": sum(train.values())} | changes)
    return lines


def history(epochs: int, shift: float = 0.0, **changes: Any) -> History:
    """A run of such metrics, whose last epoch is the best."""
    return History(metrics(epochs, shift, **changes), best_epoch=epochs)
