"""The hand stream on loopback: many subscribers, stalled ones, the real tracker, reconnecting.

Server and publisher run in this process on one core, the subscribers in another process on another
core, as raw sockets. The load of the server is all processor time of this process, the publishing
loop included. The reference sends the same bytes with nothing but `websockets`, in turns with ours.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from benchmarks.demo_clip import with_hands
from benchmarks.metric import Metric
from benchmarks.stream_reference import NAME, BareBroadcast
from benchmarks.stream_subscribers import Job, Line
from benchmarks.stream_windows import (
    Window,
    fullest_send_queue,
    on_one_core,
    publishing,
    resident_bytes,
    watched,
)
from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.stream.binary import encode_frame
from tracker.stream.composer import Composer, select
from tracker.stream.protocol import Subscription
from tracker.stream.records import StreamFrame
from tracker.stream.server import StreamServer
from tracker.vision.hand_tracker import HandTracker
from tracker.vision.records import Frame, TrackedHand

_SUBSCRIBERS: Final = 100
_WISH: Final = Subscription(parts=("joints", "kp2d"))
"""Two hands of it are 2144 bytes."""
_MESH: Final = ["joints", "verts"]
"""Two hands of it are 11 kB."""
_RECONNECTS: Final = 40


def run(quick: bool) -> list[Metric]:
    """Measure; each value's reference is named beside it."""
    tracker, clip = HandTracker(), with_hands(2)
    found = [tracker(frame) for frame in clip[:60]]
    hands = [pair for pair in found if len(pair) == 2]
    with on_one_core() as core, StreamServer(port=0) as server:
        with BareBroadcast(_encoded(hands[0])) as bare:
            publish = _publisher(server, hands, _camera(clip[0]))
            metrics = [
                *_fan_out(server, publish, bare, core, quick),
                *_reconnecting(server, publish, bare),
            ]
        metrics += _stalled(server, publish, core, quick)
    return [*metrics, *_behind_the_tracker(tracker, clip, quick)]


def _camera(frame: Frame) -> Camera:
    assert frame.camera is not None
    return frame.camera


def _encoded(hands: list[TrackedHand]) -> bytes:
    """Return the bytes that a subscriber gets."""
    composed = Composer(HandModel.load()).compose(hands, 0)
    return encode_frame(select(StreamFrame(0, 0, 0, 0, composed), _WISH))


def _publisher(
    server: StreamServer, hands: Sequence[list[TrackedHand]], camera: Camera
) -> Callable[[], None]:
    """Return what publishes the next of these frames, over and over."""
    numbered = enumerate(itertools.cycle(hands))

    def publish() -> None:
        number, pair = next(numbered)
        server.publish(pair, camera, time.monotonic_ns(), number)

    return publish


def _fan_out(
    server: StreamServer,
    publish: Callable[[], None],
    bare: BareBroadcast,
    core: int | None,
    quick: bool,
) -> list[Metric]:
    """Watch in turns: ours, ours with every frame acknowledged, and the reference."""
    rounds, seconds = (1, 1.0) if quick else (3, 2.0)
    wish: dict[str, object] = {"parts": list(_WISH.parts)}
    ours: list[Window] = []
    acked: list[Window] = []
    plain: list[Window] = []
    for _ in range(rounds):
        for windows, send, url, wanted in (
            (ours, publish, server.url, wish),
            (plain, bare.publish, bare.url, wish),
            (acked, publish, server.url, wish | {"flow": "ack"}),
        ):
            job = Job(url, _SUBSCRIBERS, seconds, wanted, core=core)
            windows.append(watched(send, job))
    load = max(window.seen.cpu_share for window in (*ours, *acked, *plain))
    print(f"stream: the subscribers' process took at most {load:.0%} of its core")
    metrics = _of_windows("stream_100", ours, plain) + _of_windows("stream_100_ack", acked, plain)
    rate = sum(w.seen.frames for w in ours) / (rounds * seconds * _SUBSCRIBERS)
    return [*metrics, Metric("stream_100_delivered_hz", rate, "Hz", better="higher")]


