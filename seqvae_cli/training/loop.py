"""The loop of a training: steps, annealing, validation, plateaus, saving and resuming.

Everything that decides how training goes on is in the checkpoint (weights, optimizer, random streams, position in the
epoch's order, running sums, metrics so far) or beside it in the run (settings, epochs, threads), so that a resumed run
repeats the uninterrupted one bit for bit on the same kind of CPU.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqvae_cli.data.batching import Batch, collate, epoch_order
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import CheckpointError, DivergedError, NotFoundError, UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.runs import checkpoint, loading
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files
from seqvae_cli.system.runtime import precision_name, resolve_device, resolve_precision, set_threads, sum_type
from seqvae_cli.training import phases
from seqvae_cli.training.events import (
    CollapseEvent,
    EndEvent,
    EvalEvent,
    Event,
    PlateauEvent,
    StartEvent,
    StepEvent,
    WarningEvent,
)
from seqvae_cli.training.learner import DIVERGED_HINT, Learner
from seqvae_cli.training.objective import Clock, Loss, annealing
from seqvae_cli.training.state import Progress

STEPS_PER_EVENT = 10


class Stopped(Exception):  # noqa: N818 - no error: the user asked for it
    """Raised inside validation when `stop()` turns true."""


class Trainer:
    """A run in training: its learner, its progress, and the position in the epoch's order."""

    def __init__(self, run: Run, corpus: Corpus, stop: Callable[[], bool], epochs: int | None) -> None:
        self.run, self.corpus, self.stop = run, corpus, stop
        self.settings, tokenizer = loading.load_parts(run)
        if epochs is not None and epochs < int(run.info.get("epoch") or 0):
            raise UsageError(f"run {run.name} has {run.info['epoch']} epochs already", "give more --epochs")
        # Of the epochs that were asked for first: more of them later must not bring these phases back.
        self.settings = phases.fitted(self.settings)
        self.extended = (epochs or 0) > int(run.info.get("epochs") or 0)
        epochs = epochs or run.info.get("epochs")
        if epochs is not None:
            train = self.settings.train.model_copy(update={"epochs": epochs})
            self.settings = self.settings.model_copy(update={"train": train})
        self.device = resolve_device(self.settings.runtime.device)
        self.precision = resolve_precision(self.settings.runtime.precision, self.device)
        # Sums depend on how many threads share them: a resumed run takes as many as it began with.
        self.threads = set_threads(run.info.get("threads") or self.settings.runtime.threads)
        self.learner = Learner(self.settings, len(tokenizer), self.device, self.precision)
        self.model, self.objective = self.learner.model, self.learner.objective
        self.train_split, self.valid_split = corpus.split("train"), corpus.split("valid")
        self.lengths = self.train_split.lengths
        if self.settings.train.max_len:
            self.lengths = self.lengths.clip(max=self.settings.train.max_len)
        train = self.settings.train
        self.progress = Progress(learning_rate=train.lr, aggressive=train.aggressive, pretrained=not train.pretrain)
        self.order = self.epoch_order()
        self.steps_per_epoch = len(self.order)
        self.sums = self.no_sums()
        self.precision_before = run.info.get("precision")
        facts = {"threads": self.threads, "device": str(self.device), "precision": precision_name(self.precision)}
        run.update(**facts)

    def epoch_order(self) -> list[Any]:
        train = self.settings.train
        return list(
            epoch_order(
                self.lengths,
                train.batch_size,
                train.batch_tokens,
                seed=self.settings.seed,
                epoch=self.progress.epoch,
            )
        )

    def no_sums(self) -> Tensor:
        return torch.zeros(2, dtype=sum_type(self.device), device=self.device)

    @property
    def epochs(self) -> int:
        return self.settings.train.epochs

    def clock(self) -> Clock:
        done = self.progress.epoch - 1 + self.progress.batch / len(self.order)
        return Clock(done - self.settings.train.pretrain, self.epochs - self.settings.train.pretrain)

    # --- the loop

    def train(self) -> Iterator[Event]:
        progress = self.progress
        self.run.update(epochs=self.epochs)
        began, before = time.perf_counter(), progress.seconds
        yield StartEvent(
            run=self.run.name,
            corpus=self.corpus.name,
            parameters=sum(p.numel() for p in self.model.parameters()),
            device=str(self.device),
            precision=precision_name(self.precision),
            threads=self.threads,
            epochs=self.epochs,
            pretrain=self.settings.train.pretrain,
            annealing=annealing(self.settings.objective),
            steps_per_epoch=self.steps_per_epoch,
            step=progress.step,
        )
        reason = "finished"
        while not progress.done and progress.epoch <= self.epochs:
            yield from self.train_epoch()
            progress.seconds = before + time.perf_counter() - began
            if self.stop():
                reason = "interrupted"
                break
            try:
                evaluation = self.validate()
            except Stopped:
                reason = "interrupted"
                break
            yield evaluation
            yield from self.after_epoch(evaluation)
            progress.seconds = before + time.perf_counter() - began
            self.save()
        if reason == "interrupted":
            self.save()
        elif progress.done:
            reason = "stopped"
        progress.seconds = before + time.perf_counter() - began
        self.run.update(
            status="interrupted" if reason == "interrupted" else "finished", holder=None, seconds=progress.seconds
        )
        yield EndEvent(
            reason,
            len(progress.history),
            progress.step,
            progress.best_epoch,
            math.inf if progress.best_neg_elbo is None else progress.best_neg_elbo,
            progress.seconds,
        )

    def train_epoch(self) -> Iterator[Event]:
        """The batches of this epoch that are still to do; leaves early when asked to stop."""
        progress = self.progress
        self.model.train()
        saved = reported = time.perf_counter()
        since = self.no_sums()
        tokens = sentences = steps = 0
        while progress.batch < len(self.order) and not self.stop():
            rows = self.order[progress.batch]
            clock = self.clock()
            loss = self.step(rows)
            parts = torch.stack([loss.distortion, loss.rate]).to(since.dtype) * len(rows)
            since += parts
            self.sums += parts
            tokens += int(self.lengths[rows].sum()) + len(rows)
            sentences += len(rows)
            steps += 1
            now = time.perf_counter()
            if steps == STEPS_PER_EVENT or progress.batch == len(self.order):
                self.learner.check_finite()
                distortion, rate = (since / sentences).tolist()
                now = time.perf_counter()
                progress.epoch_seconds += now - reported
                progress.epoch_tokens += tokens
                yield StepEvent(
                    epoch=progress.epoch,
                    step=progress.step,
                    steps=self.steps_per_epoch * self.epochs,
                    kl_weight=self.objective.kl_weight(clock),
                    learning_rate=self.learner.learning_rate(clock),
                    distortion=distortion,
                    rate=rate,
                    neg_elbo=distortion + rate,
                    tokens_per_second=tokens / (now - reported),
                )
                reported, since = now, self.no_sums()
                tokens = sentences = steps = 0
            if now - saved > 60 * self.settings.train.save_every:
                self.save()
                saved = time.perf_counter()
        progress.epoch_tokens += tokens
        progress.epoch_seconds += time.perf_counter() - reported

    def step(self, rows: Any) -> Loss:
        clock, number = self.clock(), self.progress.step + 1
        if not self.progress.pretrained and clock.epoch >= 0:
            self.model.reset_decoder()
            self.learner.new_optimizer(self.progress.learning_rate)
            self.progress.pretrained = True
        part = "all"
        if self.progress.aggressive and self.progress.pretrained:
            phases.train_encoder(self.learner, self.any_batches(rows, number), clock, number)
            part = "decoder"
        loss = self.learner.step(self.batch(rows), clock, number, part=part)
        self.progress.batch += 1
        self.progress.step += 1
        self.progress.sentences += len(rows)
        return loss

    def batch(self, rows: Any) -> Batch:
        return collate([self.train_split[int(i)] for i in rows], self.settings.train.max_len)

    def any_batches(self, first: Any, number: int) -> Iterator[Batch]:
        """The batch of `first`, then others of this epoch by chance."""
        yield self.batch(first)
        random = np.random.default_rng((self.settings.seed, number))
        while True:
            yield self.batch(self.order[random.integers(len(self.order))])

    # --- after the steps of an epoch

    def validate(self) -> EvalEvent:
        """The validation split at KL weight 1, with noise of its own, the same every epoch."""

        def watch(_: int) -> None:
            if self.stop():
                raise Stopped

        progress = self.progress
        self.learner.check_finite()
        model = self.learner.evaluated
        model.eval()
        result = metrics.elbo(model, self.valid_split, seed=self.settings.seed, precision=self.precision, watch=watch)
        if not math.isfinite(result.neg_elbo):
            raise DivergedError(f"the validation -ELBO is no finite number after step {progress.step}", DIVERGED_HINT)
        distortion, rate = (self.sums / progress.sentences).tolist()
        return EvalEvent(
            epoch=progress.epoch,
            step=progress.step,
            # The end of pretraining is the begin of the rest: of what was trained, none had a KL weight.
            kl_weight=self.objective.kl_weight(self.clock()) if progress.pretrained else 0.0,
            learning_rate=self.learner.learning_rate(self.clock()),
            tokens_per_second=progress.epoch_tokens / max(progress.epoch_seconds, 1e-9),
            train_distortion=distortion,
            train_rate=rate,
            train_neg_elbo=distortion + rate,
            distortion=result.distortion,
            rate=result.rate,
            neg_elbo=result.neg_elbo,
            elbo_ppl=result.elbo_ppl,
            mutual_information=result.mutual_information,
            active_units=result.active_units,
            rate_by_dimension=result.rate_by_dimension,
            best=progress.pretrained and (progress.best_neg_elbo is None or result.neg_elbo < progress.best_neg_elbo),
        )

    def after_epoch(self, event: EvalEvent) -> Iterator[Event]:
        """Keeps the best weights, lowers the learning rate on a plateau, and moves on to the next epoch."""
        progress, train = self.progress, self.settings.train
        annealed = progress.pretrained and self.objective.full(self.clock())
        if event.best:
            progress.best_step, progress.best_epoch = progress.step, progress.epoch
            progress.best_neg_elbo = event.neg_elbo
            progress.stale = progress.unimproved = 0
            checkpoint.write(
                self.run.path / "best", progress.step, {"model": self.learner.evaluated.state_dict()}, keep=2
            )
            self.run.update(best_neg_elbo=event.neg_elbo, best_epoch=event.epoch, epoch=event.epoch)
        else:
            progress.stale += annealed
            progress.unimproved += annealed
            self.run.update(epoch=event.epoch)
        line = asdict(event)
        progress.history.append(line | {"elbo_ppl": metrics.finite(event.elbo_ppl)})
        if progress.aggressive and progress.pretrained:
            before = progress.mutual_information
            progress.aggressive = before is None or event.mutual_information > before
            progress.mutual_information = event.mutual_information
        if annealed and not progress.collapsed and self.settings.model.latent_size and self.collapsed(event):
            progress.collapsed = True
            yield CollapseEvent(event.epoch, event.rate, event.mutual_information)
        if train.early_stop and progress.unimproved >= train.early_stop:
            progress.done = True
        elif train.lr_schedule == "plateau" and train.patience and progress.stale >= train.patience:
            progress.stale = 0
            progress.decays += 1
            progress.done = progress.decays > train.max_decays
            if not progress.done:
                yield self.lower_learning_rate()
        progress.epoch += 1
        progress.batch = progress.sentences = progress.epoch_tokens = 0
        progress.epoch_seconds = 0.0
        self.sums = self.no_sums()
        self.order = self.epoch_order()

    def collapsed(self, event: EvalEvent) -> bool:
        """A rate that is held can say nothing too; but few sentences cannot show more than the log of their number."""
        shown = math.log(len(self.valid_split)) > 2 * metrics.COLLAPSED
        return event.rate < metrics.COLLAPSED or (shown and event.mutual_information < metrics.COLLAPSED)

    def lower_learning_rate(self) -> PlateauEvent:
        progress = self.progress
        progress.learning_rate *= self.settings.train.lr_decay
        # A crash after `best` was saved and before `last` was leaves one in `best` that is ahead.
        best = checkpoint.of_step(self.run.path / "best", progress.best_step)
        if best is None:
            raise CheckpointError(f"{self.run.path / 'best'} has no whole checkpoint of step {progress.best_step}")
        checkpoint.load_weights(self.model, best)
        self.learner.new_optimizer(progress.learning_rate)
        return PlateauEvent(progress.epoch, progress.learning_rate, progress.best_epoch)

    # --- saving and resuming

    def save(self) -> None:
        self.learner.check_finite()
        self.progress.sums = self.sums.tolist()
        last, state = self.run.path / "last", asdict(self.progress)
        checkpoint.write(last, self.progress.step, self.learner.tensors(), state, keep=2)
        self.write_metrics()

    def write_metrics(self) -> None:
        lines = "".join(json.dumps(line, allow_nan=False) + "\n" for line in self.progress.history)
        files.write(self.run.path / "metrics.jsonl", lines.encode())

    def resume(self) -> Iterator[Event]:
        """Goes back to the newest checkpoint that verifies; from the start where there is none yet."""
        damaged: list[str] = []
        try:
            path = checkpoint.newest(self.run.path / "last", damaged)
        except NotFoundError:
            if checkpoint.generations(self.run.path / "best"):
                yield WarningEvent(f"{self.run.path / 'last'} has no checkpoint: training starts from the beginning")
            return
        progress = self.progress = Progress.from_json(files.read_json(path / "training.json"), str(path))
        self.learner.restore(path, progress.learning_rate)
        if self.precision_before not in (None, precision_name(self.precision)):
            now = precision_name(self.precision)
            yield WarningEvent(f"this run was last trained in {self.precision_before}, and goes on in {now}")
        for message in damaged:
            yield WarningEvent(f"{message}; going on from step {checkpoint.step_of(path)}")
        checkpoint.set_aside(self.run.path / "last", path)
        if progress.best_epoch:
            best = checkpoint.of_step(self.run.path / "best", progress.best_step)
            if best is not None:
                # What a crash before the last save left ahead comes again: it must not push this one out.
                checkpoint.drop_newer(self.run.path / "best", best)
            else:
                epoch, progress.best_epoch, progress.best_step = progress.best_epoch, 0, -1
                progress.best_neg_elbo = None
                yield WarningEvent(
                    f"the weights of epoch {epoch}, the best one, are damaged; the best from here on counts"
                )
        self.sums = torch.tensor(self.progress.sums, dtype=self.sums.dtype, device=self.device)
        self.order = self.epoch_order()
        self.write_metrics()
        if progress.done and self.extended:  # it stopped early, and is asked for more
            progress.done, progress.stale, progress.unimproved = False, 0, 0
            progress.decays = min(progress.decays, self.settings.train.max_decays)
            self.save()  # before the run counts as one of more epochs: after a kill it must still be asked for more
