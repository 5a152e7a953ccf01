"""Which versions made a file: written into it, so that a result can be traced."""

import platform
from importlib import metadata


def version_of(package: str) -> str:
    """Return the installed version of a package, or `unknown`."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    packages = ("handloom", "numpy", "torch", "openvino", "mediapipe")
    return {package: version_of(package) for package in packages} | {
        "python": platform.python_version()
    }
