"""Made-up hands for the tests: random numbers in a hand file's layout, never anyone's data.

The pickles have the very global names of the official files: stand-ins for chumpy and scipy's old
modules are put where `pickle` looks them up while a file is written, and taken away afterwards.
"""

import io
import pickle
import struct
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import pytest
from hypothesis import settings

from tracker.geometry.hand_files import HandArrays
from tracker.geometry.skeleton import MANO_PARENTS

# The first example of a law compiles and imports; a deadline would measure that.
settings.register_profile("handloom", deadline=None, max_examples=50)
settings.load_profile("handloom")

LENGTH_M = {"index": 0.18, "middle": 0.19, "pinky": 0.15, "ring": 0.18, "thumb": 0.10}


def random_hand(rng: np.random.Generator, vertices: int = 778) -> dict[str, np.ndarray]:
    """Arrays of a right hand as MANO keeps them: five rows of joints along -x, thumb at +z.

    Vertex i < 16 sits near joint i, so that regressed joints form a hand whatever the rest is.
    """
    joints = np.zeros((16, 3))
    for finger, (side, length) in enumerate(
        zip((0.02, 0, -0.04, -0.02, 0.05), LENGTH_M.values(), strict=True)
    ):
        for part in range(3):
            joints[1 + 3 * finger + part] = [-length * (0.5 + 0.2 * part), 0.002 * finger, side]
    centres = np.arange(vertices) % 16
    template = joints[centres] + rng.normal(size=(vertices, 3)) * [0.01, 0.006, 0.008]
    regressor = np.zeros((16, vertices))
    regressor[np.arange(16), np.arange(16)] = 1
    weights = rng.random((vertices, 16)) * (rng.random((vertices, 16)) < 0.2)
    weights[np.arange(vertices), centres] += 0.5
    size = (template - template.mean(0))[..., None] * np.array([0.06] + [0.0] * 9)
    return {
        "v_template": template,
        "f": rng.integers(0, vertices, (2 * vertices - 18, 3)).astype(np.uint32),
        "weights": weights / weights.sum(1, keepdims=True),
        "J_regressor": regressor,
        "shapedirs": size + rng.normal(size=(vertices, 3, 10)) * 0.0005,
        "posedirs": rng.normal(size=(vertices, 3, 135)) * 0.0005,
        "kintree_table": np.array([[2**32 - 1, *MANO_PARENTS[1:]], range(16)], np.uint32),
        "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0],
        "hands_mean": rng.normal(size=45) * 0.2,
        "hands_coeffs": rng.normal(size=(50, 45)),
    }


def mirrored(hand: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same hand as its left counterpart, written out key by key."""
    flip = np.array([-1.0, 1.0, 1.0])
    rotation_sign = np.tile(np.outer(flip, flip).ravel(), 15)
    axis_sign = np.tile(-flip, 15)
    return hand | {
        "v_template": hand["v_template"] * flip,
        "shapedirs": hand["shapedirs"] * flip[:, None],
        "posedirs": hand["posedirs"] * flip[:, None] * rotation_sign,
        "f": hand["f"][:, ::-1],
        "hands_components": hand["hands_components"] * axis_sign,
        "hands_mean": hand["hands_mean"] * axis_sign,
    }


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2's one string type, as the official files have them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, text: str | bytes) -> None:
        data = text.encode("latin1") if isinstance(text, str) else text
        self.write(b"T" + struct.pack("<I", len(data)) + data)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_string


def _module(name: str, **classes: type) -> ModuleType:
    module = ModuleType(name)
    for class_name, made in classes.items():
        made.__module__, made.__name__, made.__qualname__ = name, class_name, class_name
        setattr(module, class_name, made)
    return module


def chumpy_pickle(
    hand: dict[str, np.ndarray], protocol: int = 2, *, python2: bool = False
) -> bytes:
    """Pickle a hand with chumpy leaves, a chumpy selection and a sparse regressor."""

    class Ch:
        def __init__(self, **state: Any) -> None:
            self.__dict__.update(state, _dirty_vars=set(), _itr=None)

    class Select(Ch):
        pass

    class Sparse:
        def __init__(self, dense: np.ndarray) -> None:
            columns, rows = np.nonzero(dense.T)
            self.data, self.indices = dense[rows, columns], rows.astype(np.int32)
            self.indptr = np.searchsorted(columns, np.arange(dense.shape[1] + 1)).astype(np.int32)
            self._shape, self.maxprint = dense.shape, 50

    modules = {
        "chumpy": ModuleType("chumpy"),
        "chumpy.ch": _module("chumpy.ch", Ch=Ch),
        "chumpy.reordering": _module("chumpy.reordering", Select=Select),
        "scipy.sparse.csc": _module("scipy.sparse.csc", csc_matrix=Sparse),
    }
    wide = np.concatenate([hand["shapedirs"], hand["shapedirs"][..., :3] + 1], -1)
    indices = np.arange(wide.size).reshape(wide.shape)[:, :, :10]
    content = hand | {
        **{key: Ch(x=hand[key]) for key in ("v_template", "weights", "posedirs")},
        "shapedirs": Select(a=Ch(x=wide), idxs=indices.ravel(), preferred_shape=indices.shape),
        "J_regressor": Sparse(hand["J_regressor"]),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
    }
    stream = io.BytesIO()
    with mock.patch.dict(sys.modules, modules):
        (Python2Pickler if python2 else pickle._Pickler)(stream, protocol).dump(content)
    data = stream.getvalue()
    return data.replace(b"numpy._core.", b"numpy.core.") if python2 else data


def hand_arrays(hand: dict[str, np.ndarray]) -> HandArrays:
    """The arrays as a reader would return them."""
    values = {k: v for k, v in hand.items() if k != "kintree_table"} | {"f": hand["f"].astype(int)}
    return HandArrays(
        **values, tip_ids=(15, 3, 6, 12, 9), side="right", model_id="random-1", sha256=""
    )


@pytest.fixture(scope="session")
def make_hand() -> Callable[..., dict[str, np.ndarray]]:
    """`random_hand`, for tests in any folder."""
    return random_hand


@pytest.fixture(scope="session")
def make_pickle() -> Callable[..., bytes]:
    """`chumpy_pickle`."""
    return chumpy_pickle


@pytest.fixture(scope="session")
def make_left() -> Callable[..., dict[str, np.ndarray]]:
    """`mirrored`."""
    return mirrored


@pytest.fixture(scope="session")
def hand() -> dict[str, np.ndarray]:
    """One made-up right hand with MANO's sizes; copy before changing it."""
    return random_hand(np.random.default_rng(1))


@pytest.fixture(scope="session")
def small_hand() -> HandArrays:
    """A made-up right hand with few vertices, as read."""
    return hand_arrays(random_hand(np.random.default_rng(2), vertices=40))


@pytest.fixture(scope="session")
def mano_pickle(hand: dict[str, np.ndarray]) -> bytes:
    """`hand` in the form of an official MANO_RIGHT.pkl."""
    return chumpy_pickle(hand, python2=True)
