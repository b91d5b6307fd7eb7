"""One training step, and all tensors that have to be saved for the next one to be the same after a resume."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from seqvae_cli.config.schema import Settings
from seqvae_cli.data.batching import Batch
from seqvae_cli.errors import CheckpointError, DivergedError
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runs import checkpoint
from seqvae_cli.system.runtime import autocast, random_state, restore_random_state
from seqvae_cli.training.objective import Clock, Loss, Objective

DIVERGED_HINT = "lower --lr, or --clip the gradient harder; a finite checkpoint is kept where there was one"


class Learner:
    """The model, its objective and its optimizer on one device. Seeds and draws from torch's global random streams."""

    def __init__(self, settings: Settings, vocabulary_size: int, device: torch.device, precision: torch.dtype) -> None:
        self.settings, self.device, self.precision = settings.train, device, precision
        torch.manual_seed(settings.seed)
        self.model = SentenceVAE(settings.model, vocabulary_size).to(device)
        self.objective = Objective(settings.objective).to(device)
        self.new_optimizer(settings.train.lr)
        self.bad_step = torch.full((), math.inf, device=device)

    def new_optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        """Adam without memory. Every Adam comes from here."""
        self.highest = learning_rate
        fused = self.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=learning_rate, fused=fused)
        self.averaged: AveragedModel | None = None
        if self.settings.average:
            mean = get_ema_multi_avg_fn(self.settings.average)  # type: ignore[no-untyped-call]
            self.averaged = AveragedModel(self.model, multi_avg_fn=mean)
        return self.optimizer

    @property
    def evaluated(self) -> SentenceVAE:
        """The model that is validated and kept: that of the mean weights, where there is one."""
        return self.model if self.averaged is None else self.averaged.module  # type: ignore[return-value]

    def learning_rate(self, clock: Clock) -> float:
        """That of the optimizer, or where it stands on a cosine from there to 0 (Loshchilov & Hutter 2017)."""
        if self.settings.lr_schedule == "plateau" or clock.epoch <= 0:
            return self.highest
        position = self.settings.lr_cycles * clock.epoch / clock.epochs
        # The end is the end of a cycle, not the start of another.
        position = 1.0 if clock.epoch >= clock.epochs else position % 1.0
        return self.highest * 0.5 * (1 + math.cos(math.pi * position))

    def step(self, batch: Batch, clock: Clock, number: int, *, part: str = "all") -> Loss:
        """Forward, backward, clip, Adam: the `number`-th step of the run.

        `part`: all weights, those of the encoder alone (the word embeddings are the decoder's), or all but those.
        """
        batch = batch.to(self.device)
        with autocast(self.device, self.precision):
            terms = self.model(batch)
        loss: Loss = self.objective(terms, clock)
        self.optimizer.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        if part != "all":
            for name, parameter in self.model.named_parameters():
                if is_encoders(name) != (part == "encoder"):
                    parameter.grad = None  # which Adam passes over
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip or math.inf)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(clock)
        self.optimizer.step()
        if self.averaged is not None and part != "encoder":  # not for each of the encoder's steps before one of all
            self.averaged.update_parameters(self.model)
        # Kept on the device: asking for it every step would make the device wait.
        finite = torch.isfinite(loss.total.detach()) & torch.isfinite(norm)
        self.bad_step = torch.where(finite | self.bad_step.isfinite(), self.bad_step, float(number))
        # Without its graph: the memory of this step's tensors is free for the next.
        return replace(loss, total=loss.total.detach())

    def check_finite(self) -> None:
        """Raises `DivergedError` with the first step whose loss or gradient was no finite number."""
        step = float(self.bad_step)
        if math.isfinite(step):
            raise DivergedError(f"the loss or its gradient is no finite number at step {int(step)}", DIVERGED_HINT)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Weights, and what training needs beside them: optimizer and random streams."""
        training = optimizer_tensors(self.model, self.optimizer)
        training |= {f"objective/{name}": value for name, value in self.objective.state_dict().items()}
        if self.averaged is not None:
            training |= {f"average/{name}": value for name, value in self.averaged.state_dict().items()}
        training |= {f"random/{name}": state for name, state in random_state(self.device).items()}
        return {"model": self.model.state_dict(), "training": training}

    def restore(self, path: Path, learning_rate: float) -> None:
        """Undoes what happened since the verified checkpoint in `path`. Raises `CheckpointError`."""
        checkpoint.load_weights(self.model, path)
        tensors = checkpoint.read_tensors(path / "training.safetensors")
        _check_adam(self.model, tensors)
        restore_optimizer(self.model, self.new_optimizer(learning_rate), tensors)
        _load(self.objective, tensors, "objective/")
        if self.averaged is not None:
            _load(self.averaged, tensors, "average/")
        random = {name.removeprefix("random/"): value for name, value in tensors.items() if name.startswith("random/")}
        restore_random_state(random, self.device)


def is_encoders(name: str) -> bool:
    """Whether the parameter of that name is the encoder's own."""
    return name.startswith("encoder.") and not name.startswith("encoder.embedding.")


def _load(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    """Gives `module` its state from `tensors`, whose names begin with `prefix`. Raises `CheckpointError`."""
    state = {name: tensors.get(prefix + name) for name in module.state_dict()}
    for name, value in module.state_dict().items():
        found = state[name]
        if found is None or found.shape != value.shape or found.dtype != value.dtype:
            raise CheckpointError(f"what training needs beside the weights is incomplete: {prefix + name!r}")
    module.load_state_dict(state)


def _check_adam(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Raises `CheckpointError` where Adam could not go on from `tensors`: all of its state of a parameter, or none."""
    for name, parameter in model.named_parameters():
        expected = {f"{name}/step": (), f"{name}/exp_avg": parameter.shape, f"{name}/exp_avg_sq": parameter.shape}
        there = [key for key in expected if key in tensors]
        if there and len(there) < len(expected):
            raise CheckpointError(f"the optimizer's state of {name!r} is incomplete")
        for key in there:
            if tensors[key].shape != expected[key] or tensors[key].dtype != torch.float32:
                found = f"{list(tensors[key].shape)} {tensors[key].dtype}"
                raise CheckpointError(f"the optimizer's {key!r} is {found}")


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by parameter name: `lstm.weight/exp_avg`."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undoes `optimizer_tensors`. Raises `CheckpointError` for a shape that is not the parameter's."""
    for name, parameter in model.named_parameters():
        state: dict[str, Tensor] = {}
        for full, value in tensors.items():
            owner, _, key = full.rpartition("/")
            if owner != name:
                continue
            if value.dim() and value.shape != parameter.shape:
                raise CheckpointError(f"the optimizer's {full!r} has shape {list(value.shape)}")
            # Adam counts its steps on the CPU unless it is fused or capturable on another device.
            state[key] = value.to(parameter.device) if value.dim() or optimizer.defaults.get("fused") else value
        if state:
            optimizer.state[parameter] = state
