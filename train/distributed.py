"""One run on several processes: `torchrun --nproc-per-node 2 -m train fit ...`.

The batch of a configuration is the whole run's, whatever the number of processes: each takes its
part, and everything that depends on the whole batch is averaged over the processes, so that the run
takes the path that one process would take, but for rounding. That is

- the gradient, after each backward pass (`Processes.mean_`);
- the statistics of batch normalisation, forwards and backwards (`SharedBatchNorm`);
- the sums by which losses are normalised (`tracker.geometry.losses.shared_batch`).

Every process holds the same weights and the same optimiser; only the first one measures, writes and
talks. On processors they speak gloo, on NVIDIA GPUs NCCL, one GPU a process.
"""

import importlib
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar, cast

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from tracker.errors import HandloomError
from train.errors import TrainingError

T = TypeVar("T")
_PATIENCE: Final = timedelta(minutes=30)
"""How long a process waits for the others, e.g. while the first one measures."""


class PeerEndedError(TrainingError):
    """Another process of the run is gone."""


class PeerRefusedError(TrainingError):
    """The first process could not do its part, and has said so itself."""


@dataclass(frozen=True)
class Processes:
    """Which process this is, of how many."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that measures, writes and talks."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """Return this process's part of a batch.

        Raises:
            TrainingError: it cannot be divided evenly.
        """
        if batch % self.world or batch < 2 * self.world:
            raise TrainingError(
                f"a batch of {batch} cannot be shared evenly by {self.world} processes, two samples "
                "or more each; change --batch or the number of processes"
            )
        return batch // self.world

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean over all processes, the same number in each; no gradient."""
        return self.mean_(tensor.detach().clone())

    def mean_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its mean over all processes.

        Raises:
            PeerEndedError: another process is gone.
        """
        if self.world > 1:
            with _peers():
                dist.all_reduce(tensor)
            tensor /= self.world
        return tensor

    def mean_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Average gradients over all processes, in one message."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.world == 1 or not gradients:
            return
        parts = self.mean_(torch.cat([g.flatten() for g in gradients])).split(
            [g.numel() for g in gradients]
        )
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def any(self, flag: bool) -> bool:
        """Tell whether it is true in some process."""
        if self.world == 1:
            return flag
        return float(self.mean(torch.tensor(float(flag), device=_device_of_messages()))) > 0

    def of_first(self, numbers: Sequence[float]) -> list[float]:
        """Return the first process's numbers, to the last bit, in all processes.

        Raises:
            PeerEndedError: another process is gone.
        """
        if self.world == 1:
            return list(numbers)
        shared = torch.tensor(numbers, dtype=torch.float64, device=_device_of_messages())
        with _peers():
            dist.broadcast(shared, 0)
        return shared.tolist()

    def first_does(self, work: Callable[[], T]) -> T | None:
        """Let the first process do something while the others wait; None in those.

        Raises:
            PeerRefusedError: in the others, where the first one could not do it.
        """
        done: T | None = None
        problem: HandloomError | None = None
        if self.first:
            try:
                done = work()
            except HandloomError as found:
                problem = found
        if self.any(problem is not None):
            raise problem or PeerRefusedError("the first process could not start the run")
        return done


ALONE: Final = Processes()


def this_process() -> Processes:
    """Return which process this is; alone where no group was joined."""
    if dist.is_available() and dist.is_initialized():
        return Processes(dist.get_rank(), dist.get_world_size())
    return ALONE


@contextmanager
def process_group(device: str) -> Generator[Processes, None, None]:
    """Join the processes that `torchrun` started; alone, do nothing.

    Args:
        device: name of the run's device: `cpu`, `cuda`, or `auto`.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "RANK" not in os.environ:
        yield ALONE
        return
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    # Its functions take the group that is there when it is imported as their default, and PyTorch's
    # compiler imports it: loaded later, it would keep the group past its end. Threads of gloo that
    # still run when the interpreter ends abort the program.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("nccl" if gpu else "gloo", timeout=_PATIENCE)
    try:
        yield this_process()
    finally:
        dist.destroy_process_group()


def with_shared_normalisation(module: nn.Module, device: torch.device) -> nn.Module:
    """Let every batch normalisation of a module use the statistics of the whole batch.

    Parameters, buffers and their names stay. On GPUs it is PyTorch's own synchronised
    normalisation, which knows no other devices.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(module, name, SharedBatchNorm.of(child))
        else:
            with_shared_normalisation(child, device)
    return module


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes, which are of one size.

    In evaluation it is the ordinary one.
    """

    @classmethod
    def of(cls, layer: nn.BatchNorm1d | nn.BatchNorm2d) -> "SharedBatchNorm":
        """Return the same layer, with the same tensors, for shared batches."""
        shared = cls(layer.num_features, layer.eps, layer.momentum)
        shared.weight, shared.bias = layer.weight, layer.bias
        shared.running_mean, shared.running_var = layer.running_mean, layer.running_var
        shared.num_batches_tracked = layer.num_batches_tracked
        return shared.train(layer.training)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel of (b, c) or (b, c, h, w)."""
        if not self.training:
            return super().forward(input)
        others = [i for i in range(input.ndim) if i != 1]
        # In double precision, E[x^2] - E[x]^2 loses nothing that single precision has.
        variance, mean = torch.var_mean(input, others, correction=0)
        moments = torch.stack([mean.double(), variance.double() + mean.double().square()])
        mean, square = cast(tuple[Tensor, Tensor], _SharedMean.apply(moments))
        variance = square - mean.square()
        self._remember(mean, variance, input.numel() // input.shape[1] * this_process().world)
        scale = self.weight.double() * (variance + self.eps).rsqrt()
        shape = [-1 if i == 1 else 1 for i in range(input.ndim)]
        shift = self.bias.double() - mean * scale
        return input * scale.to(input.dtype).view(shape) + shift.to(input.dtype).view(shape)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in (2, 4):
            raise ValueError(f"expected (b, c) or (b, c, h, w), found shape {tuple(input.shape)}")

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, the variance with its unbiased estimate, as PyTorch does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        unbiased = variance * (count / (count - 1))
        for old, new in ((self.running_mean, mean), (self.running_var, unbiased)):
            old.lerp_(new.to(old.dtype), self.momentum)


class _SharedMean(torch.autograd.Function):
    """The mean over all processes.

    If each process's loss is L_r and the whole one their mean, and gradients are averaged after
    the backward pass, then the gradient that belongs to a part m_s of the mean is the mean of all
    dL_r / dm: backwards is forwards.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, part: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return this_process().mean(part)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        return this_process().mean(gradients[0])


@contextmanager
def _peers() -> Generator[None, None, None]:
    """Say in one line what a broken connection means."""
    try:
        yield
    except RuntimeError as problem:
        raise PeerEndedError(
            "another process of this run has ended; start again with --resume, and it goes on from "
            "the last checkpoint"
        ) from problem


def _device_of_messages() -> torch.device:
    nccl = this_process().world > 1 and dist.get_backend() == "nccl"
    return torch.device("cuda" if nccl else "cpu")
