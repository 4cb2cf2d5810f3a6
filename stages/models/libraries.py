"""The libraries whose arithmetic a result depends on: their versions, and themselves, if they load."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from stages.base import StageError

# All of them install the module `cv2`.
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


OPENCV_HINT = "Debian, Ubuntu: apt-get install libgl1 libglib2.0-0; Fedora: dnf install mesa-libGL glib2"

ONNXRUNTIME_HINT = "pip install --force-reinstall onnxruntime"


def opencv_version() -> str:
    """
    Raises:
        StageError: OpenCV is not installed.
    """
    for package in OPENCV:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    raise StageError("OpenCV is not installed", "pip install opencv-python")


def version_of(package: str) -> str:
    """
    Raises:
        StageError: it is not installed.
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise StageError(f"{package} is not installed", f"pip install {package}") from error


def opencv() -> Any:
    """The module `cv2`.

    Raises:
        StageError: it cannot be loaded.
    """
    return loaded("cv2", "OpenCV", OPENCV_HINT)


def onnxruntime() -> Any:
    """The module `onnxruntime`.

    Raises:
        StageError: it cannot be loaded.
    """
    return loaded("onnxruntime", "ONNX Runtime", ONNXRUNTIME_HINT)


def loaded(module: str, name: str, hint: str) -> Any:
    try:
        return import_module(module)
    except (ImportError, OSError) as error:
        raise StageError(f"{name} cannot be loaded: {error}", hint) from error
