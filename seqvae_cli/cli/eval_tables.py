"""What `seqvae eval` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqvae_cli.cli import display
from seqvae_cli.errors import counted
from seqvae_cli.evaluation import figures

if TYPE_CHECKING:
    from seqvae_cli.api import Model
    from seqvae_cli.evaluation.diagnosis import Diagnosis
    from seqvae_cli.evaluation.disentanglement import Disentanglement
    from seqvae_cli.evaluation.evaluate import Evaluation
    from seqvae_cli.evaluation.path_quality import Paths
    from seqvae_cli.evaluation.samples import Quality
    from seqvae_cli.evaluation.steering import Steering

Rows = list[tuple[str, object, str]]


def evaluation(model: Model, result: Evaluation) -> None:
    rows: Rows = figures.rows(result.figures, latent_size=model.latent_size, has_words=model.tokenizer.has_words)
    size = f"{counted(result.sentences, 'sentence')}, {counted(result.tokens, 'token')}"
    title = f"{model.run.name} on {result.split}: {size}"
    display.table(title, ["", "value", "unit"], rows)


def diagnosis(found: Diagnosis, gap: float) -> None:
    """`gap`: nats a sentence between -ELBO and the importance-weighted bound."""
    at_most = " at most" if found.at_ceiling else ""
    rows: Rows = [
        ("reconstruction with the sentence's own code", found.own, "nats a sentence"),
        ("  with the code of another sentence", found.shuffled, "nats a sentence"),
        ("  with a draw from the prior", found.prior, "nats a sentence"),
        ("gap between -ELBO and the importance-weighted bound", gap, "nats a sentence"),
        ("from all codes together to the prior, KL(q(z) ‖ p(z))", found.aggregate_kl, "nats" + at_most),
    ]
    for label, probe in found.probes.items():
        rows.append((f"{label}, named by a linear probe", 100 * probe.accuracy, f"% (chance {100 * probe.chance:.0f})"))
    display.table("what the latent code is used for", ["", "value", "unit"], rows)
    for label, reason in found.left_out.items():
        display.say(f"no probe of {label}: {reason}")
    if found.disentanglement is not None:
        disentanglement(found.disentanglement)
    if len(found.rate_by_dimension) > 1:
        ranked = sorted(enumerate(found.rate_by_dimension), key=lambda pair: -pair[1])
        display.table("KL by dimension", ["dimension", "nats"], ranked)
    if found.steering is not None:
        steering(found.steering)
    display.out_prose(f"verdict: {found.verdict}")


def disentanglement(found: Disentanglement) -> None:
    chance = 100 * (found.z_min_var_chance or 0)
    scores = {
        "mutual information gap (MIG)": (found.mig, "%"),
        "gap of the best predictions (SAP)": (found.sap, "%"),
        "disentanglement (DCI)": (found.disentanglement, "%"),
        "completeness (DCI)": (found.completeness, "%"),
        "informativeness (DCI)": (found.informativeness, "%"),
        "fixed label named (z-min-var)": (found.z_min_var, f"% (chance {chance:.0f})"),
    }
    rows = [(name, 100 * value, unit) for name, (value, unit) in scores.items() if value is not None]
    display.table("how labels lie in single dimensions", ["", "value", "unit"], rows)
    columns = [name for name in ("mig", "sap", "completeness", "informativeness") if getattr(found, name) is not None]
    by_label = [(label, *(100 * getattr(scores, name) for name in columns)) for label, scores in found.factors.items()]
    names = [f"{name.upper() if len(name) == 3 else name} %" for name in columns]
    display.table("the same by label", ["label", *names], by_label)
    if found.sap is None:
        display.say('SAP and DCI of the labels need scikit-learn: pip install "seqvae[analysis]"')


def steering(found: Steering) -> None:
    def percent(share: float) -> str:
        return f"{100 * share:.1f}%"

    rows = [("(no offset)", "-", "-", percent(found.reconstructed), percent(found.invalid))]
    for name, one in found.factors.items():
        rows.append((name, f"{one.scale:g}", percent(one.flips), percent(one.kept), percent(one.invalid)))
    title = f"steering {counted(found.sentences, 'sentence')} by the offset of one factor"
    display.table(title, ["factor", "scale", "flips", "others kept", "not grammatical"], rows)


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
        ("length", samples.length, real.length, "tokens a sentence"),
    ]
    display.table(f"{counted(found.sampled, 'sample')} beside {split}", ["", "samples", "real", "unit"], rows)


def paths(equal: Paths, even: Paths, split: str) -> None:
    rows = [
        ("different sentences a path", equal.distinct, even.distinct, f"of {equal.steps}"),
        ("ends that equal their reconstruction", 100 * equal.ends, 100 * even.ends, "%"),
        ("largest jump", 100 * equal.largest_jump, 100 * even.largest_jump, "% of a path's token edits"),
        ("paths without a change", equal.unchanged, even.unchanged, f"of {equal.pairs}"),
    ]
    title = f"{counted(equal.pairs, 'path')} between sentences of {split}"
    display.table(title, ["", "equal steps", "--even", "unit"], rows)
