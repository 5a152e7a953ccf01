"""The facts written over the picture: measured, in plain words."""

from collections.abc import Sequence

from tracker.geometry.camera import Camera
from tracker.live.meter import LiveFacts
from tracker.vision.records import TrackedHand

_SHOWN_STAGES = ("wait", "read", "landmarks", "palms", "network", "fit")


def hud_lines(
    facts: LiveFacts,
    hands: Sequence[TrackedHand],
    camera: Camera,
    *,
    hand_is_calibrated: bool,
    steadiness: str,
) -> tuple[str, ...]:
    """Return the lines: speed, latency, stages, hands, and what distances rest on."""
    return (
        _speed(facts),
        *_latency(facts),
        _stages(facts),
        _hands(hands),
        _calibration(camera, hand_is_calibrated=hand_is_calibrated) + f" | {steadiness}",
    )


def _speed(facts: LiveFacts) -> str:
    shown = f" (shown {facts.shown_fps:.1f})" if facts.shown_fps else ""
    lately = f", now {facts.dropped_share:.0%}" if facts.dropped_share >= 0.005 else ""
    return f"{facts.fps:.1f} fps{shown} | dropped {facts.dropped}{lately}"


def _latency(facts: LiveFacts) -> list[str]:
    lines: list[str] = []
    if facts.to_screen is not None:
        lines.append(f"capture to screen {facts.to_screen}")
    if facts.to_publish is not None:
        lines.append(f"capture to publish {facts.to_publish}")
    return lines


def _stages(facts: LiveFacts) -> str:
    parts = [f"{n} {facts.stages_ms[n]:.1f}" for n in _SHOWN_STAGES if n in facts.stages_ms]
    return f"ms: {', '.join(parts)}" if parts else "ms: none yet"


def _hands(hands: Sequence[TrackedHand]) -> str:
    if not hands:
        return "no hand in sight"
    return ", ".join(f"{h.side} {h.track_id} {h.state} {h.score:.2f}" for h in hands)


def _calibration(camera: Camera, *, hand_is_calibrated: bool) -> str:
    lens = "assumed" if camera.assumed else "calibrated"
    hand = "calibrated" if hand_is_calibrated else "assumed"
    return f"camera {lens} ({camera.fov_deg:.0f} degrees), hand size {hand}"
