"""The training loop: steps, validation and saving.

A resumed run repeats the uninterrupted one bit for bit on the same kind of CPU: the checkpoint holds weights,
optimizer, random state, the position in the epoch's order, running sums and metrics; the run folder holds settings,
epochs and threads.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import CheckpointError, DivergedError
from seqvae_cli.evaluation import metrics
from seqvae_cli.runs import checkpoint
from seqvae_cli.runs.run import Run
from seqvae_cli.system import files
from seqvae_cli.system.runtime import precision_name, sum_type
from seqvae_cli.training import aggressive, distributed, initial, schedule
from seqvae_cli.training.batches import Batches
from seqvae_cli.training.events import (
    CollapseEvent,
    EndEvent,
    EvalEvent,
    Event,
    PlateauEvent,
    SavedEvent,
    StartEvent,
    StepEvent,
)
from seqvae_cli.training.learner import DIVERGED_HINT, Learner
from seqvae_cli.training.objective import Loss
from seqvae_cli.training.schedule import Clock
from seqvae_cli.training.setup import Setup
from seqvae_cli.training.state import TrainingState

STEPS_PER_EVENT = 10

DEVICE_STEPS_PER_EVENT = 100
"""The same on another device than the CPU, which has to end its work to tell its losses."""


class StopRequested(Exception):  # noqa: N818 - no error: the user asked for it
    """Raised inside validation when `stop()` turns true."""


class Trainer:
    """A run in training: its learner, its state, and the order of the current epoch's batches."""

    def __init__(self, run: Run, corpus: Corpus, setup: Setup, stop: Callable[[], bool]) -> None:
        self.run, self.corpus, self.setup = run, corpus, setup
        self.settings, self.processes = setup.settings, setup.processes
        self.stop: Callable[[], bool] = (lambda: self.processes.any(stop())) if self.processes.several else stop
        self.learner = Learner(setup.settings, setup.vocabulary_size, setup.device, setup.precision, self.processes)
        self.model, self.objective = self.learner.model, self.learner.objective
        self.train_split, self.valid_split = corpus.split("train"), corpus.split("valid")
        train = setup.settings.train
        self.batches = Batches(self.train_split, setup.settings, len(corpus.tokenizer), self.processes)
        self.state = TrainingState(learning_rate=train.lr, aggressive=train.aggressive, pretrained=not train.pretrain)
        self.order = self.batches.order(self.state.epoch)
        self.steps_per_epoch = len(self.order)
        self.steps_per_event = STEPS_PER_EVENT if setup.device.type == "cpu" else DEVICE_STEPS_PER_EVENT
        self.sums = self.zero_sums()
        self.began = time.perf_counter()
        """When the training would have begun if it had never been stopped."""

    def zero_sums(self) -> Tensor:
        return torch.zeros(2, dtype=sum_type(self.setup.device), device=self.setup.device)

    @property
    def epochs(self) -> int:
        return self.settings.train.epochs

    def clock(self, schedule_epochs: int | None = None) -> Clock:
        """This moment, in schedules of so many epochs (None: those of the setup)."""
        done = self.state.epoch - 1 + self.state.batch / len(self.order)
        return Clock.at(self.settings.train, done, schedule_epochs or self.setup.schedule_epochs)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to train."""
        return self.state.epoch > self.epochs or (self.state.done and not self.setup.extended)

    def begin(self) -> None:
        """Takes the initial weights of the run, if it has any, in place of random ones. Raises `CheckpointError`."""
        if (path := initial.weights(self.run)) is not None:
            checkpoint.load_weights(self.model, path)
            self.learner.new_optimizer(self.state.learning_rate)

    # --- the loop

    def train(self) -> Iterator[Event]:
        """All epochs that are left, from `StartEvent` to `EndEvent`."""
        state, setup = self.state, self.setup
        device, precision = str(setup.device), precision_name(setup.precision)
        self.run.update(threads=setup.threads, device=device, precision=precision, epochs=self.epochs, **setup.record)
        self.began = time.perf_counter() - state.seconds
        yield StartEvent(
            run=self.run.name,
            corpus=self.corpus.name,
            parameters=sum(p.numel() for p in self.model.parameters()),
            device=device,
            precision=precision,
            threads=setup.threads,
            epochs=self.epochs,
            pretrain=self.settings.train.pretrain,
            annealing=schedule.annealing_epochs(self.settings.objective),
            steps_per_epoch=self.steps_per_epoch,
            step=state.step,
            sentences=len(self.train_split),
            valid_sentences=len(self.valid_split),
            initial=bool(self.run.info.get("init")),
            settings=self.settings,
            processes=self.processes.size,
            no_graphs=self.learner.no_graphs,
        )
        reason = "finished"
        while not state.done and state.epoch <= self.epochs:
            yield from self.train_epoch()
            if self.stop():
                reason = "interrupted"
                break
            try:
                evaluation = self.validate()
            except StopRequested:
                reason = "interrupted"
                break
            yield evaluation
            yield from self.after_epoch(evaluation)
            self.save()
            yield SavedEvent(evaluation.epoch, state.step)
        if reason == "interrupted":
            self.save()
        elif state.done:
            reason = "stopped"
        state.seconds = time.perf_counter() - self.began
        self.run.update(status="interrupted" if reason == "interrupted" else "finished", seconds=state.seconds)
        self.processes.from_first(None)  # all stay until the first has saved
        yield self.end(reason)

    def end(self, reason: str) -> EndEvent:
        state = self.state
        best = math.inf if state.best_neg_elbo is None else state.best_neg_elbo
        return EndEvent(reason, len(state.history), state.step, state.best_epoch, best, state.seconds)

    def train_epoch(self) -> Iterator[Event]:
        """Trains on the batches of this epoch that are left; returns early when asked to stop."""
        state = self.state
        self.model.train()
        saved = reported = time.perf_counter()
        since = self.zero_sums()
        tokens = sentences = steps = 0
        while state.batch < len(self.order) and not self.stop():
            rows = self.order[state.batch]
            clock = self.clock()
            loss = self.step(rows)
            parts = torch.stack([loss.distortion, loss.rate]).to(since.dtype) * len(rows)
            since += parts
            self.sums += parts
            tokens += self.batches.tokens(rows)
            sentences += len(rows)
            steps += 1
            now = time.perf_counter()
            if steps == self.steps_per_event or state.batch == len(self.order):
                self.learner.check_finite()
                distortion, rate = (since / sentences).tolist()
                now = time.perf_counter()
                state.epoch_seconds += now - reported
                state.epoch_tokens += tokens
                yield StepEvent(
                    epoch=state.epoch,
                    step=state.step,
                    steps=self.steps_per_epoch * self.epochs,
                    phase=schedule.phase(self.settings.objective, clock),
                    kl_weight=self.objective.kl_weight(clock),
                    learning_rate=self.learner.learning_rate(clock),
                    distortion=distortion,
                    rate=rate,
                    neg_elbo=distortion + rate,
                    tokens_per_second=tokens / (now - reported),
                )
                reported, since = now, self.zero_sums()
                tokens = sentences = steps = 0
            if now - saved > 60 * self.settings.train.save_every:
                self.save()
                yield SavedEvent(state.epoch, state.step)
                saved = time.perf_counter()
        state.epoch_tokens += tokens
        state.epoch_seconds += time.perf_counter() - reported

    def step(self, rows: Any) -> Loss:
        """One step on the sentences `rows`, after those of the encoder in the aggressive phase."""
        clock, number = self.clock(), self.state.step + 1
        if not self.state.pretrained and not clock.pretraining:
            self.model.reset_decoder()
            self.learner.new_optimizer(self.state.learning_rate)
            self.state.pretrained = True
        if not self.processes.first:
            distributed.seed_noise(self.settings.seed, number, self.processes)
        part = "all"
        if self.state.aggressive and self.state.pretrained:
            batches = self.batches.at_random(rows, self.order, number)
            aggressive.train_encoder(self.learner, batches, clock, number)
            part = "decoder"
        loss = self.learner.step(self.batches.batch(rows, number), clock, number, part=part)
        self.state.batch += 1
        self.state.step += 1
        self.state.sentences += len(rows)
        return loss

    # --- after the steps of an epoch

    def validate(self) -> EvalEvent:
        """The validation split at KL weight 1, with the same noise in every epoch."""

        def watch(_: int) -> None:
            if self.stop():
                raise StopRequested

        state = self.state
        self.learner.check_finite()
        model = self.learner.evaluated
        model.eval()
        result = metrics.elbo(
            model,
            self.valid_split,
            seed=self.settings.seed,
            precision=self.setup.precision,
            watch=None if self.processes.several else watch,  # they stop together, after it
            processes=self.processes,
        )
        if not math.isfinite(result.neg_elbo):
            raise DivergedError(f"the validation -ELBO is not finite after step {state.step}", DIVERGED_HINT)
        distortion, rate = (self.sums / state.sentences).tolist()
        return EvalEvent(
            epoch=state.epoch,
            step=state.step,
            # Where pretraining just ended, the clock says that annealing begins; the epoch had KL weight 0.
            phase=schedule.phase(self.settings.objective, self.clock()) if state.pretrained else schedule.AUTOENCODER,
            kl_weight=self.objective.kl_weight(self.clock()) if state.pretrained else 0.0,
            learning_rate=self.learner.learning_rate(self.clock()),
            tokens_per_second=state.epoch_tokens / max(state.epoch_seconds, 1e-9),
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
            best=state.pretrained and (state.best_neg_elbo is None or result.neg_elbo < state.best_neg_elbo),
        )

    def after_epoch(self, event: EvalEvent) -> Iterator[Event]:
        """Keeps the best weights, lowers the learning rate on a plateau, and moves on to the next epoch."""
        state = self.state
        annealed = state.pretrained and schedule.is_annealed(self.settings.objective, self.clock())
        if event.best:
            state.best_step, state.best_epoch = state.step, state.epoch
            state.best_neg_elbo = event.neg_elbo
            self.write_checkpoint("best", {"model": self.learner.evaluated.state_dict()})
            self.run.update(best_neg_elbo=event.neg_elbo, best_epoch=event.epoch, epoch=event.epoch)
        else:
            self.run.update(epoch=event.epoch)
        line = asdict(event)
        state.history.append(line | {"elbo_ppl": metrics.finite_or_none(event.elbo_ppl)})
        if state.aggressive and state.pretrained:
            aggressive.update_phase(state, event.mutual_information)
        if annealed and not state.collapsed and self.settings.model.latent_size and self.collapsed(event):
            state.collapsed = True
            yield CollapseEvent(event.epoch, event.rate, event.mutual_information, self.settings)
        if schedule.count_epoch(self.settings.train, state, improved=event.best, annealed=annealed):
            self.reload_best()
            yield PlateauEvent(state.epoch, state.learning_rate, state.best_epoch)
        state.epoch += 1
        state.batch = state.sentences = state.epoch_tokens = 0
        state.epoch_seconds = 0.0
        self.sums = self.zero_sums()
        self.order = self.batches.order(state.epoch)

    def collapsed(self, event: EvalEvent) -> bool:
        """Whether rate or mutual information is near 0: with a target rate, the rate alone would not show a collapse.

        N sentences cap the estimate of the mutual information at ln N: it shows nothing of a tiny split.
        """
        measurable = math.log(len(self.valid_split)) > 2 * metrics.COLLAPSED
        return event.rate < metrics.COLLAPSED or (measurable and event.mutual_information < metrics.COLLAPSED)

    def reload_best(self) -> None:
        """Goes back to the best weights, with a new optimizer."""
        if self.processes.first:  # the others get its weights with the new optimizer
            self.load_best()
        self.learner.new_optimizer(self.state.learning_rate)

    def load_best(self) -> None:
        # A crash between saving `best` and `last` leaves a newer checkpoint in `best` than the state knows.
        best = checkpoint.of_step(self.run.path / "best", self.state.best_step)
        if best is None:
            raise CheckpointError(f"{self.run.path / 'best'} has no complete checkpoint of step {self.state.best_step}")
        checkpoint.load_weights(self.model, best)

    # --- saving, by the first process

    def save(self) -> None:
        self.learner.check_finite()
        self.state.sums = self.sums.tolist()
        self.state.seconds = time.perf_counter() - self.began
        self.write_checkpoint("last", self.learner.tensors(), asdict(self.state))
        self.write_metrics()

    def write_checkpoint(self, folder: str, *contents: Any) -> None:
        if self.processes.first:
            checkpoint.write(self.run.path / folder, self.state.step, *contents, keep=2)

    def write_metrics(self) -> None:
        if not self.processes.first:
            return
        lines = "".join(json.dumps(line, allow_nan=False) + "\n" for line in self.state.history)
        files.write(self.run.path / "metrics.jsonl", lines.encode())
