# SPDX-License-Identifier: Apache-2.0
"""What comes from outside and is no option, checked once for all problems.

Each check returns the value in the form that the solvers work with, or raises a SolverError with one sentence: what was
needed, what came, what to do.  Meshes check themselves in mesh.py, cameras in frames.py, options in options.py.
"""

from __future__ import annotations

import os
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from solver_core.errors import ConfigError, ObservationError, SetupError, SolverError, shown
from solver_core.frames import Camera

Kind = TypeVar("Kind")

RIGID_TOLERANCE = 1e-3  # files and Blender's float32 matrices are rounded to about 1e-6; more than 1e-3 is another matrix


def checked_array(value: Any, name: str, shape: str, error: type[SolverError] = SetupError) -> np.ndarray:
    """An array of numbers or truth values.

    Args:
        value: what the user gave.
        name: how messages call it.
        shape: how messages say its shape, such as "(H, W)".
        error: the kind of SolverError that is raised.

    Raises:
        SolverError: if it is ragged, empty, or not of real numbers or truth values.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as reason:
        raise error(f"{name} must be an array {shape}, got rows of different length or something that is no number") from reason
    if array.dtype.kind not in "fiub":
        came = "complex numbers" if array.dtype.kind == "c" else "text" if array.dtype.kind in "US" else f"{array.dtype} values"
        raise error(f"{name} must be an array {shape} of real numbers, got {came}")
    return array


def checked_numbers(value: Any, name: str, shape: tuple[int, ...], error: type[SolverError] = SetupError) -> np.ndarray:
    """A finite float64 copy.

    Args:
        value: what the user gave.
        name: how messages call it.
        shape: that it must have.
        error: the kind of SolverError that is raised.

    Raises:
        SolverError: for another shape, or what is not a finite number.
    """
    words = str(shape)
    array = checked_array(value, name, words, error)
    if array.shape != shape:
        raise error(f"{name} must have shape {words}, got {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise error(f"{name} must be finite, got {int(np.sum(~np.isfinite(array)))} numbers that are NaN or infinite")
    return array


def checked_camera(camera: Any) -> Camera:
    """The camera.  Raises SetupError if it is none."""
    return checked_kind(camera, Camera, "camera", "a solver_core.Camera")


def checked_kind(value: Any, kind: type[Kind], name: str, needed: str, error: type[SolverError] = SetupError) -> Kind:
    """The value, if it is of this class.

    Args:
        value: what the user gave.
        kind: the class.
        name: how messages call the value.
        needed: how messages call the class.
        error: the kind of SolverError that is raised.

    Raises:
        SolverError: if it is of another class.
    """
    if not isinstance(value, kind):
        raise error(f"{name} must be {needed}, got {type(value).__name__}")
    return value


def checked_path(value: Any, name: str, error: type[SolverError] = SetupError) -> Path:
    """The path of a file or folder.

    Args:
        value: what the user gave.
        name: how messages call it.
        error: the kind of SolverError that is raised.

    Raises:
        SolverError: if it is no text or path.
    """
    if not isinstance(value, str | os.PathLike):
        raise error(f"{name} must be a path, got {type(value).__name__}")
    return Path(value)


def is_number(value: Any) -> bool:
    """Whether a value is a single real number, which a span of time is not for all that NumPy says."""
    return isinstance(value, Real) and not isinstance(value, bool | np.timedelta64)


def checked_count(value: Any, name: str) -> int:
    """A whole number from 1 on.  Raises ConfigError that calls it `name`."""
    if not (is_number(value) and isinstance(value, Integral) and int(value) >= 1):
        raise ConfigError(f"{name} must be a whole number from 1 on, got {shown(value)}")
    return int(value)


def checked_rigid(matrix: Any, name: str) -> np.ndarray:
    """(4, 4) float64 rigid transform, its rotation made exact.  Raises SetupError that calls it `name`."""
    matrix = checked_numbers(matrix, name, (4, 4))
    rotation = matrix[:3, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=RIGID_TOLERANCE):
        raise SetupError(f"{name} must be a rigid transform; apply the object's scale to its vertices and pass the rest")
    if not np.allclose(matrix[3], (0, 0, 0, 1), atol=RIGID_TOLERANCE):
        raise SetupError(f"the last row of {name} must be 0 0 0 1; transpose the matrix if its last column is")
    if np.linalg.det(rotation) < 0:
        raise SetupError(f"{name} must not mirror; flip one axis of the vertices instead, or mend the axis convention")
    left, _, right = np.linalg.svd(rotation)
    matrix[:3, :3] = left @ right
    return matrix


def checked_coverage(mask: Any, camera: Camera) -> np.ndarray:
    """(H, W) float32 coverage in [0, 1] of a mask that has an outline.

    Args:
        mask: (H, W) bool, or float in [0, 1].
        camera: of the same size.

    Raises:
        ObservationError: for another shape, size, type or range, or if no pixel, every pixel or the whole border is object.
    """
    array = checked_array(mask, "silhouette", "(H, W)", ObservationError)
    if array.ndim != 2:
        raise ObservationError(f"silhouette must be (H, W), got shape {array.shape}; pass one channel, e.g. the alpha")
    if array.shape != (camera.height, camera.width):
        raise ObservationError(
            f"silhouette and camera must have the same size, got {array.shape[1]} x {array.shape[0]} pixels for a camera of "
            f"{camera.width} x {camera.height}; give the camera of this image"
        )
    if array.dtype.kind not in "fb":
        raise ObservationError(
            f"silhouette must be bool or float in [0, 1], got {array.dtype}; divide 8-bit values by 255, or compare with 127"
        )
    coverage = array.astype(np.float32)
    if not np.isfinite(coverage).all() or coverage.min() < 0 or coverage.max() > 1:
        raise ObservationError(
            f"silhouette values must lie in [0, 1], got {np.min(array)} to {np.max(array)}; scale them, and replace NaN by 0"
        )
    is_object = coverage >= 0.5
    if not is_object.any():
        raise ObservationError("the silhouette is empty: no pixel is at least half covered; check the mask's threshold")
    if is_object.all():
        raise ObservationError("the silhouette fills the whole image, so it has no outline; invert or redraw the mask")
    if is_object[[0, -1]].all() and is_object[:, [0, -1]].all():
        raise ObservationError(
            "the silhouette covers the whole border of the image, so it is most likely inverted; invert the mask"
        )
    return coverage
