"""Batches that processes make are the ones that threads make."""

import dataclasses
from functools import partial

import pytest
import torch

from train.batch import TrainBatch
from train.config import TrainConfig
from train.datasets.process_stream import ProcessStream
from train.datasets.sample import DatasetError
from train.distributed import ALONE, Processes
from train.presets import PRESETS
from train.sources import batch_stream, training_stream

CONFIG = dataclasses.replace(PRESETS["smoke"], batch=2, data=("synthetic,count=40",))


def stream(
    config: TrainConfig, start: int, process: Processes = ALONE, workers: int = 2
) -> ProcessStream:
    return ProcessStream(
        partial(batch_stream, config, process, in_bytes=True), start, workers, pin=False
    )


def assert_same(one: TrainBatch, other: TrainBatch) -> None:
    for field in dataclasses.fields(TrainBatch):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) if torch.is_tensor(a) else a == b


def test_processes_make_the_batches_of_threads_in_order():
    half = Processes(1, 2)
    four = dataclasses.replace(CONFIG, batch=4)
    with stream(four, 3, half) as made, batch_stream(four, half, 3) as expected:
        for step in (3, 4, 5, 6, 7):
            assert made.step == step
            raw = next(made)
            assert raw.rgb.dtype == torch.uint8
            moved = raw.to("cpu")
            assert moved.rgb.is_contiguous(memory_format=torch.channels_last)
            assert_same(moved, next(expected))


def test_what_is_wrong_with_the_data_is_said_in_one_line(tmp_path):
    from tests.train.test_pack import label
    from train.datasets.keypoint_files import write_labels

    write_labels(tmp_path / "labels.npz", [label(f"{i}.png", (100, 100), 60) for i in range(9)])
    broken = dataclasses.replace(CONFIG, data=(f"images:{tmp_path}",))
    with (
        stream(broken, 0, workers=1) as made,
        pytest.raises(DatasetError, match="broken") as caught,
    ):
        next(made)
    assert "\n" not in str(caught.value)


def test_a_processor_is_fed_by_threads():
    several = dataclasses.replace(CONFIG, workers=3)
    with training_stream(several, 0) as made:
        assert not isinstance(made, ProcessStream)
        assert made.depth == 4
