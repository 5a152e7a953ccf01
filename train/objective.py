"""A batch and the networks to named loss terms: the one place where every loss meets its inputs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tracker.geometry.camera import project
from tracker.geometry.hand_model import HandMesh, HandModel
from tracker.geometry.joint_limits import joint_frames, joint_limits
from tracker.geometry.losses import (
    consistency_loss,
    heat_loss,
    keypoint_loss,
    location_loss,
    orientation_loss,
    truth_loss,
)
from tracker.geometry.losses_photometric import (
    image_confidence,
    mean_color_loss,
    pixel_loss,
    ssim_loss,
    texture_loss,
)
from tracker.geometry.losses_priors import (
    anatomical_limit_loss,
    bone_prior_m,
    cotangent_laplacian,
    joint_limit_loss,
    laplacian_loss,
    scale_loss,
    shape_loss,
)
from tracker.geometry.pose_prior import PosePrior
from tracker.geometry.rasteriser import RasterTopology, Rendered, rasterise
from tracker.geometry.ssim import ssim
from tracker.geometry.vertex_light import light_vertices, vertex_normals
from tracker.vision.network import NetworkOutput, S2HandNetwork, decode
from train.batch import TrainBatch
from train.config import TrainConfig
from train.keypoint_network import KeypointNetwork
from train.stages import DRAWN, Stage, Term
from train.temporal import (
    joint_turns,
    motion_loss,
    steady_shape_loss,
    steady_texture_loss,
    whole_triples,
)

LOSS_PX = 224
"""Side of the crops whose pixels the losses count in."""


@dataclass(frozen=True)
class HandPrediction:
    """What the 3D branch says of a batch."""

    output: NetworkOutput
    mesh: HandMesh
    uv: Float[Tensor, "b 21 2"]
    """Projected joints in the crop's pixels."""
    rendered: Rendered | None
    """None where no term needs it."""


@dataclass(frozen=True)
class Prediction:
    """What the branches that ran say of a batch."""

    hand: HandPrediction | None
    uv_branch: Float[Tensor, "s b 21 2"] | None
    """Joints of each stack of the 2D branch in the crop's pixels."""


class Networks(nn.Module):
    """The network that is exported, and the 2D branch that only helps to train it."""

    def __init__(self, hand: S2HandNetwork, branch: KeypointNetwork | None) -> None:
        super().__init__()
        self.hand = hand
        self.branch = branch


