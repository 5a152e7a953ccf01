"""What the doctor looks at, one function each; only Python itself is imported at the top."""

from __future__ import annotations  # a Python too old for us is told so, and does not fail here

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from apps.doctor_probes import Answer, probe

Verdict = Literal["ok", "warning", "problem"]
STREAM_PORT: Final = 4263
_REPOSITORY: Final = Path(__file__).resolve().parents[1]
_NEEDED: Final = {
    "numpy": "numpy",
    "scipy": "scipy",
    "numba": "numba",
    "torch": "torch",
    "opencv-contrib-python": "cv2",
    "openvino": "openvino",
    "av": "av",
    "pillow": "PIL",
    "websockets": "websockets",
    "tyro": "tyro",
    "rich": "rich",
    "safetensors": "safetensors",
    "jaxtyping": "jaxtyping",
}
"""Packages without which nothing runs, and the modules they bring."""
_VIEW: Final = {"pyglet": "pyglet", "trimesh": "trimesh", "pyrender": ""}
"""Packages of the window; pyrender is not imported here, because that binds OpenGL."""
_REINSTALL: Final = "./run setup   (or: pip install -e .)"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    verdict: Verdict
    found: str
    fix: str = ""
    """What to type or do; empty where nothing is wrong."""


@dataclass(frozen=True)
class Check:
    """One thing to look at."""

    name: str
    run: Callable[[], list[Finding]]


def python() -> list[Finding]:
    """The Python that runs this."""
    version = platform.python_version()
    found = f"{version}, {platform.system()} {platform.machine()}"
    if (3, 10) <= sys.version_info[:2] <= (3, 12):
        return [Finding("python", "ok", found)]
    fix = "PYTHON=python3.11 ./run setup   (3.10, 3.11 and 3.12 work)"
    return [Finding("python", "problem", found, fix)]


def packages() -> list[Finding]:
    """The packages that are needed, by their own papers and by importing them."""
    wanted = _requirements()
    missing, others, versions = [], [], []
    for package in (*_NEEDED, *_VIEW):
        version = _version(package)
        if version is None:
            missing.append(package)
        elif not _within(version, wanted.get(package, "")):
            others.append(f"{package} {version} (wanted {wanted[package]})")
        else:
            versions.append(f"{package} {version}")
    findings = [
        Finding("packages", "ok", f"{len(versions)} as wanted: {', '.join(versions[:6])}, ...")
    ]
    if missing:
        findings = [Finding("packages", "problem", f"missing: {', '.join(missing)}", _REINSTALL)]
    if others:
        found = f"other versions than tested: {', '.join(others)}"
        findings.append(Finding("packages", "warning", found, _REINSTALL))
    if _version("opencv-python"):
        fix = "pip uninstall -y opencv-python opencv-contrib-python && " + _REINSTALL
        findings.append(
            Finding("packages", "problem", "two builds of OpenCV share one folder", fix)
        )
    return findings


def imports() -> list[Finding]:
    """Whether the packages' compiled parts load: each in a process of its own."""
    installed = {package: module for package, module in _NEEDED.items() if _version(package)}
    modules = [
        module for package, module in installed.items() if package != "torch"
    ]  # takes seconds
    program = "import importlib,sys\nfor m in sys.argv[1:]:\n try: importlib.import_module(m)\n"
    program += (
        " except BaseException as e: print(m, type(e).__name__, str(e).splitlines()[:1], sep='|')"
    )
    answer = probe(program, *modules)
    broken = [line.split("|") for line in answer.lines if line.count("|") == 2]
    if not answer.ok:
        return [
            Finding("imports", "problem", f"importing them failed: {answer.reason}", _REINSTALL)
        ]
    if not broken:
        return [Finding("imports", "ok", f"{len(modules)} packages load")] if modules else []
    return [
        Finding("imports", "problem", f"{module}: {kind} {text}", _library_fix(text))
        for module, kind, text in broken
    ]


def cameras() -> list[Finding]:
    """Cameras that the system lists, and whether they may be read."""
    if sys.platform != "linux":
        return [Finding("cameras", "ok", "not listed on this system; try `--source 0`")]
    from apps.doctor_cameras import describe_cameras

    found = describe_cameras()
    if not found:
        fix = "plug one in, or use `--source demo`, a file, an rtsp:// address or the screen"
        return [Finding("cameras", "warning", "none found", fix)]
    return [
        Finding("camera", "ok" if readable else "warning", text, "" if readable else _VIDEO_GROUP)
        for text, readable in found
    ]


