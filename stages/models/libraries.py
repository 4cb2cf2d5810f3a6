"""Libraries whose arithmetic determines a result: their versions, and imports that fail with a hint."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from stages.base import StageError

# Each of these packages installs the module `cv2`.
OPENCV_PACKAGES = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)

OPENCV_HINT = "Debian, Ubuntu: apt-get install libgl1 libglib2.0-0; Fedora: dnf install mesa-libGL glib2"

ONNXRUNTIME_HINT = "pip install --force-reinstall onnxruntime"


def opencv_version() -> str:
    """Return the version of OpenCV, whichever package provides it.

    Raises:
        StageError: OpenCV is not installed.
    """
    for package in OPENCV_PACKAGES:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    raise StageError("OpenCV is not installed", "pip install opencv-python")


def package_version(package: str) -> str:
    """Return the version of an installed package.

    Raises:
        StageError: The package is not installed.
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise StageError(f"{package} is not installed", f"pip install {package}") from error


def import_library(module: str, name: str, hint: str) -> Any:
    """Import a module of the library `name`.

    Raises:
        StageError: It cannot be loaded; `hint` is the remedy.
    """
    try:
        return import_module(module)
    except (ImportError, OSError) as error:
        raise StageError(f"{name} cannot be loaded: {error}", hint) from error
