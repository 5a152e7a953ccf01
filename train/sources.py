"""The data sets a configuration names, as batches."""

from functools import partial
from pathlib import Path

from train.augment import Augmentation
from train.config import TrainConfig
from train.datasets import open_dataset
from train.datasets.mixing import BatchStream, Stream, StreamConfig
from train.datasets.process_stream import ProcessStream
from train.datasets.sample import Dataset, DatasetError
from train.distributed import Processes, this_process
from train.errors import TrainingError
from train.predictor import pick_device
from train.temporal import TEMPORAL, TRIPLE


def training_stream(config: TrainConfig, start_step: int) -> Stream:
    """Open the training data; the batch of a step is always the same, and shared by all processes.

    For a GPU several workers are processes, for a processor threads.

    Raises:
        DatasetError: a data set is unknown or cannot be used.
        TrainingError: the batch cannot be shared.
    """
    process, gpu = this_process(), pick_device(config.device).type == "cuda"
    if not gpu or config.workers < 2:
        return batch_stream(config, process, start_step, workers=config.workers)
    # Opened here as well, so that what is wrong is said before processes start.
    batch_stream(config, process)
    opened = partial(batch_stream, config, process, in_bytes=True)
    return ProcessStream(opened, start_step, config.workers, pin=True)


def batch_stream(
    config: TrainConfig,
    process: Processes,
    start_step: int = 0,
    *,
    workers: int = 0,
    in_bytes: bool = False,
) -> BatchStream:
    """Open the part of the training data that belongs to a process of the run.

    Raises:
        DatasetError: a data set is unknown or cannot be used.
        TrainingError: the batch cannot be shared.
    """
    share = process.share(config.batch)
    datasets = [open_dataset(_completed(words, config)) for words in config.data]
    run_length = max(int(getattr(dataset, "run_length", 1)) for dataset in datasets)
    _check_triples(config, share, run_length)
    augmentation = Augmentation() if config.augment else None
    return BatchStream(
        datasets,
        config.shares or None,
        batch=share,
        seed=config.seed,
        start_step=start_step,
        workers=workers,
        config=StreamConfig(
            config.network.input_px,
            augmentation,
            run_length,
            rank=process.rank,
            world=process.world,
            in_bytes=in_bytes,
        ),
    )


def _check_triples(config: TrainConfig, share: int, run_length: int) -> None:
    """Refuse losses between frames without neighbours, which would be silently nothing."""
    wanted = [term for term in TEMPORAL if getattr(config.weights, term)]
    if wanted and run_length != TRIPLE:
        raise TrainingError(
            f"the weight of {wanted[0]} is about neighbouring frames, and no data set has them; "
            "give --data videos:FOLDER,triples=yes"
        )
    if share % run_length:
        raise TrainingError(
            f"{share} samples (batch by processes) do not divide into runs of {run_length} "
            "neighbouring frames; choose another --batch"
        )


def validation_set(config: TrainConfig) -> Dataset:
    """Open the data to measure on.

    Raises:
        DatasetError: it is unknown, cannot be used, or has no end.
    """
    words = config.validation.data
    dataset = open_dataset(_completed(words, config))
    if len(dataset) > 2**31:
        raise DatasetError(f"validation data {words!r} has no end; add a count, as in count=512")
    return dataset


def _completed(words: str, config: TrainConfig) -> str:
    return completed_words(words, config.network.input_px, config.hand_model)


def completed_words(words: str, input_px: int, hand_model: Path | None) -> str:
    """Give made-up hands the size and the hand of the network, where the words do not."""
    kind, *options = words.split(",")
    if kind != "synthetic":
        return words
    given = {option.partition("=")[0] for option in options}
    if "size_px" not in given:
        options.append(f"size_px={input_px}")
    if "hand_model" not in given and hand_model is not None:
        options.append(f"hand_model={hand_model}")
    return ",".join([kind, *options])