_VIDEO_GROUP: Final = 'sudo usermod -aG video "$USER"   (then log in again)'


def display() -> list[Finding]:
    """A screen, and whether a window with OpenGL opens on it."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        fix = "ssh -X, or `--view browser` (./run setup viewer), or `xvfb-run`; `--view none` works"
        return [Finding("display", "warning", "none (DISPLAY is not set): no window", fix)]
    answer = probe(
        "from tracker.view.live_surface import WindowSurface as W\n"
        "w = W((320, 240), 'Handloom'); print(w.renderer_name); w.close()"
    )
    where = os.environ.get("DISPLAY", "this desktop")
    if answer.ok and answer.lines:
        return [Finding("display", "ok", f"a window opens on {where}, drawn by {answer.lines[-1]}")]
    fix = "sudo apt-get install -y libgl1 libegl1 libxrender1; `--view none` works meanwhile"
    return [Finding("display", "warning", f"no window on {where}: {answer.reason}", fix)]


def opengl() -> list[Finding]:
    """OpenGL without a screen, for the video app."""
    program = "from tracker.view import gl_shims as g\nprint('EGL' if g._egl_starts() else '', 'OSMesa' if g._osmesa_loads() else '')"
    answer = probe(program)
    if not answer.ok:
        return [_unchecked("opengl", answer)]
    found = answer.lines[-1].split() if answer.lines else []
    if found:
        return [Finding("opengl", "ok", f"without a screen: {' and '.join(found)}")]
    fix = "sudo apt-get install -y libegl1   (the software renderer works meanwhile)"
    return [Finding("opengl", "warning", "no EGL and no OSMesa", fix)]


def models() -> list[Finding]:
    """The models the tracker needs, each checked by its hash."""
    answer = probe(
        "from tracker.geometry.hand_files import read_hand_file\n"
        "from tracker.vision.model_files import read_model\n"
        "for n in ('palm_detection_full.tflite', 'hand_landmark_full.tflite', 'hand_landmark_lite.tflite'):\n"
        "    read_model(n)\n"
        "print(read_hand_file().model_id)"
    )
    if answer.ok and answer.lines:
        found = f"detector and landmark models, hand {answer.lines[-1]}: all as in the manifest"
        return [Finding("models", "ok", found)]
    if "No module named" in answer.reason:
        return [_unchecked("models", answer)]
    fix = "pip install --no-deps mediapipe==0.10.14, or set HANDLOOM_MODELS to a folder with them"
    return [Finding("models", "problem", answer.reason, fix)]


def network() -> list[Finding]:
    """The trained network; without it the tracker follows landmarks alone."""
    answer = probe("from tracker.vision.model_files import shipped_network as s; print(s() or '')")
    if "No module named" in answer.reason:
        return [_unchecked("network", answer)]
    if answer.ok and any(answer.lines):
        return [Finding("network", "ok", "the trained network is there: mode fused by default")]
    reason = answer.reason or "network.safetensors is not there"
    fix = "git checkout weights/network.safetensors   (landmarks alone are used meanwhile)"
    return [Finding("network", "warning", reason, fix)]


def engines() -> list[Finding]:
    """What can run networks here."""
    answer = probe(
        "import openvino as o; c = o.Core(); print(c.get_property('CPU', 'FULL_DEVICE_NAME')); print(*c.available_devices)"
    )
    findings: list[Finding] = []
    if answer.ok and len(answer.lines) >= 2:
        found = f"OpenVINO {_version('openvino')} on {answer.lines[-2].strip()}"
        findings.append(Finding("engines", "ok", found))
    else:
        findings.append(_unchecked("engines", answer))
    torch = _version("torch")
    if torch is None:
        return findings
    driver = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
    if driver and "+cpu" in torch:
        fix = "rm -rf .venv && ./run setup   (takes the CUDA build where there is a driver)"
        findings.append(
            Finding("engines", "warning", f"torch {torch} cannot use the GPU here", fix)
        )
    else:
        tensorrt = _version("torch-tensorrt")
        also = (
            f", TensorRT {tensorrt}" if tensorrt else ", no TensorRT (extra: gpu)" if driver else ""
        )
        gpu = "an NVIDIA driver" if driver else "no NVIDIA driver: the processor does it all"
        findings.append(Finding("engines", "ok", f"torch {torch}, {gpu}{also}"))
    return findings


def port() -> list[Finding]:
    """Whether the joint stream's port is free."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", STREAM_PORT))
        except OSError as error:
            fix = f"end the other program, or choose another: --serve {STREAM_PORT + 10}"
            found = f"port {STREAM_PORT} cannot be used ({error.strerror})"
            return [Finding("stream", "warning", found, fix)]
    return [Finding("stream", "ok", f"port {STREAM_PORT} on 127.0.0.1 is free")]


