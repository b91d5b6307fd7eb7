"""One training step, and the tensors that a checkpoint saves: weights, optimizer and random state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from seqvae_cli.config.schema import Settings
from seqvae_cli.data.batching import AnyBatch, Batch
from seqvae_cli.errors import CheckpointError, DivergedError
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runs import checkpoint
from seqvae_cli.system.processes import ALONE, Processes
from seqvae_cli.system.runtime import autocast, random_state, restore_random_state
from seqvae_cli.training import distributed
from seqvae_cli.training.graphs import StepGraphs, obstacle
from seqvae_cli.training.objective import Loss, Objective, Weights
from seqvae_cli.training.schedule import Clock, learning_rate_factor

DIVERGED_HINT = "lower --lr or --clip in a new run; the last finite checkpoint of this one, if any, is kept"


class RunningMean(nn.Module):
    """The exponential moving average of a model's weights: a share 1 - `decay` of each new model, all of the first.

    It warms up: after t updates the decay is at most (1 + t) / (10 + t).

    Unlike torch's `AveragedModel` it counts on the CPU alone, so that no step waits for the device.
    """

    n_averaged: Tensor

    def __init__(self, model: SentenceVAE, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.module = deepcopy(model).to(model.device)  # moving lays out recurrent weights as cuDNN wants them
        # Both names are part of checkpoint keys.
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.long, device="cpu"))

    @torch.no_grad()
    def update(self, model: SentenceVAE) -> None:
        count = int(self.n_averaged)
        share = 1 - min(self.decay, (1 + count) / (10 + count)) if count else 1.0
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), share)
        self.n_averaged += 1


class Learner:
    """Model, objective and optimizer on one device. Seeds torch's global random streams and draws from them.

    In several processes, each has a learner with the same weights, and takes the same steps.
    """

    def __init__(
        self,
        settings: Settings,
        vocabulary_size: int,
        device: torch.device,
        precision: torch.dtype,
        processes: Processes = ALONE,
    ) -> None:
        self.settings, self.device, self.precision = settings.train, device, precision
        self.processes = processes
        self.no_graphs = obstacle(settings, device, processes.size)
        torch.manual_seed(settings.seed)
        self.model = SentenceVAE(settings.model, vocabulary_size).to(device)
        self.objective = Objective(settings.objective).to(device)
        self.new_optimizer(settings.train.lr)
        self.bad_step = torch.full((), math.inf, dtype=torch.float32, device=device)

    def new_optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        """Replaces the optimizer, and the averaged weights if there are any, by new ones without state."""
        self.base_learning_rate = learning_rate
        self.processes.same(self.model.state_dict().values())
        kind = self.device.type
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=learning_rate, fused=kind in ("cpu", "cuda"), capturable=kind == "cuda"
        )
        self.averaged = RunningMean(self.model, self.settings.average) if self.settings.average else None
        words = self.model.decoder.vocabulary.out_features
        self.graphs = None if self.no_graphs else StepGraphs(self.update, len(Weights._fields) + 2, words, self.device)
        return self.optimizer

    @property
    def evaluated(self) -> SentenceVAE:
        """The model to validate and to keep: with the averaged weights, if there are any."""
        return self.model if self.averaged is None else self.averaged.module

    def learning_rate(self, clock: Clock) -> float:
        return self.base_learning_rate * learning_rate_factor(self.settings, clock)

    def step(self, batch: Batch, clock: Clock, number: int, *, part: str = "all") -> Loss:
        """Forward, backward, clip, Adam: step `number` of the run.

        `part`: update `all` weights, those of the `encoder`, or the others (`decoder`). Word embeddings count as the
        decoder's.
        """
        numbers = [*self.objective.weights(clock), self.learning_rate(clock), float(number)]
        if self.graphs is None:
            loss = self.update(batch.to(self.device), numbers, part)
        else:
            loss = self.graphs.step(batch, numbers, part)
        if self.averaged is not None and part != "encoder":  # the mean is over steps of the decoder
            self.averaged.update(self.model)
        return loss

    def update(self, batch: AnyBatch, numbers: Sequence[float | Tensor], part: str) -> Loss:
        """The operations of `step`. `numbers`: the objective's weights, the learning rate, and the step's number."""
        *weights, learning_rate, number = numbers
        with autocast(self.device, self.precision):
            terms = self.model(batch)
        means = distributed.means(terms, batch, self.processes) if isinstance(batch, distributed.Part) else None
        loss = self.objective.loss(terms, Weights(*weights), means)
        if part != "encoder":  # the encoder takes many steps before each one that counts as a training step
            self.objective.ascend(loss.rate, weights[0])
        self.optimizer.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        if part != "all":
            for name, parameter in self.model.named_parameters():
                if belongs_to_encoder(name) != (part == "encoder"):
                    parameter.grad = None  # Adam skips it
        if means:
            distributed.sum_gradients(self.model.parameters(), self.processes)
        norm = self.clip()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        # Stays on the device: reading it in every step would make the device wait.
        finite = torch.isfinite(loss.total.detach()) & torch.isfinite(norm)
        self.bad_step.copy_(torch.where(finite | self.bad_step.isfinite(), self.bad_step, number))
        # Detached from the graph, so that its tensors are freed before the next step.
        return replace(loss, total=loss.total.detach())

    def clip(self) -> Tensor:
        """The norm of the gradient, which is at most `train.clip` afterwards."""
        most, parameters = self.settings.clip or math.inf, list(self.model.parameters())
        norm = nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])
        # Elsewhere, to read the norm would wait for the device; a factor of 1 changes nothing.
        if self.device.type != "cpu" or not bool(norm < most):
            nn.utils.clip_grads_with_norm_(parameters, most, norm)
        return norm

    def check_finite(self) -> None:
        """Raises `DivergedError` with the first step whose loss or gradient was not finite."""
        step = float(self.bad_step)
        if math.isfinite(step):
            raise DivergedError(f"the loss or its gradient is not finite at step {int(step)}", DIVERGED_HINT)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint saves: `model`, and `training` (optimizer, objective, averaged weights, random state)."""
        training = optimizer_tensors(self.model, self.optimizer)
        training |= {f"objective/{name}": value for name, value in self.objective.state_dict().items()}
        if self.averaged is not None:
            training |= {f"average/{name}": value for name, value in self.averaged.state_dict().items()}
        training |= {f"random/{name}": state for name, state in random_state(self.device).items()}
        return {"model": self.model.state_dict(), "training": training}

    def restore(self, path: Path, learning_rate: float) -> None:
        """Goes back to the verified checkpoint in `path`. Raises `CheckpointError`."""
        checkpoint.load_weights(self.model, path)
        tensors = checkpoint.read_tensors(path / "training.safetensors")
        _check_adam(self.model, tensors)
        restore_optimizer(self.model, self.new_optimizer(learning_rate), tensors)
        _load(self.objective, tensors, "objective/")
        if self.averaged is not None:
            _load(self.averaged, tensors, "average/")
        random = {name.removeprefix("random/"): value for name, value in tensors.items() if name.startswith("random/")}
        restore_random_state(random, self.device)


