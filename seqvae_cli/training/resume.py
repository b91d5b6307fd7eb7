"""A run goes on from its checkpoint. Nothing on disk changes before all of it has been read and found right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from seqvae_cli.errors import NotFoundError
from seqvae_cli.runs import checkpoint
from seqvae_cli.system import json_files
from seqvae_cli.system.runtime import precision_name
from seqvae_cli.training import schedule
from seqvae_cli.training.events import Event, ScheduleEvent, WarningEvent
from seqvae_cli.training.loop import Trainer
from seqvae_cli.training.state import TrainingState


class Restored:
    """Brings `trainer` to the newest checkpoint of its run that verifies, if there is one; writes nothing.

    Raises `CheckpointError` where there are checkpoints and none verifies.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.last: Path | None = None
        """The checkpoint that training goes on from; None: it starts from the beginning."""
        self.best: Path | None = None
        self.notices: list[Event] = []
        """What the user should know."""
        self._restore()
        if not trainer.complete:
            self.notices += _moved_schedules(trainer)

    def _restore(self) -> None:
        trainer, folder = self.trainer, self.trainer.run.path
        damaged: list[str] = []
        try:
            self.last = checkpoint.newest(folder / "last", damaged)
        except NotFoundError:
            if checkpoint.generations(folder / "best"):
                self._warn(f"{folder / 'last'} has no checkpoint: training starts from the beginning")
            return
        state = TrainingState.from_json(json_files.read(self.last / "training.json"), str(self.last))
        trainer.state = state
        trainer.learner.restore(self.last, state.learning_rate)
        before, now = trainer.setup.previous_precision, precision_name(trainer.setup.precision)
        if before not in (None, now):
            self._warn(f"this run was last trained in {before}, and goes on in {now}")
        for message in damaged:
            self._warn(f"{message}; going on from step {checkpoint.step_of(self.last)}")
        if state.best_epoch:
            self.best = checkpoint.of_step(folder / "best", state.best_step)
            if self.best is None:
                epoch, state.best_epoch, state.best_step = state.best_epoch, 0, -1
                state.best_neg_elbo = None
                self._warn(f"the best weights (epoch {epoch}) are damaged: the next epoch counts as the best")
        trainer.sums = torch.tensor(state.sums, dtype=trainer.sums.dtype, device=trainer.setup.device)
        trainer.order = trainer.batches.order(state.epoch)

    def _warn(self, message: str) -> None:
        self.notices.append(WarningEvent(message))

    def settle(self) -> None:
        """Clears away what a crash left beside the checkpoint, so that the next save is the newest."""
        trainer, state = self.trainer, self.trainer.state
        if self.last is None:
            return
        if trainer.processes.first:
            checkpoint.set_aside(trainer.run.path / "last", self.last)
            if self.best is not None:
                # A crash may have left newer ones. Training makes them again; they must not push this one out.
                checkpoint.drop_newer(trainer.run.path / "best", self.best)
        trainer.write_metrics()
        if state.done and trainer.setup.extended:
            schedule.continue_after_stop(trainer.settings.train, state)
            trainer.save()  # before `train` writes the new number of epochs, or a kill in between would lose this


def _moved_schedules(trainer: Trainer) -> list[Event]:
    """What the new number of epochs changes at once, in the next step; nothing where no schedule depends on it."""
    setup, target = trainer.setup, trainer.objective.settings.target_rate
    was_kept = setup.previous_epochs > setup.previous_schedule_epochs
    before, now = replace(trainer.clock(setup.previous_schedule_epochs), kept=was_kept), trainer.clock()
    moved = {
        "learning rate": (trainer.learner.learning_rate(before), trainer.learner.learning_rate(now)),
        "KL weight": (trainer.objective.kl_weight(before), trainer.objective.kl_weight(now)),
    }
    if target and not now.pretraining:
        first, second = (schedule.kl_share(trainer.objective.settings, clock) for clock in (before, now))
        moved["target rate"] = (first * target, second * target)
    free = trainer.objective.settings.free_bits_total or trainer.objective.settings.free_bits
    if free and not target and not now.pretraining:
        first, second = (schedule.free_share(trainer.objective.settings, clock) for clock in (before, now))
        moved["free nats"] = (first * free, second * free)
    changes = tuple((name, *values) for name, values in moved.items() if values[0] != values[1])
    if not changes:
        return []
    return [ScheduleEvent(setup.previous_schedule_epochs, setup.schedule_epochs, trainer.epochs, changes)]