def codecs() -> list[Finding]:
    """Video formats that sources and the recorder need."""
    answer = probe(
        "import av\n"
        "wanted = ('h264', 'hevc', 'mjpeg', 'vp9', 'libx264')\n"
        "print(*[c for c in wanted if c not in av.codecs_available])\n"
        "devices = ('v4l2', 'x11grab', 'rtsp')\n"
        "known = {name for names in av.formats_available for name in names.split(',')}\n"
        "print(*[d for d in devices if d not in known])\n"
        "print(av.__version__)"
    )
    if not answer.ok or len(answer.lines) < 3:
        return [_unchecked("codecs", answer)]
    lacking = " ".join(answer.lines[:2]).split()
    if "h264" in lacking or "libx264" in lacking:
        found = f"PyAV {answer.lines[2]} lacks {' '.join(lacking)}"
        return [Finding("codecs", "problem", found, "pip install --force-reinstall av")]
    without = f", without {' '.join(lacking)}" if lacking else ""
    return [Finding("codecs", "ok", f"PyAV {answer.lines[2]} reads and writes H.264{without}")]


def space() -> list[Finding]:
    """Room for recordings, and for what numba compiles."""
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    findings = [
        Finding("disk", "ok", f"{free_gb:.1f} GB free here; an hour of recording takes about 2")
    ]
    if free_gb < 1:
        fix = "free some space, or record elsewhere with --out FOLDER"
        findings = [Finding("disk", "warning", f"only {free_gb:.2f} GB free here", fix)]
    given = os.environ.get("NUMBA_CACHE_DIR")
    cache = Path(given) if given else _REPOSITORY / "tracker"
    if os.access(cache if cache.exists() else cache.parent, os.W_OK):
        compiled = any(cache.rglob("*.nbi"))
        found = "ready" if compiled else "empty: the first start compiles for half a minute"
        return [*findings, Finding("cache", "ok", f"{cache}: {found}")]
    fix = "export NUMBA_CACHE_DIR=~/.cache/handloom-numba"
    found = f"{cache} is read-only: every start compiles for half a minute"
    return [*findings, Finding("cache", "warning", found, fix)]


CHECKS: Final = (
    Check("python", python),
    Check("packages", packages),
    Check("imports", imports),
    Check("models", models),
    Check("network", network),
    Check("engines", engines),
    Check("cameras", cameras),
    Check("display", display),
    Check("opengl", opengl),
    Check("codecs", codecs),
    Check("stream", port),
    Check("disk", space),
)
"""All checks, in the order of the report."""


def _requirements() -> dict[str, str]:
    """Return the version ranges of pyproject.toml by package; empty where there is none."""
    file = _REPOSITORY / "pyproject.toml"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    block = text.partition("\ndependencies = [")[2].partition("\n]")[0]
    found = re.findall(r'^\s*"([A-Za-z0-9._-]+)([^";]*)', block, re.MULTILINE)
    return {name.lower(): range_ for name, range_ in found}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _within(version: str, wanted: str) -> bool:
    """Tell whether a version lies in a range such as `>=2.0,<2.6`; unknown signs are let pass."""
    own = _numbers(version)
    for sign, bound in re.findall(r"(>=|<=|==|<|>)\s*([\d.]+)", wanted):
        limit = _numbers(bound)
        length = max(len(own), len(limit))
        a, b = ((*n, *[0] * (length - len(n))) for n in (own, limit))
        verdicts = {">=": a >= b, "<=": a <= b, "==": a == b, "<": a < b, ">": a > b}
        if not verdicts[sign]:
            return False
    return True


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:4]]


def _unchecked(name: str, answer: Answer) -> Finding:
    """Return the finding of a check that could not ask its question."""
    return Finding(name, "problem", f"not to be checked: {answer.reason}", _REINSTALL)


def _library_fix(text: str) -> str:
    """Return what installs a system library that a message names."""
    known = {
        "libGL.so": "libgl1",
        "libEGL": "libegl1",
        "libgthread": "libglib2.0-0",
        "libglib": "libglib2.0-0",
        "libXrender": "libxrender1",
        "libX11": "libx11-6",
    }
    package = next((package for part, package in known.items() if part in text), None)
    return f"sudo apt-get install -y {package}" if package else _REINSTALL