def belongs_to_encoder(name: str) -> bool:
    """Whether the parameter of that name belongs to the encoder alone; the decoder uses the word embeddings too."""
    return name.startswith("encoder.") and not name.startswith("encoder.embedding.")


def _load(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    """Loads the tensors whose names begin with `prefix` into `module`. Raises `CheckpointError`."""
    state = {name: tensors.get(prefix + name) for name in module.state_dict()}
    for name, value in module.state_dict().items():
        found = state[name]
        if found is None or found.shape != value.shape or found.dtype != value.dtype:
            raise CheckpointError(f"training.safetensors lacks {prefix + name!r}, or has it in another shape or type")
    module.load_state_dict(state)


def _check_adam(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Raises `CheckpointError` where Adam's state of a parameter is incomplete, or of another shape or type."""
    for name, parameter in model.named_parameters():
        expected = {f"{name}/step": (), f"{name}/exp_avg": parameter.shape, f"{name}/exp_avg_sq": parameter.shape}
        present = [key for key in expected if key in tensors]
        if present and len(present) < len(expected):
            raise CheckpointError(f"the optimizer's state of {name!r} is incomplete")
        for key in present:
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
    """Loads what `optimizer_tensors` gave. Raises `CheckpointError` for a shape other than the parameter's."""
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
