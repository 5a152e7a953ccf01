"""Joint names form one tree, and every other project's order is a permutation of them."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.geometry.hand_model import KEYPOINTS_FROM_MANO
from tracker.geometry.skeleton import (
    BONES,
    FINGERS,
    JOINTS,
    MANO_FINGERS,
    MANO_JOINTS,
    MANO_PARENTS,
    OPENXR_FROM_HANDLOOM,
    OPENXR_JOINTS,
    ORDERS,
    PARENTS,
    TIPS,
    permutation,
)

orders = st.sampled_from(sorted(ORDERS))


def test_21_joints_from_palm_to_tip():
    assert len(JOINTS) == len(set(JOINTS)) == 21
    assert JOINTS[:5] == ("wrist", "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip")
    assert JOINTS[5:9] == ("index_mcp", "index_pip", "index_dip", "index_tip")
    assert [JOINTS[i] for i in TIPS] == [f"{finger}_tip" for finger in FINGERS]


def test_bones_form_a_tree_that_follows_the_fingers():
    assert len(BONES) == 20
    for parent, child in BONES:
        assert PARENTS[child] == parent < child
        same_finger = JOINTS[parent].split("_")[0] == JOINTS[child].split("_")[0]
        assert same_finger != (parent == 0)


def test_manos_tree_is_the_same_tree_without_tips():
    names = [JOINTS[PARENTS[JOINTS.index(name)]] for name in MANO_JOINTS[1:]]
    assert names == [MANO_JOINTS[parent] for parent in MANO_PARENTS[1:]]
    assert [name.split("_")[0] for name in MANO_JOINTS[1::3]] == list(MANO_FINGERS)


def test_keypoints_follow_manopths_published_order():
    published = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
    assert published == KEYPOINTS_FROM_MANO


@pytest.mark.parametrize(("source", "target"), list(product(ORDERS, ORDERS)))
def test_permutations_are_bijections_that_move_names(source, target):
    indices = permutation(source, target)
    assert sorted(indices) == list(range(21))
    assert [ORDERS[source][i] for i in indices] == list(ORDERS[target])


@given(orders, orders, orders)
def test_permutations_compose_and_invert(a, b, c):
    joints = np.arange(21)
    there = joints[permutation(a, b)]
    np.testing.assert_array_equal(there[permutation(b, c)], joints[permutation(a, c)])
    np.testing.assert_array_equal(there[permutation(b, a)], joints)


def test_orders_of_other_projects_at_places_that_are_documented():
    assert ORDERS["freihand"] == ORDERS["mediapipe"] == JOINTS
    assert ORDERS["rhd"][:6] == (
        "wrist",
        "thumb_tip",
        "thumb_ip",
        "thumb_mcp",
        "thumb_cmc",
        "index_tip",
    )
    assert ORDERS["ho3d"][1] == "index_mcp"
    assert ORDERS["ho3d"][13:18] == ("thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip", "index_tip")
    assert ORDERS["mano"][:6] == (
        "wrist",
        "index_mcp",
        "index_pip",
        "index_dip",
        "index_tip",
        "middle_mcp",
    )


def test_unknown_orders_are_refused_with_the_known_ones():
    with pytest.raises(KeyError, match="'coco' is unknown; known orders: handloom, freihand"):
        permutation("handloom", "coco")
    with pytest.raises(KeyError, match="'coco'"):
        permutation("coco", "handloom")


def test_openxr_has_every_joint_once_and_five_more():
    assert len(OPENXR_JOINTS) == len(set(OPENXR_JOINTS)) == 26
    known = OPENXR_FROM_HANDLOOM[OPENXR_FROM_HANDLOOM >= 0]
    assert sorted(known) == list(range(21))
    missing = [n for n, i in zip(OPENXR_JOINTS, OPENXR_FROM_HANDLOOM, strict=True) if i < 0]
    assert missing == ["palm", *(f"{f}_metacarpal" for f in ("index", "middle", "ring", "little"))]


@pytest.mark.parametrize(
    ("openxr", "ours"),
    [
        ("wrist", "wrist"),
        ("thumb_metacarpal", "thumb_cmc"),
        ("thumb_proximal", "thumb_mcp"),
        ("thumb_distal", "thumb_ip"),
        ("index_proximal", "index_mcp"),
        ("little_distal", "pinky_dip"),
        ("ring_tip", "ring_tip"),
    ],
)
def test_openxr_joints_are_named_after_the_bone_they_begin(openxr, ours):
    assert JOINTS[OPENXR_FROM_HANDLOOM[OPENXR_JOINTS.index(openxr)]] == ours
