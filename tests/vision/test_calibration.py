"""Three seconds of an open palm."""

from dataclasses import replace

import numpy as np
import pytest

from tests.vision.open_palms import CAMERA, Palm, model
from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandShape
from tracker.live.sources import open_source
from tracker.vision.calibration import HOLD_S, CalibrationStep, PalmCalibration, length_of
from tracker.vision.fitter import Evidence, FitterConfig, HandFitter
from tracker.vision.hand_tracker import HandTracker

PALM = Palm(betas=(0.5, -1.0, *([0.2] * 8)))
FIST = Palm(bent=(0, 1.4))


def hold(calibration, palms, *, fps=30.0, start_s=0.0, **extra) -> CalibrationStep:
    """Show palms one after the other; return the last step."""
    step = CalibrationStep(0.0)
    for n, palm in enumerate(palms):
        step = calibration.add([palm.seen(start_s + n / fps)], CAMERA, **extra)
    return step


def calibration(length_m: float | None = 0.2) -> PalmCalibration:
    return PalmCalibration(model(), hand_length_m=length_m)


def test_three_seconds_fix_the_shape_and_the_length_fixes_the_scale(rng):
    c = calibration()
    noisy = [
        replace(PALM, betas=tuple(PALM.betas + rng.normal(0, 0.05, 10)), scale=0.9)
        for _ in range(95)
    ]
    assert not hold(c, noisy[:80]).done
    assert hold(c, noisy[80:], start_s=80 / 30).done
    found = c.measure()
    np.testing.assert_allclose(found.shape.betas, PALM.betas, atol=0.05)
    length = found.shape.scale * length_of(model(), np.array(found.shape.betas))
    assert length == pytest.approx(0.2, rel=1e-6)
    assert found.length_sd_m == 0


@pytest.mark.parametrize("fps", [10.0, 30.0, 120.0])
def test_it_takes_three_seconds_at_any_rate(fps):
    c = calibration()
    times = 0
    while not hold(c, [PALM], start_s=times / fps).done:
        times += 1
        assert times < 20 * fps
    assert times / fps == pytest.approx(HOLD_S, abs=0.25)


def test_a_stalled_camera_does_not_count_as_holding():
    c = calibration()
    steps = [hold(c, [PALM], start_s=2.0 * n) for n in range(8)]
    assert not any(step.done for step in steps)


def test_progress_only_grows_while_the_palm_is_held():
    c = calibration()
    progress = [hold(c, [PALM], start_s=n / 30).progress for n in range(80)]
    assert progress == sorted(progress)
    assert 0.8 < progress[-1] < 1


def test_a_short_slip_is_forgiven_and_a_long_one_is_not():
    c = calibration()
    hold(c, [PALM] * 60)
    before = hold(c, [FIST] * 9, start_s=60 / 30).progress
    assert before > 0.5
    assert hold(c, [FIST] * 12, start_s=69 / 30).progress == 0
    assert not hold(c, [PALM] * 60, start_s=3.0).done
    with pytest.raises(ValueError, match="three seconds"):
        c.measure()


def test_moving_and_changing_hands_do_not_count():
    c = calibration()
    moving = [replace(PALM, at=(0.02 * n, 0.0, 0.5)) for n in range(8)]
    assert hold(c, moving).reason == "hold still"
    c = calibration()
    others = [replace(PALM, track_id=n) for n in range(200)]
    assert not hold(c, others).done


def test_it_says_what_to_do():
    c = calibration()
    assert c.add([], CAMERA).reason == "hold one open hand before the camera"
    lost = PALM.seen(state="predicted")
    assert c.add([lost], CAMERA).reason == "hold one open hand before the camera"
    two = [PALM.seen(), replace(PALM, at=(-0.15, 0.0, 0.5), track_id=1).seen()]
    assert c.add(two, CAMERA).reason == "show one open hand only"
    assert "finger" in str(c.add([FIST.seen()], CAMERA).reason)


def test_the_open_hand_counts_when_the_other_one_holds_the_card():
    c = calibration()
    other = replace(FIST, at=(-0.15, 0.0, 0.5), track_id=1)
    for n in range(100):
        step = c.add([other.seen(n / 30), PALM.seen(n / 30)], CAMERA)
    assert step.done


