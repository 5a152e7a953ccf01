"""One picture of a live view, without a window."""

from dataclasses import replace

import numpy as np
import pytest

from tracker.view.live_keys import ViewState
from tracker.view.live_painter import MIN_HEIGHT_PX, LivePainter
from tracker.view.live_view import Hud, LivePicture
from tracker.view.overlay import draw_hands
from tracker.view.software_renderer import SoftwareRenderer
from tracker.vision.records import Frame

HW = (540, 720)
BARE = ViewState(hud=False)


@pytest.fixture
def picture(tracked_hands, golden) -> LivePicture:
    """The hands of the golden scene on a grey picture large enough not to be enlarged."""
    camera = golden.camera.resized(HW)
    hands = tuple(replace(h, state="tracked", uv=camera.project(h.joints)) for h in tracked_hands)
    rgb = np.full((*HW, 3), 90, np.uint8)
    rgb[:, :100] = 30  # so that left and right differ
    return LivePicture(Frame(rgb, camera), camera, hands, Hud(("30 fps",)))


@pytest.fixture
def painter() -> LivePainter:
    return LivePainter(SoftwareRenderer())


def test_the_mesh_is_the_overlays(painter, picture):
    expected = draw_hands(
        picture.frame.rgb, picture.hands, picture.camera, SoftwareRenderer(), label=False
    )
    np.testing.assert_array_equal(painter.paint(picture, BARE), expected)
    assert (picture.frame.rgb[:, 100:] == 90).all()


def test_each_choice_changes_the_picture(painter, picture):
    choices = (
        *({"surface": "wireframe"}, {"surface": "none"}, {"skeleton": True}),
        *({"texture": False}, {"mirror": True}, {"stage": True}, {"help": True}, {"hud": True}),
    )
    plain = painter.paint(picture, BARE)
    pictures = [painter.paint(picture, replace(BARE, **choice)) for choice in choices]
    for one, other in ((a, b) for i, a in enumerate(pictures) for b in [plain, *pictures[:i]]):
        assert one.shape == other.shape
        assert (one != other).any()


def test_a_mirror_turns_the_picture_and_not_the_words(painter, picture):
    silent = replace(picture, hud=Hud())
    plain = painter.paint(silent, BARE)
    np.testing.assert_array_equal(painter.paint(silent, replace(BARE, mirror=True)), plain[:, ::-1])
    told = [painter.paint(picture, ViewState(mirror=mirror)) for mirror in (False, True)]
    panel = (slice(9, 40), slice(12, 60))  # where the numbers are, over the even left edge
    rows = [(t[panel].max(-1) > 200).any(1) for t in told]
    np.testing.assert_array_equal(rows[0], rows[1])


def test_lost_hands_are_not_drawn(painter, picture):
    lost = tuple(replace(hand, state="lost") for hand in picture.hands)
    painted = painter.paint(replace(picture, hands=lost), replace(BARE, skeleton=True))
    np.testing.assert_array_equal(painted, picture.frame.rgb)


def test_a_notice_is_written_even_without_numbers(painter, picture):
    told = replace(picture, hud=Hud(notice="camera: lost, trying again"))
    changed = (painter.paint(told, BARE) != painter.paint(picture, BARE)).any(-1)
    assert changed[HW[0] // 2 :].any()
    assert not changed[: HW[0] // 2].any()


def test_outlines_are_drawn_where_they_are(painter, picture):
    square = np.array([[400.0, 100], [500, 100], [500, 160], [400, 160]])
    marked = replace(picture, hands=(), outlines=(square,))
    plain = painter.paint(marked, BARE)
    changed = np.argwhere((plain != picture.frame.rgb).any(-1))
    np.testing.assert_allclose(changed.min(0), (99, 399), atol=2)
    np.testing.assert_allclose(changed.max(0), (161, 501), atol=2)
    mirrored = painter.paint(marked, replace(BARE, mirror=True))
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])


def test_small_frames_are_enlarged_with_their_hands(painter, tracked_hands, golden):
    small = LivePicture(
        Frame(np.full((*golden.camera.hw, 3), 90, np.uint8)),
        golden.camera,
        tuple(tracked_hands[:1]),
        Hud(),
    )
    painted = painter.paint(small, BARE)
    assert painted.shape[0] >= MIN_HEIGHT_PX
    assert painted.shape[1] / painted.shape[0] == pytest.approx(360 / 270)
    times = painted.shape[0] / golden.camera.hw[0]
    drawn = np.argwhere((painted != 90).any(-1))
    seen = golden.camera.project(tracked_hands[0].vertices) * times
    np.testing.assert_allclose(drawn.min(0)[::-1], seen.min(0), atol=2)
    np.testing.assert_allclose(drawn.max(0)[::-1], seen.max(0), atol=2)


def test_hands_without_pixels_do_no_harm(painter, picture):
    bad = replace(
        picture.hands[0], uv=np.full((21, 2), np.nan), vertices=-picture.hands[0].vertices
    )
    for choice in ({}, {"surface": "wireframe"}, {"skeleton": True}, {"stage": True}):
        painter.paint(replace(picture, hands=(bad,)), replace(ViewState(), **choice))