class Objective:
    """The terms of a run's loss, on the hand they are measured with."""

    def __init__(self, config: TrainConfig, hand: HandModel) -> None:
        self.config, self.hand = config, hand
        self._bone_m = bone_prior_m(hand)
        self._topology = RasterTopology.of(hand.faces.cpu().numpy())
        self._frames, self._limits = joint_frames(hand), joint_limits(hand)
        self._laplacian = cotangent_laplacian(hand.v_template, hand.faces)
        self._pose_prior = (
            PosePrior.of_open_hand().to(hand.v_template.device) if config.weights.pose else None
        )
        self._half = config.precision == "bfloat16"

    def wanted(self, stage: Stage) -> tuple[Term, ...]:
        """Return the stage's terms that have a weight."""
        return tuple(term for term in stage.terms if getattr(self.config.weights, term) > 0)

    def __call__(
        self, networks: Networks, batch: TrainBatch, stage: Stage
    ) -> tuple[Prediction, dict[str, Float[Tensor, ""]]]:
        """Run the branches a stage needs; return what they say and its terms, unweighted."""
        wanted = self.wanted(stage)
        prediction = Prediction(
            self.predict(networks.hand, batch, draw=bool(DRAWN & set(wanted)))
            if stage.hand
            else None,
            self.predict_keypoints(networks, batch) if stage.keypoints else None,
        )
        return prediction, self.terms(prediction, batch, wanted)

    def predict(
        self, network: S2HandNetwork, batch: TrainBatch, *, draw: bool = False
    ) -> HandPrediction:
        """Reconstruct, and draw if asked to, the hands of a batch."""
        with torch.autocast(batch.rgb.device.type, torch.bfloat16, enabled=self._half):
            output = network(batch.rgb, batch.K)
        mesh = decode(output, self.hand)
        rendered = self.draw(output, mesh, batch) if draw else None
        return HandPrediction(output, mesh, project(mesh.joints, batch.K), rendered)

    def draw(self, output: NetworkOutput, mesh: HandMesh, batch: TrainBatch) -> Rendered:
        """Draw hands with the network's colours and light into their crops."""
        normals = vertex_normals(mesh.vertices, mesh.faces)
        colors = light_vertices(output.texture, output.light, normals)
        return self.draw_colors(mesh.vertices, colors, batch.K, batch.rgb.shape[-1])

    def draw_colors(
        self,
        vertices: Float[Tensor, "b V 3"],
        colors: Float[Tensor, "b V 3"],
        K: Float[Tensor, "b 3 3"],
        side: int,
    ) -> Rendered:
        """Draw hands in the colours given, into square pictures."""
        return rasterise(vertices, colors, K, self._topology, (side, side))

    def predict_keypoints(self, networks: Networks, batch: TrainBatch) -> Float[Tensor, "s b 21 2"]:
        """Return the joints that the 2D branch sees."""
        if networks.branch is None:
            raise ValueError("the stage trains the 2D branch, but these networks have none")
        with torch.autocast(batch.rgb.device.type, torch.bfloat16, enabled=self._half):
            return networks.branch(batch.rgb)

    def terms(
        self, prediction: Prediction, batch: TrainBatch, wanted: Iterable[Term]
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the wanted terms, unweighted."""
        makers: dict[str, Callable[[], Tensor]] = {}
        if prediction.uv_branch is not None:
            makers |= self._keypoint_terms(prediction.uv_branch, batch)
        if prediction.hand is not None:
            makers |= self._geometric_terms(prediction.hand, batch)
            makers |= self._seen_terms(prediction.hand, batch)
            makers |= self._photometric_terms(prediction.hand, batch)
            makers |= self._temporal_terms(prediction.hand.output, batch)
        if prediction.hand is not None and prediction.uv_branch is not None:
            uv, stacks = prediction.hand.uv, prediction.uv_branch
            px = _loss_px(batch)
            makers["consistency"] = lambda: consistency_loss(px * uv, px * stacks[-1])
        return {term: makers[term]() for term in wanted}

    def _keypoint_terms(
        self, uv: Float[Tensor, "s b 21 2"], batch: TrainBatch
    ) -> Mapping[str, Callable[[], Tensor]]:
        px, variant = _loss_px(batch), self.config.variant
        seen = batch.confidence
        return {
            "keypoints": lambda: keypoint_loss(px * uv, px * batch.uv, seen, variant=variant),
        }

    def _geometric_terms(
        self, hand: HandPrediction, batch: TrainBatch
    ) -> Mapping[str, Callable[[], Tensor]]:
        px, variant, seen = _loss_px(batch), self.config.variant, batch.confidence
        uv, target = px * hand.uv, px * batch.uv
        return {
            "location": lambda: location_loss(uv, target, seen, variant=variant),
            "orientation": lambda: orientation_loss(uv, target, seen),
            "shape": lambda: shape_loss(hand.output.betas, variant=variant),
            "scale": lambda: scale_loss(hand.mesh.joints, self._bone_m),
            "joint_limits": lambda: self._limit_loss(hand.output),
            "laplacian": lambda: laplacian_loss(hand.mesh.vertices, self._laplacian),
            "truth": lambda: truth_loss(hand.mesh.joints, batch.xyz),
            "pose": lambda: self._pose_loss(hand.output),
        }

    def _seen_terms(
        self, hand: HandPrediction, batch: TrainBatch
    ) -> Mapping[str, Callable[[], Tensor]]:
        """Return the terms about the joints that the network sees in its own maps."""
        seen = hand.output.seen
        if seen is None:
            return {}
        target, certain = batch.uv / batch.rgb.shape[-1], batch.confidence
        return {
            "heat": lambda: heat_loss(seen.heat, target, certain),
            "seen": lambda: location_loss(LOSS_PX * seen.place, LOSS_PX * target, certain),
        }

    def _temporal_terms(
        self, output: NetworkOutput, batch: TrainBatch
    ) -> Mapping[str, Callable[[], Tensor]]:
        whole = whole_triples(batch)
        return {
            "motion": lambda: motion_loss(
                joint_turns(output, self.hand, batch.crop_from_cam), whole
            ),
            "steady_shape": lambda: steady_shape_loss(output.betas, output.scale, whole),
            "steady_texture": lambda: steady_texture_loss(output.texture, whole),
        }

    def _pose_loss(self, output: NetworkOutput) -> Float[Tensor, ""]:
        assert self._pose_prior is not None, "wanted only where it has a weight"
        return self._pose_prior.loss(self.hand.pose_from_pca(output.pose))

    def _limit_loss(self, output: NetworkOutput) -> Float[Tensor, ""]:
        pose = self.hand.pose_from_pca(output.pose)
        if self.config.limits == "paper":
            return joint_limit_loss(pose)
        return anatomical_limit_loss(pose, self._frames, self._limits)

    def _photometric_terms(
        self, hand: HandPrediction, batch: TrainBatch
    ) -> Mapping[str, Callable[[], Tensor]]:
        trust = image_confidence(batch.confidence, self.config.picture_trust)
        weight = batch.photometric_weight * trust
        variant = self.config.variant
        makers: dict[str, Callable[[], Tensor]] = {
            "texture": lambda: texture_loss(hand.output.texture, weight)
        }
        if hand.rendered is None:
            return makers
        image, mask = batch.rgb.permute(0, 2, 3, 1), hand.rendered.mask
        # The picture goes behind the hand, or its soft outline would be compared with black.
        render = hand.rendered.rgb + (1 - mask)[..., None] * image
        return makers | {
            "pixel": lambda: pixel_loss(render, image, mask, weight, variant=variant),
            "ssim": lambda: ssim_loss(ssim(image, render, mask), weight),
            "mean_color": lambda: mean_color_loss(render, image, mask, weight),
        }


@torch.no_grad()
def spread(uv: Float[Tensor, "b 21 2"], target: Float[Tensor, "b 21 2"]) -> Float[Tensor, ""]:
    """Return how large the projected hands are, in sizes of those they should be.

    It falls to 0 where hands shrink to a point, the collapse of a bad parameterisation.
    """
    return uv.std(1).mean() / target.std(1).mean().clamp(min=1e-6)


def _loss_px(batch: TrainBatch) -> float:
    """Return the losses' pixels for one pixel of the crop."""
    return LOSS_PX / batch.rgb.shape[-1]
