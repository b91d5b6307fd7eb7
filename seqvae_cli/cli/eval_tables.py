"""What `seqvae eval` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqvae_cli.cli import display

if TYPE_CHECKING:
    from seqvae_cli.api import Model
    from seqvae_cli.evaluation.diagnosis import Diagnosis
    from seqvae_cli.evaluation.evaluate import Evaluation
    from seqvae_cli.evaluation.path_quality import Paths
    from seqvae_cli.evaluation.samples import Quality

Rows = list[tuple[str, object, str]]


def evaluation(model: Model, result: Evaluation) -> None:
    rows: Rows = [
        ("-ELBO", result.neg_elbo, "nats a sentence"),
        ("  reconstruction (distortion)", result.distortion, "nats a sentence"),
        ("  KL (rate)", result.rate, "nats a sentence"),
        (f"importance-weighted NLL, K = {result.iw_samples}", result.iw_nll, "nats a sentence"),
        ("perplexity, importance-weighted", result.iw_ppl, "a token"),
        ("perplexity, from -ELBO", result.elbo_ppl, "a token"),
        ("mutual information", result.mutual_information, "nats"),
        ("active units", result.active_units, f"of {model.latent_size}"),
        ("reconstruction BLEU-4", result.bleu, "of 100"),
        ("reconstructed exactly", 100 * result.exact_match, "%"),
    ]
    if result.entropy is not None:
        rows.append(("exact entropy of the source", result.entropy, "nats a sentence"))
        if result.excess is not None:
            rows.append(("importance-weighted NLL above the exact one", 100 * result.excess / result.entropy, "%"))
    title = f"{model.run.name} on {result.split}: {result.sentences:,} sentences, {result.tokens:,} tokens"
    display.table(title, ["", "value", "unit"], rows)


def diagnosis(found: Diagnosis, gap: float) -> None:
    """`gap`: nats a sentence between -ELBO and the importance-weighted bound."""
    rows: Rows = [
        ("reconstruction with the sentence's own code", found.own, "nats a sentence"),
        ("  with the code of another sentence", found.shuffled, "nats a sentence"),
        ("  with a draw from the prior", found.prior, "nats a sentence"),
        ("gap between -ELBO and the importance-weighted bound", gap, "nats a sentence"),
    ]
    for factor, probe in found.probes.items():
        rows.append(
            (f"{factor}, named by a linear probe", 100 * probe.accuracy, f"% (chance {100 * probe.chance:.0f})")
        )
    display.table("what the latent code is used for", ["", "value", "unit"], rows)
    if len(found.rate_by_dimension) > 1:
        ranked = sorted(enumerate(found.rate_by_dimension), key=lambda pair: -pair[1])
        display.table("KL by dimension", ["dimension", "nats"], ranked)
    display.out(f"verdict: {found.verdict}")


def quality(found: Quality, split: str) -> None:
    samples, real = found.samples, found.real
    rows = [
        ("perplexity under a 5-gram model of train", samples.perplexity, real.perplexity, "a token"),
        (
            f"perplexity of {split} under a 5-gram model of {found.modelled:,} (real: of train)",
            samples.reverse_perplexity,
            real.reverse_perplexity,
            "a token",
        ),
        (f"distinct-2 of {found.compared:,}", 100 * samples.distinct_2, 100 * real.distinct_2, "%"),
        (f"self-BLEU of {found.bleu_sentences:,}", samples.self_bleu, real.self_bleu, "of 100"),
        ("length", samples.length, real.length, "words a sentence"),
    ]
    display.table(f"{found.sampled:,} samples beside {split}", ["", "samples", "real", "unit"], rows)


def paths(equal: Paths, even: Paths, split: str) -> None:
    rows = [
        ("different sentences a path", equal.distinct, even.distinct, f"of {equal.steps}"),
        ("ends that equal their reconstruction", 100 * equal.ends, 100 * even.ends, "%"),
        ("largest jump", 100 * equal.largest_jump, 100 * even.largest_jump, "% of a path's token edits"),
        ("paths without a change", equal.unchanged, even.unchanged, f"of {equal.pairs}"),
    ]
    title = f"{equal.pairs:,} paths between sentences of {split}"
    display.table(title, ["", "equal steps", "--even", "unit"], rows)
