"""Everything pyrender needs to work today, in one place: it has had no release since 2021.

* pyrender uses `np.infty`, which numpy 2 removed.
* PyOpenGL binds one platform for the whole process at its first import, from
  `PYOPENGL_PLATFORM`. It must be `egl` or `osmesa` without a screen, and unset for windows.
* PyOpenGL 3.1.0, which pyrender pins, lacks `OSMesaCreateContextAttribs` and gives OSMesa contexts
  as objects that cannot be dictionary keys.
* pyrender draws OSMesa straight into its buffer, without anti-aliasing and transparency, though
  every Mesa of this decade can draw into framebuffers there too.
* pyrender ends its EGL display with each context, and with it every other context of the process.
* pyrender reads integer light colours as 0 to 255, so `[1, 1, 1]` is nearly black. We pass it no
  lights: colours come lit from `geometry.shading`.
"""

import ctypes
import importlib
import os
import sys
from types import ModuleType
from typing import Any, Final

import numpy as np

from tracker.errors import RenderError

_WHAT_TO_DO: Final = (
    "install OpenGL without a screen (Debian and Ubuntu: `apt install libegl1` or "
    "`apt install libosmesa6`), or choose `--renderer software`"
)
_EGL_PLATFORM_DEVICE: Final = 0x313F
_OSMESA_CONSTANTS: Final = {
    "OSMESA_DEPTH_BITS": 0x30,
    "OSMESA_PROFILE": 0x33,
    "OSMESA_CORE_PROFILE": 0x34,
    "OSMESA_CONTEXT_MAJOR_VERSION": 0x36,
    "OSMESA_CONTEXT_MINOR_VERSION": 0x37,
}  # from GL/osmesa.h


def import_pyrender() -> tuple[ModuleType, str]:
    """Import pyrender bound to a platform that works without a screen; return it and the platform.

    Raises:
        RenderError: there is none; the message says what to install.
    """
    platform = _bind_platform()
    if not hasattr(np, "infty"):
        setattr(np, "infty", np.inf)  # noqa: B010  (numpy's stubs do not know the name any more)
    try:
        if platform == "osmesa":
            _repair_osmesa()
        import pyrender
    except (ImportError, AttributeError, OSError) as error:
        raise RenderError(
            f"pyrender was not importable on {platform} ({error}); {_WHAT_TO_DO}"
        ) from error
    return pyrender, platform


def import_pyrender_in_window() -> ModuleType:
    """Import pyrender for the OpenGL context of a window, which must be open.

    Raises:
        RenderError: this process already draws without a screen, or pyrender cannot be imported.
    """
    platform = os.environ.get("PYOPENGL_PLATFORM", "")
    if platform in ("egl", "osmesa"):
        raise RenderError(
            f"OpenGL in this process is bound to {platform}; unset PYOPENGL_PLATFORM for windows"
        )
    if not hasattr(np, "infty"):
        setattr(np, "infty", np.inf)  # noqa: B010  (numpy's stubs do not know the name any more)
    try:
        import pyrender
    except (ImportError, AttributeError, OSError) as error:
        raise RenderError(f"pyrender was not importable ({error}); {_WHAT_TO_DO}") from error
    return pyrender


def open_offscreen(pyrender: Any, platform: str, width: int, height: int) -> Any:
    """Return a `pyrender.OffscreenRenderer` that draws into framebuffers on any platform.

    Raises:
        RenderError: the OpenGL context could not be made.
    """
    from OpenGL.error import Error as OpenGLError

    try:
        renderer = pyrender.OffscreenRenderer(width, height)
    except (OpenGLError, AssertionError, AttributeError, ValueError, RuntimeError) as error:
        raise RenderError(
            f"no OpenGL context on {platform} ({type(error).__name__}: {error}); {_WHAT_TO_DO}"
        ) from error
    surface = renderer._platform
    surface.supports_framebuffers = lambda: True
    if platform == "egl":
        surface.delete_context = lambda: _destroy_egl_context(surface)
    return renderer


def _bind_platform() -> str:
    platform = os.environ.get("PYOPENGL_PLATFORM", "")
    if not platform:
        if "OpenGL" in sys.modules:
            raise RenderError(
                "OpenGL is already bound to a window system in this process; draw before opening "
                "a window, set PYOPENGL_PLATFORM=egl, or choose `--renderer software`"
            )
        platform = "egl" if _egl_starts() else "osmesa" if _osmesa_loads() else ""
    if platform not in ("egl", "osmesa"):
        found = f"PYOPENGL_PLATFORM={platform}" if platform else "neither EGL nor OSMesa"
        raise RenderError(f"pyrender needs EGL or OSMesa, found {found}; {_WHAT_TO_DO}")
    os.environ["PYOPENGL_PLATFORM"] = platform
    return platform


def _destroy_egl_context(surface: Any) -> None:
    egl: Any = importlib.import_module("OpenGL.EGL")
    if surface._egl_context is not None:
        egl.eglMakeCurrent(
            surface._egl_display, egl.EGL_NO_SURFACE, egl.EGL_NO_SURFACE, egl.EGL_NO_CONTEXT
        )
        egl.eglDestroyContext(surface._egl_display, surface._egl_context)
        surface._egl_context = None


def _egl_starts() -> bool:
    """Ask EGL itself, without PyOpenGL: a first import that fails cannot be taken back."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    egl.eglGetProcAddress.restype = pointer
    query = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    get_display = egl.eglGetProcAddress(b"eglGetPlatformDisplayEXT")
    if not query or not get_display:
        return False
    index = int(os.environ.get("EGL_DEVICE_ID", "0"))
    devices, count = (pointer * (index + 1))(), integer()
    query_type = ctypes.CFUNCTYPE(ctypes.c_uint, integer, pointer, pointer)
    found = query_type(query)(index + 1, devices, ctypes.byref(count))
    if not found or count.value <= index:
        return False
    display_type = ctypes.CFUNCTYPE(pointer, ctypes.c_uint, pointer, pointer)
    display = display_type(get_display)(_EGL_PLATFORM_DEVICE, devices[index], None)
    egl.eglInitialize.argtypes = [pointer, pointer, pointer]
    return bool(display) and bool(egl.eglInitialize(display, None, None))


def _osmesa_loads() -> bool:
    try:
        ctypes.CDLL("libOSMesa.so.8")
    except OSError:
        return False
    return True


def _repair_osmesa() -> None:
    osmesa: Any = importlib.import_module("OpenGL.osmesa")
    platform: Any = importlib.import_module("OpenGL.platform").PLATFORM
    platform.GetCurrentContext.restype = ctypes.c_void_p
    for name, value in _OSMESA_CONSTANTS.items():
        setattr(osmesa, name, value)
    create = platform.OSMesa.OSMesaCreateContextAttribs
    create.restype, create.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p]

    def create_context(attributes: np.ndarray, share: int | None) -> Any:
        values = np.ascontiguousarray(attributes, np.int32)
        return ctypes.cast(create(values.ctypes.data, share), osmesa.OSMesaContext)

    osmesa.OSMesaCreateContextAttribs = create_context
