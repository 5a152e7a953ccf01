"""pyrender shows what the software renderer shows; skipped, saying so, where there is no OpenGL."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tracker.errors import RenderError
from tracker.geometry.camera import Camera
from tracker.view import gl_shims
from tracker.view.pyrender_renderer import PyrenderRenderer
from tracker.view.renderer import Rendering
from tracker.view.software_renderer import SoftwareRenderer

REPOSITORY = Path(__file__).resolve().parents[2]


def assert_same_picture(ours: Rendering, theirs: Rendering) -> None:
    masks = ours.alpha > 0.5, theirs.alpha > 0.5
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() >= 0.98
    # OpenGL takes 4 samples a pixel, so a single outline pixel can be an eighth off; not their sum.
    assert ours.alpha.sum() == pytest.approx(theirs.alpha.sum(), rel=2e-3)
    both = (ours.alpha == 1) & (theirs.alpha == 1)
    assert np.abs(ours.rgb[both].astype(int) - theirs.rgb[both]).mean() <= 1
    depths = ours.depth[both], theirs.depth[both]
    seen = np.isfinite(depths[0]) & np.isfinite(depths[1])
    assert np.median(np.abs(depths[0] - depths[1])[seen]) < 5e-4


def centers(alpha: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
    return np.array([(rows * alpha).sum(), (columns * alpha).sum()]) / alpha.sum()


def test_agrees_with_the_software_renderer(golden, pyrender):
    ours = SoftwareRenderer().render(golden.meshes, golden.camera)
    theirs = pyrender.render(golden.meshes, golden.camera)
    assert_same_picture(ours, theirs)
    # A half-pixel offset, the usual mistake between OpenGL and images, would show here.
    np.testing.assert_allclose(centers(ours.alpha), centers(theirs.alpha), atol=0.03)


def test_agrees_for_any_camera_and_viewport(golden, pyrender):
    """Principal point off centre, skew, unequal focal lengths, hands half outside; large then small."""
    for scale in (3.0, 1.0, 0.4):
        K = np.array([[500.0, 40, 150], [0, 420, 170], [0, 0, 1]])
        K[:2] *= scale
        camera = Camera(K, (round(270 * scale), round(360 * scale)))
        ours = SoftwareRenderer().render(golden.meshes, camera)
        assert_same_picture(ours, pyrender.render(golden.meshes, camera))


def test_outline_has_no_dark_halo(golden, pyrender):
    drawn = pyrender.render(golden.meshes[:1], golden.camera)
    outline = (drawn.alpha > 0.2) & (drawn.alpha < 0.8)
    inside = drawn.rgb[drawn.alpha == 1].astype(float)
    assert outline.sum() > 100
    # A sliver's colour may run off the scale at one pixel; a halo would darken many.
    assert np.percentile(drawn.rgb[outline], 1) > inside.min() * 0.6


def test_empty_pictures_are_empty(golden, pyrender):
    drawn = pyrender.render([], golden.camera)
    assert not drawn.alpha.any()
    assert np.isinf(drawn.depth).all()


def test_another_thread_is_refused(golden, pyrender):
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(pyrender.render, golden.meshes, golden.camera)
        with pytest.raises(RenderError, match="another thread"):
            call.result()


def test_a_closed_renderer_says_so(golden, pyrender):
    renderer = PyrenderRenderer()
    renderer.close()
    renderer.close()
    with pytest.raises(RenderError, match="open_renderer"):
        renderer.render(golden.meshes, golden.camera)
    pyrender.render(golden.meshes, golden.camera)  # closing one leaves the others alone


def test_osmesa_draws_the_same(golden, tmp_path):
    """A process of its own: OpenGL is bound to one platform for life."""
    if not gl_shims._osmesa_loads():
        pytest.skip("needs OSMesa: apt install libosmesa6")
    script = (
        "import runpy, sys, numpy as np\n"
        "from tracker.view.pyrender_renderer import PyrenderRenderer\n"
        "scene = runpy.run_path('tests/golden/make_two_hands.py')\n"
        "renderer = PyrenderRenderer()\n"
        "drawn = renderer.render(scene['two_hands'](), scene['CAMERA'])\n"
        "np.savez(sys.argv[1], rgb=drawn.rgb, alpha=drawn.alpha, depth=drawn.depth)\n"
        "print(renderer.name)\n"
    )
    file = tmp_path / "drawn.npz"
    environment = os.environ | {"PYOPENGL_PLATFORM": "osmesa", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", script, str(file)]
    result = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert result.stdout.split() == ["pyrender-osmesa"], result.stderr
    with np.load(file) as arrays:
        theirs = Rendering(arrays["rgb"], arrays["alpha"], arrays["depth"], (0, 0, 360, 270))
    assert_same_picture(SoftwareRenderer().render(golden.meshes, golden.camera), theirs)
