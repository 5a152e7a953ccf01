"""three.js' hands for headsets, driven by our frames: every bone where we say a joint is."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tracker.geometry.skeleton import OPENXR_JOINTS
from tracker.stream.binary import encode_frame
from tracker.stream.composer import Composer, select
from tracker.stream.protocol import Subscription
from tracker.stream.records import StreamFrame

REPOSITORY = Path(__file__).resolve().parents[2]
WEB_CLIENT = REPOSITORY / "apps" / "clients" / "web"
JOINT_M = 1e-6


def three_package() -> Path | None:
    """Folder of the npm package three: HANDLOOM_THREE, else node_modules of the repository."""
    folder = Path(os.environ.get("HANDLOOM_THREE", REPOSITORY / "node_modules" / "three"))
    return folder if (folder / "package.json").is_file() else None


def generic_hand() -> Path | None:
    """Folder `generic-hand` of @webxr-input-profiles/assets: HANDLOOM_GENERIC_HAND, or beside three."""
    three = three_package()
    beside = three and three.parent / "@webxr-input-profiles/assets/dist/profiles/generic-hand"
    given = os.environ.get("HANDLOOM_GENERIC_HAND")
    folder = Path(given) if given else beside
    return folder if folder and (folder / "left.glb").is_file() else None


pytestmark = pytest.mark.skipif(
    three_package() is None or shutil.which("node") is None,
    reason="needs node and three.js: `npm install three`, and name another place in HANDLOOM_THREE",
)


def webxr_name(joint: str) -> str:
    """The name WebXR has for a joint of OpenXR."""
    finger, _, part = joint.partition("_")
    if not part:
        return joint
    segment = part if part in ("metacarpal", "tip") else f"phalanx-{part}"
    return f"thumb-{segment}" if finger == "thumb" else f"{_webxr_finger(finger)}-finger-{segment}"


def _webxr_finger(finger: str) -> str:
    return "pinky" if finger == "little" else finger


@pytest.fixture(params=["made-up hand", "generic-hand"])
def hand_folder(request: pytest.FixtureRequest) -> Path | None:
    if request.param == "made-up hand":
        return None
    if generic_hand() is None:
        pytest.skip("needs `npm install @webxr-input-profiles/assets`; see HANDLOOM_GENERIC_HAND")
    return generic_hand()


@pytest.mark.parametrize("frame_name", ["openxr", "user"])
def test_bones_are_where_the_joints_are(
    models, make_hand_in_view, tmp_path: Path, hand_folder: Path | None, frame_name
):
    hands = [make_hand_in_view(3), make_hand_in_view(4, "left", track_id=2)]
    composed = Composer(models["right"]).compose(hands, 10**9)
    wanted = Subscription(frame=frame_name)
    sent = select(StreamFrame(1, 1, 0, 0, composed), wanted)
    (tmp_path / "frame.bin").write_bytes(encode_frame(sent))
    program = Path(__file__).with_suffix(".mjs")
    folders = [three_package(), WEB_CLIENT, tmp_path / "frame.bin"] + [hand_folder] * bool(
        hand_folder
    )
    command = ["node", str(program), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    bones = json.loads(done.stdout)
    for hand in sent.hands:
        found = bones[hand.side]
        assert len(found) == 25
        for joint, name in enumerate(OPENXR_JOINTS[1:], start=1):
            bone = found[webxr_name(name)]
            np.testing.assert_allclose(bone["position"], hand.positions[joint], atol=JOINT_M)
            turned = np.dot(bone["quaternion"], hand.orientations[joint])
            assert abs(turned) == pytest.approx(1, abs=1e-6)
