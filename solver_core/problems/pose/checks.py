"""What a user hands in, checked once: each failure is one sentence that says what to do."""

from __future__ import annotations

import numpy as np

from solver_core.errors import ObservationError, SetupError
from solver_core.frames import Camera

RIGID_TOLERANCE = 1e-3  # files and Blender's float32 matrices are rounded to about 1e-6; more than 1e-3 is another matrix


def checked_coverage(mask: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) float32 in [0, 1] from a user's mask.  Raises ObservationError."""
    if not isinstance(camera, Camera):
        raise SetupError(f"camera must be a solver_core.Camera, got {type(camera).__name__}")
    try:
        mask = np.asarray(mask)
    except ValueError as error:  # rows of different length
        raise ObservationError("silhouette must be an array (H, W), got rows of different length") from error
    if mask.ndim != 2:
        raise ObservationError(f"silhouette must be (H, W), got shape {mask.shape}; pass one channel, e.g. the alpha")
    if mask.shape != (camera.height, camera.width):
        raise ObservationError(
            f"silhouette and camera must have the same size, got {mask.shape[1]} x {mask.shape[0]} pixels for a camera of "
            f"{camera.width} x {camera.height}; give the camera of this image"
        )
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.floating):
        raise ObservationError(
            f"silhouette must be bool or float in [0, 1], got {mask.dtype}; divide 8-bit values by 255, or compare with 127"
        )
    coverage = mask.astype(np.float32)
    if not np.isfinite(coverage).all() or coverage.min() < 0 or coverage.max() > 1:
        raise ObservationError(
            f"silhouette values must lie in [0, 1], got {np.min(mask)} to {np.max(mask)}; scale them, and replace NaN by 0"
        )
    is_object = coverage >= 0.5
    if not is_object.any():
        raise ObservationError("the silhouette is empty: no pixel is at least half covered; check the mask's threshold")
    if is_object.all():
        raise ObservationError("the silhouette fills the whole image, so it has no outline; invert or redraw the mask")
    return coverage


def checked_start(start: np.ndarray | None, object_centre: np.ndarray) -> np.ndarray | None:
    """(4, 4) float64 rigid transform with the object's centre before the camera, or None.  Raises SetupError."""
    if start is None:
        return None
    try:
        start = np.array(start, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SetupError("start must be a (4, 4) camera_from_object matrix of numbers") from error
    if start.shape != (4, 4) or not np.isfinite(start).all():
        raise SetupError(f"start must be a finite (4, 4) camera_from_object matrix, got shape {start.shape}")
    rotation = start[:3, :3]
    is_rigid = (
        np.allclose(rotation @ rotation.T, np.eye(3), atol=RIGID_TOLERANCE)
        and np.linalg.det(rotation) > 0
        and np.allclose(start[3], (0, 0, 0, 1), atol=RIGID_TOLERANCE)
    )
    if not is_rigid:
        raise SetupError("start must be a rigid transform; apply the object's scale to its vertices and pass the rest")
    left, _, right = np.linalg.svd(rotation)
    start[:3, :3] = left @ right
    depth = -(start[:3, :3] @ object_centre + start[:3, 3])[2]
    if depth <= 0:
        raise SetupError(
            f"the start puts the object's centre {-depth:g} behind the camera, which looks along -z; move it to negative z"
        )
    return start