def _of_windows(name: str, ours: list[Window], plain: list[Window]) -> list[Metric]:
    """Compare medians over the windows; ratios are ours over the reference."""
    measures: dict[str, tuple[str, Callable[[Window], float]]] = {
        "p50_ms": ("ms", lambda w: w.percentile_ms(50)),
        "p99_ms": ("ms", lambda w: w.percentile_ms(99)),
        "server_core_percent": ("%", lambda w: 100 * w.server_share),
    }
    metrics: list[Metric] = []
    for key, (unit, measure) in measures.items():
        value, base = (float(np.median([measure(w) for w in ws])) for ws in (ours, plain))
        metrics.append(Metric(f"{name}_{key}", value, unit, NAME, base, value / base))
    gaps, base_gaps = (sum(w.seen.gaps for w in ws) for ws in (ours, plain))
    return [*metrics, Metric(f"{name}_gaps", gaps, "frames", NAME, base_gaps)]


def _stalled(
    server: StreamServer, publish: Callable[[], None], core: int | None, quick: bool
) -> list[Metric]:
    """Watch 100 subscribers with none and with two that stop reading their meshes."""
    seconds = 1.0 if quick else 3.0
    wish: dict[str, object] = {"parts": list(_WISH.parts)}
    meshes: tuple[dict[str, object], ...] = ({"parts": _MESH}, {"parts": _MESH, "flow": "ack"})
    held: list[int] = []
    alone = watched(publish, Job(server.url, _SUBSCRIBERS, seconds, wish, core=core))
    before = resident_bytes()
    beside = watched(
        publish,
        Job(server.url, _SUBSCRIBERS, seconds, wish, stalled=meshes, core=core),
        lambda: held.append(server.backlog + fullest_send_queue(server.port)),
    )
    grown = max(0, resident_bytes() - before) / 1024
    same = "the same without a stalled one"
    value, base = beside.percentile_ms(50), alone.percentile_ms(50)
    return [
        Metric("stream_stalled_held_kib", held[0] / 1024, "KiB"),
        Metric("stream_stalled_memory_growth_kib", grown, "KiB"),
        Metric("stream_stalled_stale_frames_ack", beside.seen.stale[1], "frames"),
        Metric("stream_stalled_stale_frames", beside.seen.stale[0], "frames"),
        Metric("stream_stalled_others_p50_ms", value, "ms", same, base, value / base),
        Metric("stream_stalled_others_gaps", beside.seen.gaps, "frames", same, alone.seen.gaps),
    ]


def _reconnecting(
    server: StreamServer, publish: Callable[[], None], bare: BareBroadcast
) -> list[Metric]:
    """Connect again and again; the time until the first frame, half a frame's wait included."""
    with publishing(publish):
        ours = _first_frame_ms(server.url)
    with publishing(bare.publish):
        plain = _first_frame_ms(bare.url)
    value, base = (float(np.percentile(times, 95)) for times in (ours, plain))
    return [Metric("stream_reconnect_p95_ms", value, "ms", NAME, base, value / base)]


def _first_frame_ms(url: str) -> list[float]:
    times: list[float] = []
    for _ in range(_RECONNECTS):
        began = time.perf_counter()
        line = Line(url, {})
        while not list(line.frames(line.receive()[1])):
            pass
        times.append(1000 * (time.perf_counter() - began))
        line.socket.close()
    return times


def _behind_the_tracker(tracker: HandTracker, clip: Sequence[Frame], quick: bool) -> list[Metric]:
    """Track the clip as fast as it goes; what of a frame's age is not the tracker's."""
    tracker.reset()
    done_ns: dict[int, int] = {}
    infer_ms: list[float] = []
    numbered = enumerate(itertools.cycle(clip))
    with StreamServer(port=0, model=tracker.model) as server:

        def track() -> None:
            number, frame = next(numbered)
            stamped = Frame(frame.rgb, frame.camera, number / 60, number)
            captured = time.monotonic_ns()
            hands = tracker(stamped)
            done_ns[captured] = time.monotonic_ns()
            infer_ms.append((done_ns[captured] - captured) * 1e-6)
            server.publish(hands, _camera(frame), captured, number)

        job = Job(server.url, 1, 1.0 if quick else 3.0, {"parts": list(_WISH.parts)})
        window = watched(track, job)
    beyond = [(now - done_ns[captured]) * 1e-6 for captured, now in window.seen.times_ns]
    value, base = float(np.median(beyond)), float(np.median(infer_ms))
    return [
        Metric(
            *("stream_capture_to_subscriber_minus_inference_p50_ms", value, "ms"),
            *("tracking itself", base, value / base),
        ),
        Metric("stream_behind_tracker_p95_ms", float(np.percentile(beyond, 95)), "ms"),
    ]
