from itertools import islice

import numpy as np
import pytest
import torch

from train.augment import Augmentation
from train.datasets.mixing import BatchStream, StreamConfig, ordered_batches
from train.datasets.sample import ENDLESS, DatasetError, Sample, SampleError, Truth

HAND = np.random.default_rng(5).normal([0, 0, 0.6], 0.04, (21, 3))
K = np.array([[100.0, 0, 24], [0, 100, 24], [0, 0, 1]])
SMALL = StreamConfig(hw_px=32)


class Numbered:
    """A data set whose pictures say their index; some of them are broken."""

    def __init__(self, name: str, count: int, broken: frozenset[int] = frozenset()) -> None:
        self.name, self._count, self._broken = name, count, broken

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        if index in self._broken:
            raise SampleError(f"{self.name}/{index:03d}.jpg is damaged; replace it")
        rgb = np.full((48, 48, 3), index % 256, np.uint8)
        uv = (HAND @ K.T)[:, :2] / HAND[:, 2:]
        clip = (self.name, index)
        return Sample(rgb, K, uv, np.ones(21), f"{self.name}:{index}", Truth(HAND), clip=clip)


def sources(stream: BatchStream, steps: int) -> list[list[str]]:
    with stream:
        return [next(stream).source for _ in range(steps)]


def indices(batches: list[list[str]]) -> list[int]:
    return [int(s.split(":")[1]) for batch in batches for s in batch]


def test_a_batch_is_whole():
    stream = BatchStream(Numbered("a", 10), batch=4, workers=0, config=SMALL)
    batch = next(stream)
    assert batch.rgb.shape == (4, 3, 32, 32)
    assert batch.rgb.is_contiguous(memory_format=torch.channels_last)
    assert batch.rgb.max() <= 1
    assert batch.uv.dtype == batch.K.dtype == torch.float32
    projected = torch.einsum("bij,bnj->bni", batch.K, batch.xyz)
    torch.testing.assert_close(projected[..., :2] / projected[..., 2:], batch.uv, atol=1e-3, rtol=0)
    assert batch.vertices is None
    assert batch.mask is None
    assert len(batch) == 4
    assert batch.to("cpu").source == batch.source


def test_an_epoch_shows_each_sample_once():
    seen = indices(sources(BatchStream(Numbered("a", 12), batch=4, config=SMALL), 6))
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_resuming_gives_the_same_batches(workers: int):
    def stream(start: int = 0, workers: int = 0) -> BatchStream:
        return BatchStream(
            [Numbered("a", 7), Numbered("b", 30)],
            [0.3, 0.7],
            batch=4,
            seed=9,
            start_step=start,
            workers=workers,
            config=SMALL,
        )

    with stream() as whole:
        wanted = [next(whole) for _ in range(10)]
    with stream(6, workers) as later:
        for batch in wanted[6:]:
            found = next(later)
            assert found.source == batch.source
            torch.testing.assert_close(found.rgb, batch.rgb, atol=0, rtol=0)
            torch.testing.assert_close(found.uv, batch.uv, atol=0, rtol=0)
        assert later.step == 10


def test_processes_share_the_batches_of_one():
    one = sources(BatchStream(Numbered("a", 40), batch=8, seed=2, config=SMALL), 3)
    halves = [
        sources(
            BatchStream(
                Numbered("a", 40),
                batch=4,
                seed=2,
                config=StreamConfig(hw_px=32, rank=rank, world=2),
            ),
            3,
        )
        for rank in range(2)
    ]
    assert one == [a + b for a, b in zip(*halves, strict=True)]


def test_a_mixture_keeps_its_shares():
    sets = [Numbered("a", 50), Numbered("b", 5), Numbered("c", 9)]
    drawn = sources(BatchStream(sets, [0.5, 0.5, 0.0], batch=50, workers=0, config=SMALL), 8)
    names = [s.split(":")[0] for batch in drawn for s in batch]
    assert 0.4 < names.count("a") / len(names) < 0.6
    assert "c" not in names


def test_endless_sets_are_walked_through_in_order():
    drawn = sources(BatchStream(Numbered("e", ENDLESS), batch=3, config=SMALL), 2)
    assert indices(drawn) == list(range(6))


def test_runs_of_neighbours_stay_together():
    config = StreamConfig(hw_px=32, run_length=3)
    batches = sources(BatchStream(Numbered("v", 30), batch=6, config=config), 5)
    runs = np.array(indices(batches)).reshape(-1, 3)
    assert (np.diff(runs, axis=1) == 1).all()
    assert sorted(runs[:, 0]) == list(range(0, 30, 3))


def test_broken_samples_are_named_counted_and_left_out(caplog: pytest.LogCaptureFixture):
    data = Numbered("a", 100, frozenset({3, 50}))
    with BatchStream(data, batch=10, config=SMALL) as stream:
        seen = indices([next(stream).source for _ in range(10)])
        assert set(stream.broken) == {"a:3", "a:50"}
        assert stream.drawn >= 100
    assert len(seen) == 100
    assert not {3, 50} & set(seen)
    assert "a/003.jpg is damaged" in caplog.text


def test_too_many_broken_samples_stop_the_stream():
    data = Numbered("a", 100, frozenset(range(0, 100, 8)))
    with (
        BatchStream(data, batch=10, config=SMALL) as stream,
        pytest.raises(DatasetError, match="more than 5%"),
    ):
        list(islice(stream, 10))


def test_a_set_that_is_all_broken_stops_at_once():
    broken = Numbered("b", 3, frozenset(range(3)))
    with (
        BatchStream(broken, batch=1, workers=0, config=SMALL) as stream,
        pytest.raises(DatasetError, match="broken"),
    ):
        next(stream)


def test_ordered_batches_give_everything_once():
    data = Numbered("a", 7, frozenset({2}))
    broken: dict[str, str] = {}
    batches = list(ordered_batches(data, batch=4, hw_px=32, broken=broken))
    assert [len(b) for b in batches] == [4, 2]
    assert list(broken) == ["a:2"]
    with pytest.raises(SampleError, match=r"002\.jpg"):
        list(ordered_batches(data, batch=4, hw_px=32))


def test_without_augmentation_regions_are_plain():
    config = StreamConfig(hw_px=32, augmentation=None)
    stream = BatchStream(Numbered("a", 4), batch=4, workers=0, config=config)
    batch = next(stream)
    torch.testing.assert_close(batch.K, batch.K[:1].expand(4, 3, 3), atol=0, rtol=0)
    moved = next(
        BatchStream(Numbered("a", 4), batch=4, workers=0, config=StreamConfig(32, Augmentation()))
    )
    assert not torch.allclose(moved.K[0], moved.K[1])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"datasets": []}, ValueError),
        ({"weights": [1.0, 2.0]}, ValueError),
        ({"batch": 0}, ValueError),
        ({"datasets": Numbered("a", 0)}, DatasetError),
    ],
)
def test_streams_are_checked(arguments: dict, error: type[Exception]):
    with pytest.raises(error):
        BatchStream(**({"datasets": Numbered("a", 4), "batch": 2} | arguments))