def test_a_card_gives_the_length_as_the_median_of_the_frames(rng):
    c = calibration(None)
    fitted_m = PALM.scale * length_of(model(), np.array(PALM.betas))
    for n in range(100):
        enlarged = 1.12 * (1 + rng.normal(0, 0.01)) if n % 10 else 1.4  # one in ten is wrong
        step = c.add([PALM.seen(n / 30)], CAMERA, enlarged=enlarged)
    assert step.done
    found = c.measure()
    assert found.length_m == pytest.approx(1.12 * fitted_m, rel=0.01)
    assert 0 < found.length_sd_m < 0.03 * found.length_m


def test_without_the_card_there_is_no_progress():
    step = hold(calibration(None), [PALM] * 100)
    assert step.progress < 0.01
    assert "card" in str(step.reason)


def test_frames_that_disagree_are_not_believed(rng):
    c = calibration(None)
    for n in range(100):
        c.add([PALM.seen(n / 30)], CAMERA, enlarged=float(rng.uniform(0.7, 1.6)))
    with pytest.raises(ValueError, match="card says"):
        c.measure()


@pytest.mark.parametrize("length_m", [0.0, 0.079, 0.31, -1.0, float("nan")])
def test_impossible_lengths_are_refused(length_m):
    with pytest.raises(ValueError, match="hand length"):
        calibration(length_m)


def test_a_known_hand_is_kept_by_every_fit_and_gives_its_distance():
    palm = replace(PALM, scale=1.15, at=(0.1, 0.0, 0.6))
    hand, shape = palm.seen(), HandShape(PALM.betas, 1.15)
    evidence = Evidence(hand.uv.astype(float), np.ones(21), None, CAMERA.K)
    known = HandFitter(model(), FitterConfig(shape=shape))
    first = known.cold(evidence)
    fits = [
        first,
        known.warm(evidence, first.state),
        known.warm(evidence, first.state, iterations=9),
    ]
    for fit in fits:
        np.testing.assert_array_equal(fit.params.betas, PALM.betas)
        assert fit.params.scale == pytest.approx(1.15, rel=1e-12)
    depth_m = float(hand.joints[0, 2])
    wrists = [fit.state.wrist[2] for fit in (fits[-1], HandFitter(model()).cold(evidence))]
    errors = [abs(float(wrist) / depth_m - 1) for wrist in wrists]
    assert errors[0] < 0.03
    assert errors[1] > 2 * errors[0]  # unknown, the large hand is taken for a near one


@pytest.mark.parametrize(
    ("betas", "scale"),
    [((0.0,) * 9, 1.0), ((11.0,) * 10, 1.0), ((0.0,) * 10, 0.1), ((float("nan"),) * 10, 1.0)],
)
def test_shapes_of_no_hand_are_refused(betas, scale):
    with pytest.raises(ValueError, match=r"betas|scale"):
        HandShape(betas, scale)


def test_a_person_at_a_camera_is_calibrated(real_data):
    """A recorded clip with an open palm, all the way from pixels."""
    tracker = HandTracker()
    c = PalmCalibration(tracker.model, hand_length_m=0.188)
    step = CalibrationStep(0.0)
    for frame in open_source(real_data / "clips" / "mp_hand_landmarker_test.mp4"):
        camera = Camera.from_fov(frame.rgb.shape[:2], assumed=True)
        step = c.add(tracker(frame), camera)
        if step.done:
            break
    assert step.done
    assert skin_from_mean_hand_mm(tracker.model, c.measure().shape) < 5  # 3.7 in every mode


def skin_from_mean_hand_mm(model: HandModel, shape: HandShape) -> float:
    """How far a flat hand's skin lies from that of the mean hand of the same length, on average.

    Single betas say little: the smaller components move the skin by less than half a millimetre.
    """
    wrist, mean = model.J_regressor.double().numpy()[0], model.v_template.double().numpy()
    skin = mean + model.shapedirs.double().numpy() @ np.array(shape.betas)
    length_m = shape.scale * length_of(model, np.array(shape.betas))
    mean_scale = length_m / length_of(model, np.zeros(10))
    apart = shape.scale * (skin - wrist @ skin) - mean_scale * (mean - wrist @ mean)
    return 1e3 * float(np.linalg.norm(apart, axis=-1).mean())
