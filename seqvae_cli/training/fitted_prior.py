"""A new run with the prior of another fitted to its codes; encoder and decoder stay as they are.

    p(z) = Σ_k w_k N(z; m_k, v_k)   fitted to   q(z) = (1/N) Σ_n q(z|x_n)  of the training split

What samples lose beside reconstructions is KL(q(z) ‖ p(z)). A prior fitted after training takes some of it back (Dai &
Wipf 2019, "Diagnosing and Enhancing VAE Models"; Ghosh et al. 2020, "From Variational to Deterministic Autoencoders",
section 4). The -ELBO with the fitted prior is a bound as before.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from seqvae_cli.nn.distributions import DiagonalGaussian, Mixture, Posterior
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
KEPT = ("epochs", "epoch", "best_epoch", "seconds", "device", "precision", "threads")
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


def fit_prior(
    run: Run, *, components: int | None = None, name: str | None = None, seed: int = 0, stage: Stages = silent
) -> FittedPrior:
    """Fits a mixture of diagonal Gaussians to the codes of `run`; a new run, `name` or CORPUS-PRESET-N, holds it.

    components: None for the best of `TRIED` on the validation split. seed: of the first means, and of the figures.

    Raises `UsageError` for a language model, a posterior on the sphere, more components than training sentences, a
    taken name; `NotFoundError` without weights or corpus; `CheckpointError`, `DataError`.
    """
    settings, tokenizer = loading.load_settings_and_tokenizer(run)
    if not settings.model.latent_size:
        raise UsageError(f"run {run.name} is a language model: it has no prior")
    if settings.model.posterior != "gaussian":
        raise UsageError(f"run {run.name} has codes on a sphere: a prior is fitted to Gaussian posteriors alone")
    corpus = loading.load_corpus(run)
    train, valid = corpus.split("train"), corpus.split("valid")
    most = min(len(train), MAX_COMPONENTS)
    if components is not None and not 1 <= components <= most:
        raise UsageError(f"{components} components for {len(train)} training sentences", f"give 1 to {most}")
    if name is not None:
        registry.check_free(name)
    network, step = loading.load_network(run, settings, len(tokenizer))
    rows = Subset(train, spread_indices(len(train), MOST))

    def elbo(of: SentenceVAE) -> Elbo:
        return metrics.elbo(of, valid, seed=seed, watch=stage("validation", int(valid.lengths.sum()) + len(valid)))

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
    mixture = fits[0] if len(fits) == 1 else _likeliest(fits, metrics.posteriors(network, valid), seed)
    model = settings.model.model_copy(update={"prior": "mixture", "components": len(mixture.log_weights)})
    fitted = _with_prior(network, model, mixture, len(tokenizer))
    after = elbo(fitted)

    def fill(folder: Path) -> dict[str, Any]:
        checkpoint.write(folder / "best", step, {"model": fitted.state_dict()})
        if (history := run.path / "metrics.jsonl").is_file():
            with files.machine_errors(history):
                files.write(folder / history.name, history.read_bytes())
        kept = {key: run.info[key] for key in KEPT if key in run.info}
        origin = {"run": run.name, "step": step, "seed": seed}
        said = {"status": "finished", "weights_only": True, "best_neg_elbo": after.neg_elbo, "fitted_prior": origin}
        return kept | said

    made = registry.create(
        f"{corpus.name}-{run.info.get('preset') or 'default'}",
        name=name,
        config=layers.dump(settings.model_copy(update={"model": model})),
        tokenizer=(run.path / "tokenizer.json").read_bytes(),
        preset=run.info.get("preset"),
        corpus=run.info["corpus"],
        fill=fill,
    )
    return FittedPrior(made, len(mixture.log_weights), before, after)


def _likeliest(fits: list[Mixture], held_out: Posterior, seed: int) -> Mixture:
    """That under which a code of each of the `held_out` posteriors is likeliest."""
    noise = torch.randn(held_out.code.shape, generator=torch.Generator().manual_seed(seed))
    z = held_out.rsample(noise).double()
    return max(fits, key=lambda mixture: float(mixture.log_prob(z).mean()))


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
