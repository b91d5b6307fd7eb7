"""A new run with the prior of another fitted to its codes; encoder and decoder stay as they are.

    p(z) = Σ_k w_k N(z; m_k, v_k)   fitted to   q(z) = (1/N) Σ_n q(z|x_n)  of the training split

What samples lose beside reconstructions is KL(q(z) ‖ p(z)). A prior fitted after training takes some of it back (Dai &
Wipf 2019, "Diagnosing and Enhancing VAE Models"; Ghosh et al. 2020, "From Variational to Deterministic Autoencoders",
section 4). The -ELBO with the fitted prior is a bound as before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqvae_cli.config import layers
from seqvae_cli.config.schema import MAX_COMPONENTS, ModelSettings
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.evaluation.metrics import Elbo
from seqvae_cli.evaluation.subset import Subset, spread_indices
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn import mixture_fit
from seqvae_cli.nn.distributions import DiagonalGaussian, Mixture, Posterior, Prior
from seqvae_cli.runs import checkpoint, loading, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files
from seqvae_cli.system.progress import Stages, silent

TRIED = (1, 10, 100)
"""Components that are tried, where no number is given."""
ROWS = 10
"""Training sentences a component, at least, for a number to be tried."""
MOST = 100_000
"""Training sentences that it is fitted to, at most."""
DRAWS = 10
"""Codes of each sentence of validation at which priors are compared, at least."""
MOST_DRAWN = 20_000
"""Codes of a validation split of fewer sentences than `MOST_DRAWN / DRAWS` at which priors are compared."""
CLOSE = 0.01
"""Nats a sentence that more components have to gain."""
KEPT = ("epochs", "epoch", "seconds", "device", "precision", "threads")
"""What run.json of the new run has from the other."""


@dataclass(frozen=True)
class FittedPrior:
    """What came of it."""

    run: Run
    """The new run."""
    components: int
    before: Elbo
    """Of the validation split, with the prior that the run had."""
    after: Elbo
    """With the fitted prior."""
    gained: float
    """Nats by which the fitted prior lowers the KL: the mean of log p(z) with it less that without, at the same z."""
    error: float | None
    """The standard error of `gained` over the sentences; None of one sentence."""


def fit_prior(
    run: Run, *, components: int | None = None, name: str | None = None, seed: int = 0, stage: Stages = silent
) -> FittedPrior:
    """Fits a mixture of diagonal Gaussians to the codes of `run`; a new run, `name` or RUN-fitted-N, holds it.

    components: None for a choice from `TRIED` by the validation split. seed: of the first means. The figures have the
    seed of the training, as those of its epochs.

    Raises `UsageError` for a language model, a posterior on the sphere, more components than training sentences, a
    taken name; `NotFoundError` without weights or corpus; `CheckpointError`, `DataError`.
    """
    settings, tokenizer = loading.load_settings_and_tokenizer(run)
    if not settings.model.latent_size:
        raise UsageError(f"run {run.name} is a language model: it has no prior")
    if settings.model.posterior != "gaussian":
        raise UsageError(f"run {run.name} has codes on a sphere: a prior is fitted to Gaussian posteriors alone")
    corpus = loading.load_corpus(run)
    corpus.verify()
    train, valid = corpus.split("train"), corpus.split("valid")
    most = min(len(train), MAX_COMPONENTS)
    if components is not None and not 1 <= components <= most:
        raise UsageError(f"{components} components for {len(train)} training sentences", f"give 1 to {most}")
    if name is not None:
        registry.check_free(name)
    network, step = loading.load_network(run, settings, len(tokenizer))
    rows = Subset(train, spread_indices(len(train), MOST))

    def elbo(of: SentenceVAE) -> Elbo:
        watch = stage("validation", int(valid.lengths.sum()) + len(valid))
        return metrics.elbo(of, valid, seed=settings.seed, watch=watch)

    posteriors = metrics.posteriors(
        network, rows, watch=stage("posteriors of train", int(rows.lengths.sum()) + len(rows))
    )
    assert isinstance(posteriors, DiagonalGaussian)
    before = elbo(network)
    numbers = [components] if components is not None else [k for k in TRIED if k == 1 or k * ROWS <= len(rows)]
    fits = [
        mixture_fit.fit_mixture(posteriors, number, seed, stage(f"mixture of {number}", mixture_fit.ITERATIONS))[0]
        for number in numbers
    ]
    held_out = metrics.posteriors(network, valid)
    with torch.no_grad():
        densities = log_densities([network.prior(), *fits], held_out, settings.seed)
    chosen = simplest(densities[1:])
    mixture, gain = fits[chosen], densities[1 + chosen] - densities[0]
    model = settings.model.model_copy(update={"prior": "mixture", "components": len(mixture.log_weights)})
    fitted = _with_prior(network, model, mixture, len(tokenizer))
    after = elbo(fitted)
    made = _save(fitted, run, step, after, name, layers.dump(settings.model_copy(update={"model": model})), seed)
    return FittedPrior(made, len(mixture.log_weights), before, after, float(gain.mean()), standard_error(gain))


def standard_error(gain: Tensor) -> float | None:
    """That of the mean over N sentences [N]; None of one."""
    return float(gain.std()) / math.sqrt(len(gain)) if len(gain) > 1 else None


def _save(
    network: SentenceVAE, source: Run, step: int, validation: Elbo, name: str | None, config: str, seed: int
) -> Run:
    """The new run: the weights, and the figures of the epoch that they are of."""
    best = next((line for line in source.metrics() if line.get("step") == step), None)

    def fill(folder: Path) -> dict[str, Any]:
        checkpoint.write(folder / "best", step, {"model": network.state_dict()})
        if best is not None:
            line = json.dumps(_validated(best, validation), allow_nan=False)
            files.write(folder / "metrics.jsonl", f"{line}\n".encode())
        kept = {key: source.info[key] for key in KEPT if key in source.info}
        return kept | {
            "status": "finished",
            "weights_only": True,
            "best_epoch": best and best.get("epoch"),
            "best_neg_elbo": validation.neg_elbo,
            "fitted_prior": {"run": source.name, "step": step, "seed": seed},
        }

    return registry.create(
        f"{source.name[:80]}-fitted",  # names have 100 characters at most
        name=name,
        config=config,
        tokenizer=(source.path / "tokenizer.json").read_bytes(),
        preset=source.info.get("preset"),
        corpus=source.info["corpus"],
        fill=fill,
    )


def log_densities(priors: Sequence[Prior], posteriors: Posterior, seed: int) -> list[Tensor]:
    """The mean of log p(z) over the draws of each posterior, the same for all `priors`: [N] nats each.

    `DRAWS` draws, and more for a small N, whose sentences do not average out the noise of the draws.
    """
    shape = posteriors.code.shape
    draws, at_once = max(DRAWS, MOST_DRAWN // shape[0]), max(1, MOST_DRAWN // DRAWS // shape[0])
    stream = torch.Generator().manual_seed(seed)
    sums = [torch.zeros(len(posteriors.code), dtype=torch.float64) for _ in priors]
    for first in range(0, draws, at_once):
        noise = torch.randn(min(at_once, draws - first), *shape, generator=stream)
        z = posteriors.rsample(noise).double()
        for prior, total in zip(priors, sums, strict=True):
            total += prior.log_prob(z).sum(0)
    return [total / draws for total in sums]


def simplest(densities: Sequence[Tensor]) -> int:
    """The first of several fits whose log densities [N] are below the best by a standard error or `CLOSE`, at most.

    Hastie, Tibshirani & Friedman 2009, "The Elements of Statistical Learning", section 7.10: the rule of one standard
    error, here of the differences.
    """
    best = max(densities, key=lambda found: float(found.mean()))

    def enough(found: Tensor) -> bool:
        short = best - found
        return float(short.mean()) <= max(CLOSE, float(short.std(correction=0)) / math.sqrt(len(short)))

    return next(number for number, found in enumerate(densities) if enough(found))


def _validated(line: dict[str, Any], after: Elbo) -> dict[str, Any]:
    """A line of metrics.jsonl with the figures of validation that `after` has; those of training stay."""
    found = asdict(after) | {"neg_elbo": after.neg_elbo, "elbo_ppl": after.elbo_ppl, "best": True}
    return line | metrics.finite_values({name: value for name, value in found.items() if name in line})


def _with_prior(network: SentenceVAE, model: ModelSettings, mixture: Mixture, words: int) -> SentenceVAE:
    """The network with a mixture as its prior; its other weights are shared."""
    prior = f"{network.settings.prior}."
    weights: dict[str, Tensor] = {
        name: value for name, value in network.state_dict().items() if not name.startswith(prior)
    }
    weights |= {f"mixture.{name}": value for name, value in mixture_fit.parameters(mixture).items()}
    fitted = SentenceVAE(model, words, "meta")
    loading.assign(fitted, weights)
    return fitted.eval()
