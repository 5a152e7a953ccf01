"""A clip's samples as triples of neighbouring frames, which is what `train.temporal` asks for."""

from typing import Protocol, runtime_checkable

from train.datasets.sample import DatasetError, Sample
from train.temporal import LARGEST_GAP, TRIPLE, evenly_spaced


@runtime_checkable
class Filmed(Protocol):
    """A data set that knows without a look at the pictures when each was taken."""

    name: str

    def __getitem__(self, index: int, /) -> Sample:
        """Return a sample."""
        ...

    def moments(self) -> list[tuple[str, int]]:
        """Return clip (with the hand in it) and frame of each sample; hands in order of time."""
        ...


class Triples:
    """Samples 3 k, 3 k + 1 and 3 k + 2 are evenly spaced frames of one hand.

    Every frame is in the middle of one triple, where its neighbours are labelled too.

    Args:
        clips: the samples.

    Raises:
        DatasetError: there are no such frames.
    """

    run_length = TRIPLE
    """How many neighbours a batch must keep together."""

    def __init__(self, clips: Filmed) -> None:
        moments = clips.moments()
        starts = range(len(moments) - TRIPLE + 1)
        self._starts = [i for i in starts if evenly_spaced(moments[i : i + TRIPLE])]
        if not self._starts:
            raise DatasetError(
                f"{clips.name} has no three neighbouring frames of one hand, at most {LARGEST_GAP} "
                "frames apart; label more frames, or leave out triples=yes"
            )
        self.name, self._clips = f"{clips.name}-triples", clips

    def __len__(self) -> int:
        return TRIPLE * len(self._starts)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame of a triple."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has samples 0 to {len(self) - 1}, asked for {index}")
        triple, place = divmod(index, TRIPLE)
        return self._clips[self._starts[triple] + place]
