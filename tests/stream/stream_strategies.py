"""Random frames for the laws of both encodings.

Records that hold tuples are drawn as their fields: the run-time type checker picks an item of a
tuple by chance, which strategies must not do.
"""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tracker.stream.frames import AXES
from tracker.stream.records import StreamHand

SHAPES = {
    "joints": (26, 8),
    "kp3d": (21, 3),
    "kp2d": (21, 2),
    "mano": (61,),
    "verts": (778, 3),
    "vel": (26, 6),
    "pinch": (4,),
}
axes = st.sampled_from(sorted(AXES))


def part(name: str) -> st.SearchStrategy[np.ndarray | None]:
    """A part drawn from a small seed: hypothesis need not shrink 6000 numbers."""

    def make(seed: int) -> np.ndarray:
        values = np.random.default_rng(seed).uniform(-0.3, 0.3, SHAPES[name])
        if name == "joints":
            values[:, 3:7] /= np.linalg.norm(values[:, 3:7], axis=1, keepdims=True)
            values[:, 7] = np.abs(values[:, 7]) + 1e-3
        return values.astype(np.float32)

    small = arrays(np.float32, SHAPES[name], elements=st.floats(-100, 100, width=32))
    drawn = st.integers(0, 1000).map(make)
    return st.none() | (small | drawn if name == "pinch" else drawn)


hands = st.builds(
    StreamHand,
    id=st.integers(0, 2**32 - 1),
    side=st.sampled_from(["left", "right"]),
    state=st.sampled_from(["tracked", "predicted", "lost"]),
    score=st.floats(0, 1, width=32),
    side_score=st.none() | st.floats(0, 1, width=32),
    scale=st.floats(0.5, 2, width=32),
    emulated=st.integers(0, 2**26 - 1),
    **{name: part(name) for name in SHAPES},
)


@st.composite
def frame_fields(draw: st.DrawFn) -> dict:
    """Fields of a `StreamFrame`."""
    chosen = draw(axes)
    return {
        "seq": draw(st.integers(0, 2**63)),
        "frame": draw(st.integers(0, 2**32 - 1)),
        "t_capture_ns": draw(st.integers(0, 2**62)),
        "t_publish_ns": draw(st.integers(0, 2**62)),
        "hands": tuple(replace(h, axes=chosen) for h in draw(st.lists(hands, max_size=3))),
        "session": draw(st.integers(0, 2**32 - 1)),
    }
