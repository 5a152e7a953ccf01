"""The data sets a configuration names, as batches."""

from train.augment import Augmentation
from train.config import TrainConfig
from train.datasets import open_dataset
from train.datasets.mixing import BatchStream, StreamConfig
from train.datasets.sample import Dataset, DatasetError


def training_stream(config: TrainConfig, start_step: int) -> BatchStream:
    """Open the training data; the batch of a step is always the same.

    Raises:
        DatasetError: a data set is unknown or cannot be used.
    """
    datasets = [open_dataset(_completed(words, config)) for words in config.data]
    augmentation = Augmentation() if config.augment else None
    return BatchStream(
        datasets,
        config.shares or None,
        batch=config.batch,
        seed=config.seed,
        start_step=start_step,
        workers=config.workers,
        config=StreamConfig(config.network.input_px, augmentation),
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
    """Give made-up hands the size and the hand of the run, where the words do not."""
    kind, *options = words.split(",")
    if kind != "synthetic":
        return words
    given = {option.partition("=")[0] for option in options}
    if "size_px" not in given:
        options.append(f"size_px={config.network.input_px}")
    if "hand_model" not in given and config.hand_model is not None:
        options.append(f"hand_model={config.hand_model}")
    return ",".join([kind, *options])
