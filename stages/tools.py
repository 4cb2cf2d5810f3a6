"""Versions of the libraries whose arithmetic a result depends on, found without importing them."""

from __future__ import annotations

from importlib import metadata

from stages.base import StageError

# All of them install the module `cv2`.
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


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
