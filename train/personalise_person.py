"""Whose hands they are: one person's, the one that a clip shows most.

Nobody has two right hands. Where two hands of one side are seen at once, again and again, there is
more than one person, and nothing here tells which left hand belongs to which right one: then only
the one hand that is seen most is taken.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_SEVERAL: Final = 0.05
"""Share of the frames with two hands of one side above which there are several people; below it
the tracker saw one hand twice for a moment."""


@dataclass(frozen=True)
class Sighting:
    """A hand in a frame, as the tracker numbers it."""

    track_id: int
    side: str
    frame: int


@dataclass(frozen=True)
class Person:
    """Which of a clip's hands are taken."""

    tracks: frozenset[int]
    doubled: frozenset[tuple[int, int]]
    """Track and frame where a longer track shows the same side: seen twice, or mixed up."""
    others: str = ""
    """What was left out, in words."""

    def takes(self, track_id: int, frame: int) -> bool:
        """Tell whether a hand in a frame belongs to the person."""
        return track_id in self.tracks and (track_id, frame) not in self.doubled


def choose_person(sightings: Sequence[Sighting]) -> Person:
    """Return the person that is seen most; there must be a sighting."""
    length = Counter(s.track_id for s in sightings)
    rivals: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for s in sightings:
        rivals[s.frame, s.side].append(s.track_id)
    crowded = {moment: tracks for moment, tracks in rivals.items() if len(tracks) > 1}
    frames = len({s.frame for s in sightings})
    if len({frame for frame, _ in crowded}) > _SEVERAL * frames:
        best, seen = length.most_common(1)[0]
        side = next(s.side for s in sightings if s.track_id == best)
        return Person(
            frozenset([best]),
            frozenset(),
            f"several people are seen; taken is the {side} hand that is seen most ({seen} of "
            f"{frames} frames), {len(length) - 1} others are left out",
        )
    doubled = {
        (track, frame)
        for (frame, _), tracks in crowded.items()
        for track in sorted(tracks, key=lambda t: (-length[t], t))[1:]
    }
    return Person(frozenset(length), frozenset(doubled))
