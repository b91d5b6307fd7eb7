"""One model on one split: every figure of the evaluation, with the signature that says how to get it again."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.latent import generate
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runs import compare
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files
from seqvae_cli.system.runtime import precision_name
from seqvae_cli.version import __version__


@dataclass(frozen=True)
class Evaluation:
    """Nats a sentence, unless said otherwise. The order is that of `eval --json`."""

    split: str
    sentences: int
    tokens: int
    """Predicted tokens, `<eos>` counted."""
    truncated: int
    """Sentences that were cut when the corpus was prepared."""
    neg_elbo: float
    distortion: float
    rate: float
    elbo_ppl: float
    iw_nll: float
    iw_ppl: float
    iw_samples: int
    mutual_information: float
    active_units: int
    bleu: float
    """BLEU-4 of the greedy decoding of the posterior mean against the input, 0 to 100."""
    exact_match: float
    """Share of sentences that this decoding gives back exactly, 0 to 1."""
    entropy: float | None
    """Of the source, where it is known (toy)."""
    excess: float | None
    """How far `iw_nll` lies above the exact -log p of the same sentences, where the source is known (toy): an estimate
    of the KL from source to model, and free of the chance by which these sentences are more or less likely ones."""
    signature: str

    def to_json(self) -> dict[str, object]:
        """As JSON has it: nothing of the source where it is not known, null for a perplexity that overflows."""
        of_source = ("entropy", "excess")
        values = {name: value for name, value in asdict(self).items() if name not in of_source or value is not None}
        return metrics.finite_values(values)


def evaluate(
    network: SentenceVAE,
    corpus: Corpus,
    split: str = "test",
    *,
    weights: str,
    samples: int = 500,
    elbo_samples: int = 1,
    seed: int = 0,
    precision: torch.dtype = torch.float32,
    stage: metrics.Stage = metrics.no_stage,
) -> Evaluation:
    """All figures for `split` of the corpus that the network was trained on.

    `weights` names them in the signature: RUN@STEP. Raises `DataError` for a damaged corpus, `UsageError` for a bad
    split.
    """
    corpus.verify()
    data = corpus.split(split)
    if not len(data):
        raise UsageError(f"split {split!r} of corpus {corpus.name} is empty")
    count = len(data)
    if not network.settings.latent_size:
        samples = 1  # without a latent code the bound is exact
    elbo = metrics.elbo(network, data, seed=seed, samples=elbo_samples, precision=precision, watch=stage("ELBO", count))
    longest = int(data.lengths.max())
    watch = stage("reconstruction", count)
    outputs, references, exact = [], [], 0
    decoded = generate.reconstruct(network, (data[i] for i in range(count)), max_len=2 * longest, precision=precision)
    for i, words in enumerate(decoded):
        truth = data[i].tolist()
        exact += words == truth
        outputs.append(" ".join(corpus.tokenizer.tokens(words)))
        references.append(" ".join(corpus.tokenizer.tokens(truth)))
        watch(1)
    nll = float(
        metrics.iw_nll(
            network,
            data,
            samples=samples,
            seed=seed,
            precision=precision,
            watch=stage("importance-weighted bound", count * samples),
        ).mean()
    )
    exact_log_probs = corpus.log_probs(split)
    signature = "|".join(
        [
            f"data:{corpus.name}@{corpus.hash[:12]}",
            f"split:{split}@{data.hash[:12]}",
            f"run:{weights}",
            f"K:{samples}",
            f"elbo_samples:{elbo_samples}",
            f"seed:{seed}",
            f"tok:{corpus.tokenizer.kind}",
            f"precision:{precision_name(precision)}",
            f"version:{__version__}",
        ]
    )
    return Evaluation(
        split=split,
        sentences=elbo.sentences,
        tokens=elbo.tokens,
        truncated=int(corpus.info["splits"][split]["truncated"]),
        neg_elbo=elbo.neg_elbo,
        distortion=elbo.distortion,
        rate=elbo.rate,
        elbo_ppl=elbo.elbo_ppl,
        iw_nll=nll,
        iw_ppl=metrics.perplexity(nll, elbo.sentences, elbo.tokens),
        iw_samples=samples,
        mutual_information=elbo.mutual_information,
        active_units=elbo.active_units,
        bleu=metrics.bleu(outputs, references),
        exact_match=exact / count,
        entropy=corpus.entropy,
        excess=None if exact_log_probs is None else nll + float(exact_log_probs.mean()),
        signature=signature,
    )


def store(run: Run, step: int, evaluation: Evaluation) -> Path:
    """Keeps the evaluation of the weights of `step` in the run folder, in a file of its own: its signature names it.

    The same evaluation again overwrites itself, and no other. Raises `MachineError` where the folder takes nothing.
    """
    name = hashlib.sha256(evaluation.signature.encode()).hexdigest()[:16]
    path = run.path / "evaluations" / f"{name}.json"
    with files.machine_errors(path):
        # Not its parents: a run that was removed meanwhile must not come back in parts.
        path.parent.mkdir(exist_ok=True)
    head = {"format": compare.FORMAT, "step": step, "recorded": time.time_ns()}
    files.write_json(path, head | evaluation.to_json(), sealed=True)
    return path
