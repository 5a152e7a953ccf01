"""The recipe: from the anthropometric tables to the finished open hand, stage by stage, without chance.

All randomness comes from generators with fixed seeds. Two machines may still disagree in the last bits of linear
algebra, and then in a few triangles: compare invariants (`checks`), never bytes.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from tracker.geometry.hand_files import MANO_TIP_IDS
from tracker.geometry.skeleton import MANO_PARENTS
from train.open_hand import mesh
from train.open_hand.anthropometry import (
    MM,
    Skeleton,
    skeleton,
    template_scale,
    template_skeleton,
)
from train.open_hand.hand_shape import hand_field
from train.open_hand.joint_angles import limits_deg, rotations_from_hand_pose
from train.open_hand.masks import vertex_masks
from train.open_hand.model import MODEL_ID, OpenHand
from train.open_hand.pose_correctives import fit_pose_directions
from train.open_hand.pose_space import pose_space, sample_poses
from train.open_hand.regressor import joint_regressor
from train.open_hand.remesh import reduce
from train.open_hand.sdf import Field
from train.open_hand.shape_space import shape_directions
from train.open_hand.surface import extract_surface
from train.open_hand.topology import Topology, assemble
from train.open_hand.weights import harmonic_weights

PALM_SPACING = 3.0 * MM
STRADDLE = 0.6
"""Share of the mean gap between flat faces and the curved skin by which vertices move out, to keep the volume."""
SHAPE_SEED, POSE_SEED = 3, 1
POSES = 1500
CORRECTIVE_POSES = 400

Stage = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Template:
    """The rest hand in the template's frame: mesh, weights, skeleton."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    weights: Float[np.ndarray, "v 16"]
    bones: Skeleton


def build(stage: Stage = lambda title: nullcontext()) -> OpenHand:
    """Build the open hand.

    Args:
        stage: Called with each stage's title; its context is held while the stage runs.
    """
    field, bones = hand_field(), skeleton()
    with stage("surface"):
        surface = extract_surface(field, PALM_SPACING)
    with stage("digits"):
        assembled = assemble(field, bones, *surface)
    with stage("reduction to 778 vertices"):
        topology = with_tips_in_place(reduce(field, bones, assembled))
    with stage("skinning weights"):
        weights = harmonic_weights(field, bones, topology.vertices)
    template = place_template(field, topology, weights)
    with stage("shape space"):
        shapes = shape_directions(
            template.vertices,
            template.faces,
            template.bones,
            weights,
            np.random.default_rng(SHAPE_SEED),
        )
    with stage("joint regressor"):
        regressor = joint_regressor(template.vertices, template.bones.joints)
    with stage("pose space"):
        poses = sample_poses(POSES, np.random.default_rng(POSE_SEED))
    with stage("pose correctives"):
        rotations = rotations_from_hand_pose(poses[:CORRECTIVE_POSES])
        correctives = fit_pose_directions(
            template.vertices, template.bones.joints, weights, rotations
        )
    return pack(template, shapes, regressor, poses, correctives)


def with_tips_in_place(topology: Topology) -> Topology:
    """Renumber the vertices so that the fingertips have the customary ids, `MANO_TIP_IDS`."""
    order = np.arange(len(topology.vertices))
    wanted = np.array(MANO_TIP_IDS["right"])
    for tip, place in zip(topology.tips, wanted, strict=True):
        now = int(np.flatnonzero(order == tip)[0])
        order[[place, now]] = order[[now, place]]
    position = np.argsort(order)
    return Topology(
        topology.vertices[order], position[topology.faces], topology.locked[order], wanted
    )


def place_template(field: Field, topology: Topology, weights: np.ndarray) -> Template:
    """Let the coarse mesh straddle the skin, scale it to the mean hand and move it to the template's origin."""
    vertices, faces = topology.vertices, topology.faces
    gaps = np.column_stack([-field(vertices[faces].mean(1)), np.ones(len(faces))])
    sums = mesh.vertex_sums(gaps, faces, len(vertices))
    mean_gap = sums[:, :1] / sums[:, 1:]
    vertices = vertices + STRADDLE * mean_gap * mesh.vertex_normals(vertices, faces)
    origin = skeleton().chain("middle")[0]
    return Template((vertices - origin) * template_scale(), faces, weights, template_skeleton())


def pack(
    template: Template,
    shapes: np.ndarray,
    regressor: np.ndarray,
    poses: np.ndarray,
    correctives: np.ndarray,
) -> OpenHand:
    """Put all parts into the file layout's names and number types."""
    space = pose_space(poses)
    masks = vertex_masks(template.vertices, template.faces, template.weights, template.bones)
    parents = np.array([2**32 - 1, *MANO_PARENTS[1:]], np.uint32)

    def single(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array, np.float32)

    regressor = single(regressor)
    return OpenHand(
        v_template=single(template.vertices),
        f=template.faces.astype(np.uint16),
        weights=single(template.weights),
        J_regressor=regressor,
        shapedirs=single(shapes),
        posedirs=single(correctives),
        kintree_table=np.stack([parents, np.arange(16, dtype=np.uint32)]),
        J=single(regressor.astype(float) @ single(template.vertices)),
        hands_components=single(space.components),
        hands_mean=single(space.mean),
        hands_coeffs=single(space.coefficients),
        pose_sd=single(space.sd),
        tip_ids=np.array(MANO_TIP_IDS["right"], np.int32),
        joint_axes=single(template.bones.axes),
        joint_limits_deg=single(limits_deg()),
        mask_palmar=single(masks.palmar),
        mask_nail=single(masks.nail),
        mask_fingertip=single(masks.fingertip),
        mask_knuckle=single(masks.knuckle),
        model_id=MODEL_ID,
    )
