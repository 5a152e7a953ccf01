"""One run's state and its single step; knows nothing of files, screens or clocks."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tracker.geometry.hand_model import HandModel
from tracker.geometry.losses import shared_batch
from tracker.vision.network import S2HandNetwork
from tracker.vision.network_files import load_encoder_weights, read_network
from train.batch import TrainBatch
from train.checkpoints import random_state, set_random_state
from train.config import TrainConfig
from train.distributed import PeerRefusedError, this_process, with_shared_normalisation
from train.errors import NotFiniteError, TrainingError
from train.imagenet import encoder_file
from train.keypoint_network import KeypointNetwork
from train.objective import Networks, Objective, Prediction, spread
from train.stages import Stage


class Trainer:
    """Networks, optimiser and position of a run; everything random starts from `config.seed`.

    Args:
        config: the run.
        hand: right hand model, the one of `config.hand_model`.
        device: where to train.
    """

    def __init__(
        self, config: TrainConfig, hand: HandModel, device: torch.device | None = None
    ) -> None:
        self.config, self.device = config, device or torch.device("cpu")
        self.hand = hand.to(self.device)
        self.timetable = config.timetable()
        torch.manual_seed(config.seed)
        self.networks = _networks(config, hand).to(self.device)
        self.processes = this_process()
        if self.processes.world > 1 and config.shared_normalisation:
            with_shared_normalisation(self.networks, self.device)
        # PyTorch's own annotations do not know this call.
        self.networks.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.average = _average(self.networks.hand, config.ema)
        self.objective = Objective(config, self.hand)
        self.step = 0
        """Steps done so far."""
        self._enter(0)

    @property
    def done(self) -> bool:
        """Whether every stage is through."""
        return self.step >= self.timetable.steps

    @property
    def stage(self) -> Stage:
        """The stage of the last step."""
        return self.config.stages[self._stage]

    @property
    def best_hand_network(self) -> S2HandNetwork:
        """The network to measure and to export: the running mean where there is one."""
        if self.average is None:
            return self.networks.hand
        return cast(S2HandNetwork, self.average.module)

    def advance(self, batch: TrainBatch) -> tuple[Prediction, dict[str, Tensor]]:
        """Train on one batch, already on the device; return what was predicted, and numbers to log.

        With several processes it is this one's share, and the numbers are the whole batch's.

        Raises:
            NotFiniteError: the loss or its gradient is not finite; no weight was changed, but the
                running statistics of the normalisation have seen the batch.
        """
        if self.timetable.stage_at(self.step) != self._stage:
            self._enter(self.timetable.stage_at(self.step))
        rate = self.timetable.learning_rate(self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        prediction, terms, loss = self._backward(batch)
        norm = self._clipped_norm()
        numbers = {"loss": loss, **terms}
        if prediction.hand is not None:
            numbers["spread"] = spread(prediction.hand.uv, batch.uv)
        shared = self.processes.mean(torch.stack([v.detach() for v in numbers.values()]))
        if not bool((shared[0] + norm).isfinite()):
            raise self._complaint(terms, batch)
        self._optimiser.step()
        if self.average is not None and self.stage.hand:
            self.average.update_parameters(self.networks.hand)
        self.step += 1
        whole = dict(zip(numbers, shared, strict=True))
        return prediction, {**whole, "gradient_norm": norm, "lr": torch.tensor(rate)}

    def _backward(self, batch: TrainBatch) -> tuple[Prediction, dict[str, Tensor], Tensor]:
        """Return what was predicted, terms and loss; parameters get the whole batch's gradient."""
        sharing = shared_batch(self.processes.mean) if self.processes.world > 1 else nullcontext()
        with sharing:
            prediction, terms = self.objective(self.networks, batch, self.stage)
        loss = self.config.weights.total(terms)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.mean_gradients(self._parameters)
        return prediction, terms, loss

    def state(self) -> dict[str, Any]:
        """Return everything the next step depends on, as tensors and plain values."""
        average = None if self.average is None else self.average.state_dict()
        return {
            "config": self.config.to_json(),
            "hand": [self.hand.model_id, self.hand.sha256],
            "step": self.step,
            "stage": self._stage,
            "networks": self.networks.state_dict(),
            "average": average,
            "optimiser": self._optimiser.state_dict(),
            "random": random_state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` returned; the next step is the same, bit for bit.

        Raises:
            TrainingError: it is the state of another run, or of another hand.
        """
        if state["hand"] != [self.hand.model_id, self.hand.sha256]:
            raise TrainingError(
                f"the checkpoint is of the hand {state['hand'][0]}, this run of "
                f"{self.hand.model_id}; give the hand file it was trained with"
            )
        if state["config"] != self.config.to_json():
            raise TrainingError(
                "the checkpoint was written under another configuration than the run's; restore "
                "the run folder's config.json, or start a new run"
            )
        self._enter(state["stage"])
        self.networks.load_state_dict(state["networks"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        set_random_state(state["random"])

    def _enter(self, index: int) -> None:
        """Begin a stage: its branches learn, with a new optimiser; the others rest."""
        self._stage = index
        self.networks.hand.train(self.stage.hand)
        active: list[nn.Module] = [self.networks.hand] if self.stage.hand else []
        if self.networks.branch is not None:
            self.networks.branch.train(self.stage.keypoints)
            active += [self.networks.branch] if self.stage.keypoints else []
        self._parameters = [p for module in active for p in module.parameters()]
        self._optimiser = torch.optim.Adam(self._parameters, lr=self.stage.lr, fused=True)

    def _clipped_norm(self) -> Tensor:
        """Return the norm of the gradient, and shorten it if the run says so."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.config.clip:
            nn.utils.clip_grads_with_norm_(self._parameters, self.config.clip, norm)
        return norm

    def _complaint(self, terms: Mapping[str, Tensor], batch: TrainBatch) -> TrainingError:
        """Return what to raise: the process with the broken samples tells, or else the first one.

        Losses do not say whose samples are broken, as all share one normalisation.
        """
        parts = (batch.rgb, batch.K, batch.uv, batch.confidence)
        mine = not all(bool(part.isfinite().all()) for part in parts)
        tells = mine if self.processes.any(mine) else self.processes.first
        if not tells:
            return PeerRefusedError("a batch of another process is not finite")
        broken = [name for name, value in terms.items() if not bool(value.isfinite())]
        what = f"the loss ({', '.join(broken)})" if broken else "the gradient"
        first = ", ".join(batch.source[:4])
        return NotFiniteError(
            f"{what} is not finite at step {self.step} of stage {self.stage.name}, on {first}"
        )


def _networks(config: TrainConfig, hand: HandModel) -> Networks:
    network = S2HandNetwork(config.network.for_hand(hand))
    if config.encoder_weights is not None:
        file = encoder_file(config.encoder_weights, config.network.encoder)
        load_encoder_weights(network.encoder, file)
    if config.start is not None:
        network.load_state_dict(_start(config, config.start, hand).state_dict())
    network.encoder.freeze(config.frozen_stages)
    needed = any(stage.keypoints for stage in config.stages)
    return Networks(network, KeypointNetwork(config.branch) if needed else None)


def _start(config: TrainConfig, file: Path, hand: HandModel) -> S2HandNetwork:
    start = read_network(file, hand)
    if start.config != config.network.for_hand(hand):
        raise TrainingError(
            f"the network to start from, {str(file)!r}, is made of {start.config.to_json()}; give "
            "this run the same --network options"
        )
    return start


def _average(network: S2HandNetwork, decay: float) -> AveragedModel | None:
    """Return a running mean of the weights, with the network's own normalisation statistics."""
    if not decay:
        return None
    average = AveragedModel(network, multi_avg_fn=_warm_mean(decay))
    return average.eval()


def _warm_mean(decay: float) -> Callable[..., None]:
    """Return an update whose memory grows to `decay`, so that the first weights are soon forgotten."""

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        seen = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + seen) / (10 + seen)))(averaged, current, count)

    return update
