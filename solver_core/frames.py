# SPDX-License-Identifier: Apache-2.0
"""Camera model and image conventions: the one place where they are written down and converted.

Frames are right-handed.  A camera looks along -z with x to the right and y up, as in Blender and OpenGL.  Pixels are
(row, column) with row 0 on top; the centre of the first pixel is at (0.5, 0.5).  `a_from_b` takes coordinates in b and
gives them in a; a rigid transform is a (4, 4) matrix with a rotation and a translation in metres.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.distortion import FISHEYE_COUNT, RADIAL_COUNTS, undistorted_image
from solver_core.errors import SetupError, shown
from solver_core.writing import write_text

LARGEST = 1e9  # pixels; a camera has no larger number, and what is not finite is not below it


@dataclass(frozen=True)
class Camera:
    """Pinhole camera.  A point (x, y, z) is seen at column cx - fx x / z and row cy + fy y / z (z is negative in view).

    width, height: image size in pixels.  fx, fy: focal lengths in pixels.  cx, cy: principal point in pixels from the
    left and from the top.  distortion: of the lens, OpenCV's k1 k2 p1 p2 [k3 [k4 k5 k6]], or k1 k2 k3 k4 of its fisheye
    model with is_fisheye; none for a pinhole.  Raises SetupError if a number is not finite, a size is below 1, a focal
    length not positive, or distortion of another length.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    is_fisheye: bool = False

    def __post_init__(self) -> None:
        for field in fields(self)[:6]:
            value = getattr(self, field.name)
            if isinstance(value, bool | np.timedelta64) or not isinstance(value, (int, float, np.integer, np.floating)):
                raise SetupError(f"camera {field.name} must be a number, got {shown(value)}")
            if not abs(value) < LARGEST:
                raise SetupError(f"camera {field.name} must be finite and below {LARGEST:g}, got {value}")
        if self.width < 1 or self.height < 1 or self.width != int(self.width) or self.height != int(self.height):
            raise SetupError(f"camera image size must be whole pixels, at least 1 x 1, got {self.width} x {self.height}")
        if self.fx <= 0 or self.fy <= 0:
            raise SetupError(f"camera focal lengths must be positive pixels, got fx = {self.fx}, fy = {self.fy}")
        object.__setattr__(self, "distortion", _checked_distortion(self.distortion, self.is_fisheye))

    @classmethod
    def from_fov(cls, width: int, height: int, vertical_fov: float) -> Camera:
        """Camera with square pixels and a centred principal point.

        Args:
            width: of the image, pixels.
            height: of the image, pixels.
            vertical_fov: full angle from the lower to the upper border, radians, in (0, pi).

        Raises:
            SetupError: for another angle or size.
        """
        if not 0 < vertical_fov < math.pi:
            raise SetupError(f"vertical field of view must be between 0 and pi radians, got {vertical_fov}")
        focal_px = height / 2 / math.tan(vertical_fov / 2)
        return cls(width, height, focal_px, focal_px, width / 2, height / 2)

    def to_json(self, path: str | Path) -> None:
        """Writes a file that `camera_files.read_camera` takes.  Raises ConfigError if it cannot be written."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n", "camera")

    @property
    def intrinsics(self) -> np.ndarray:
        """(4,) float64: fx, fy, cx, cy, as the renderer takes them."""
        return np.array([self.fx, self.fy, self.cx, self.cy], dtype=np.float64)

    @property
    def pinhole(self) -> Camera:
        """The same camera with an ideal lens, for images that were made by `undistorted`."""
        return replace(self, distortion=(), is_fisheye=False)

    def with_focal(self, fx: float) -> Camera:
        """The same camera with another focal length, in pixels, and pixels of the same shape."""
        return replace(self, fx=fx, fy=self.fy * fx / self.fx)

    def undistorted(self, image: np.ndarray) -> np.ndarray:
        """An image (H, W) or (H, W, C) float as the pinhole would have taken it; itself if there is no distortion."""
        if not self.distortion:
            return image
        return undistorted_image(image, self.intrinsics, self.distortion, self.is_fisheye)

    def window(self, left: int, top: int, width: int, height: int) -> Camera:
        """The same camera seen through a window of its image, which may reach over the border.

        Args:
            left: column of the window's first pixel.
            top: row of the window's first pixel.
            width: of the window, pixels.
            height: of the window, pixels.
        """
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

    def scaled(self, factor: float, width: int, height: int) -> Camera:
        """The same view with other pixels.

        Args:
            factor: on the number of pixels a length.
            width: of the new image, pixels.
            height: of the new image, pixels.
        """
        focal_and_centre = {name: factor * getattr(self, name) for name in ("fx", "fy", "cx", "cy")}
        return replace(self, width=width, height=height, **focal_and_centre)


def _checked_distortion(values: object, is_fisheye: bool) -> tuple[float, ...]:
    """Raises SetupError."""
    try:
        coefficients = tuple(float(value) for value in values)  # type: ignore[attr-defined]
    except (OverflowError, TypeError, ValueError) as error:
        raise SetupError(f"camera distortion must be a list of numbers, got {shown(values)}") from error
    allowed = (0, FISHEYE_COUNT) if is_fisheye else (0, *RADIAL_COUNTS)
    if len(coefficients) not in allowed or not all(abs(value) < LARGEST for value in coefficients):
        raise SetupError(f"camera distortion must be {', '.join(map(str, allowed))} finite numbers, got {shown(coefficients)}")
    return coefficients


def project(points_camera: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Where points are seen.

    Args:
        points_camera: (..., 3), in front of the camera (z < 0).
        intrinsics: (..., 4) fx, fy, cx, cy in pixels, broadcast against the points' leading axes.

    Returns:
        (..., 2) column and row, pixels.
    """
    depth = -points_camera[..., 2]
    fx, fy, cx, cy = np.moveaxis(intrinsics, -1, 0)
    columns = cx + fx * points_camera[..., 0] / depth
    rows = cy - fy * points_camera[..., 1] / depth
    return np.stack([columns, rows], axis=-1)


def rays(columns: np.ndarray, rows: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Points at depth 1 that are seen at given places.

    Args:
        columns: (...,) pixels.
        rows: (...,) pixels.
        intrinsics: (..., 4) fx, fy, cx, cy in pixels.

    Returns:
        (..., 3) with z = -1.
    """
    fx, fy, cx, cy = np.moveaxis(intrinsics, -1, 0)
    return np.stack(np.broadcast_arrays((columns - cx) / fx, (cy - rows) / fy, -1.0), axis=-1)


def pose_from_matrix(camera_from_object: np.ndarray) -> np.ndarray:
    """(..., 7) wxyz + xyz from rigid (..., 4, 4)."""
    wxyz = rotations.wxyz_from_matrix(camera_from_object[..., :3, :3])
    return np.concatenate([wxyz, camera_from_object[..., :3, 3]], axis=-1)


def matrix_from_pose(pose: np.ndarray) -> np.ndarray:
    """(..., 4, 4) rigid transforms from (..., 7) wxyz + xyz."""
    matrix = np.zeros((*pose.shape[:-1], 4, 4), dtype=pose.dtype)
    matrix[..., :3, :3] = rotations.matrix_from_wxyz(pose[..., :4])
    matrix[..., :3, 3] = pose[..., 4:]
    matrix[..., 3, 3] = 1
    return matrix
