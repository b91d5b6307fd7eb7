"""What a training says in words: its sizes and phases, how it ended, and what helps."""

from __future__ import annotations

import math

from seqvae_cli.errors import counted
from seqvae_cli.training.events import CollapseEvent, EndEvent, EvalEvent, StartEvent
from seqvae_cli.training.schedule import MAX_PHASES_SHARE

OVERFIT = 0.01
"""Share by which the last validation -ELBO is above the best one where a training overfits."""
LITTLE = 0.5
"""Nats of mutual information below which a code says little."""
FEW = 3_000
"""Sentences below which more of them are the first thing to try."""

REMEDIES = 3
"""Remedies that a hint names, at most."""


def phases(event: StartEvent) -> str:
    """The phases still ahead, whose losses are not comparable with those that follow."""
    if event.step >= (event.pretrain + event.annealing) * event.steps_per_epoch:
        return ""
    lengths = {"as an autoencoder": event.pretrain, "of annealing": event.annealing}
    parts = [f"{round(length, 2):g} {name}" for name, length in lengths.items() if length]
    return f" (the first {', the next '.join(parts)})"


def sizes(event: StartEvent) -> str:
    """What follows from the size of the corpus, in one line."""
    model, train = event.settings.model, event.settings.train
    objective = event.settings.objective
    free, each = (objective.free_bits_total, objective.free_bits) if not objective.target_rate else (0.0, 0.0)
    batches = f"batches of {train.batch_tokens} tokens" if train.batch_tokens else f"batches of {train.batch_size}"
    parts = [f"{model.hidden_size} dimensions", batches, counted(event.epochs, "epoch")]
    parts += [f"learning rate {train.lr:.2g}", f"dropout {model.dropout:.2g}"]
    if model.latent_size and (free or each):
        nats = f"{round(free, 2):g} free nats" if free else f"{round(each, 2):g} free nats a dimension"
        parts.append(nats + (" that fall to 0" if objective.free_bits_fade < 1 else ""))
    if train.unknown:
        parts.append(f"{100 * train.unknown:.0f} % of the tokens seen once read as unknown")
    if 0 < train.early_stop < event.epochs:
        parts.append(f"stops after {counted(train.early_stop, 'epoch')} without progress")
    return f"{counted(event.sentences, 'sentence')}: {', '.join(parts)}"


def collapse_hint(start: StartEvent, event: CollapseEvent) -> str:
    """What keeps the latent code in use: more sentences, where they are few, and what the run does not do already."""
    model, objective, train = event.settings.model, event.settings.objective, event.settings.train
    held = event.rate >= event.mutual_information + 1  # the KL does not lack size, but information
    free = (objective.free_bits or objective.free_bits_total) and not objective.target_rate  # which ignores them
    floor = free or objective.min_rate or objective.target_rate
    constant = model.posterior == "vmf" and model.concentration > 0 and model.prior == "standard"
    remedies = {
        "--beta 1": objective.beta > 1 and not objective.target_rate,
        "--free-bits-fade 1": bool(free) and objective.free_bits_fade < 1 and not held,
        "--pretrain 3": not train.pretrain and not start.initial,  # it would throw the decoder away
        "--free-bits-total 7": not floor and not held,
        "--min-rate 5": not (objective.min_rate or objective.target_rate or constant or held),
        "--word-dropout 0.25": not model.word_dropout,
        "--aggressive": not train.aggressive,
    }
    absent = [remedy for remedy, helps in remedies.items() if helps][:REMEDIES]
    held_up = "the KL is held up but carries no information; " if held else ""
    few = f"{too_few(start.sentences)}; " if start.sentences < FEW else ""
    if _shortened(start):
        return f"{held_up}{_too_short(start)}"
    return f"{held_up}{few}a new run may try {', '.join(absent) or 'a smaller decoder: --hidden-size'}"


def too_few(sentences: int) -> str:
    """Why a code says little on a small training split, and how many sentences help."""
    return f"{counted(sentences, 'sentence')} may be too few for a code: some thousands of the same kind would help"


def summary(event: EndEvent) -> str:
    """How a training ended, in one line."""
    minutes, seconds = divmod(round(event.seconds), 60)
    hours, minutes = divmod(minutes, 60)
    took = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    best = f"; best epoch {event.best_epoch}, validation -ELBO {event.best_neg_elbo:.2f}" if event.best_epoch else ""
    how = "stopped early, without a better validation -ELBO," if event.reason == "stopped" else event.reason
    return f"{how} after {counted(event.epoch, 'epoch')}, {counted(event.step, 'step')}, {took}{best}"


def lessons(start: StartEvent, best: EvalEvent, last: EvalEvent) -> list[str]:
    """What its best and its last epoch say of a finished training: overfitting, and a code that says little."""
    found = []
    if last.neg_elbo > best.neg_elbo * (1 + OVERFIT) > last.train_neg_elbo:
        found.append(
            f"it overfits: after epoch {best.epoch}, whose weights are kept, the training -ELBO fell to "
            f"{last.train_neg_elbo:.2f} and that of validation rose to {last.neg_elbo:.2f}"
        )
    model, measurable = start.settings.model, math.log(max(1, start.valid_sentences)) > 2 * LITTLE
    if model.latent_size and measurable and best.mutual_information < LITTLE:
        little = f"its code says {best.mutual_information:z.2f} nats and costs {best.rate:z.2f}"
        if _shortened(start):
            return [*found, f"{little}: {_too_short(start)}"]
        unlike = "its sentences may have little in common that a code could say"
        advice = too_few(start.sentences) if start.sentences < FEW else unlike
        other = (
            "; `--preset autoencoder-like` gives sentences back, at a worse bound" if not model.latent_rotary else ""
        )
        found.append(f"{little}: {advice}. Without a code, `seqvae train --preset lm` is as good{other}")
    return found


def _shortened(start: StartEvent) -> bool:
    """Whether pretraining and annealing had to be shortened to fit into the epochs."""
    return start.pretrain + start.annealing >= 0.999 * MAX_PHASES_SHARE * start.epochs


def _too_short(start: StartEvent) -> str:
    few = f"{counted(start.epochs, 'epoch')} {'is' if start.epochs == 1 else 'are'} too few for its phases"
    return f"{few}, a new run with more --epochs gives them time"


def nothing_left(run: str, epoch: int, epochs: int) -> str:
    """The line of a resume with nothing to do after `epoch` of `epochs`."""
    if epoch < epochs:
        return f"run {run} stopped early, after {epoch} of its {counted(epochs, 'epoch')}; more --epochs train on"
    return f"run {run} has all its {counted(epochs, 'epoch')}; --epochs {epochs + 10} trains on"
