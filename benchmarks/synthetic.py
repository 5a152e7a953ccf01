"""Made-up training pictures: how many a processor core draws, and what share each part takes."""

import time
from collections.abc import Callable

import numpy as np

from benchmarks.metric import Metric
from tracker.geometry.hand_model import HandModel
from tracker.geometry.zbuffer import draw_faces, draw_small_faces, project
from train.datasets.mixing import BatchStream, StreamConfig
from train.datasets.synthetic import SyntheticConfig, SyntheticHands

_WINDOW = 40
_GOAL_PER_S = 1000.0


def run(quick: bool) -> list[Metric]:
    """Draw pictures on one core, in windows, so that the quiet moments show what the code costs."""
    windows = 5 if quick else 40
    metrics = [drawing_speed(px, windows) for px in (224, 128)]
    return [*metrics, _stream(3 if quick else 12), *_rasteriser(20 if quick else 200)]


def drawing_speed(size_px: int, windows: int) -> Metric:
    """Return pictures for each second of one core's time; the median and the best window."""
    hands = SyntheticHands(SyntheticConfig(size_px=size_px))
    costs_s = [
        _cpu_s(lambda w=w: [hands[w * _WINDOW + i] for i in range(_WINDOW)])
        for w in range(windows + 1)
    ]
    per_s = _WINDOW / np.array(costs_s[1:])
    return Metric(
        f"synthetic_{size_px}_images_per_core_s",
        float(np.median(per_s)),
        "1/s",
        reference=f"best window; goal {_GOAL_PER_S:.0f}",
        reference_value=float(per_s.max()),
        ratio=float(np.median(per_s)) / _GOAL_PER_S,
        better="higher",
    )


def _cpu_s(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def _stream(steps: int) -> Metric:
    """Return pictures a second that reach a training loop, as batches from two threads."""
    config = StreamConfig(hw_px=224)
    with BatchStream(SyntheticHands(), batch=32, workers=2, config=config) as stream:
        next(stream)
        start = time.perf_counter()
        for _ in range(steps):
            next(stream)
        elapsed_s = time.perf_counter() - start
    return Metric("synthetic_stream_images_per_s", 32 * steps / elapsed_s, "1/s", better="higher")


def _rasteriser(rounds: int) -> list[Metric]:
    """Compare the rasteriser for small triangles with the library's, on one hand at 448 pixels."""
    model = HandModel.load()
    faces = np.ascontiguousarray(model.faces.numpy(), np.int32)
    K = np.array([[900.0, 0, 224], [0, 900, 224], [0, 0, 1]])
    uvw = project(model.v_template.numpy() + np.array([0, 0, 0.5], np.float32), K)
    face_id, inv_depth = np.empty((448, 448), np.int32), np.empty((448, 448), np.float32)

    def ours() -> None:
        inv_depth[:] = 0
        draw_small_faces(uvw, faces, face_id, inv_depth)

    def library() -> None:
        inv_depth[:] = 0
        draw_faces(uvw, faces, 0, 0, face_id, inv_depth)

    times_ms = np.array([[1e3 * _cpu_s(ours), 1e3 * _cpu_s(library)] for _ in range(rounds + 1)])[
        1:
    ]
    ours_ms, library_ms = np.median(times_ms, 0)
    return [
        Metric(
            "synthetic_raster_ms",
            float(ours_ms),
            "ms",
            reference="zbuffer.draw_faces",
            reference_value=float(library_ms),
            ratio=float(library_ms / ours_ms),
        )
    ]
