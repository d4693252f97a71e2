# SPDX-License-Identifier: Apache-2.0
"""What a pose is solved from, checked, and how the user's poses and those of the unit mesh become each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver_core import rotations
from solver_core.checks import checked_array, checked_camera, checked_coverage, checked_numbers, checked_rigid
from solver_core.errors import ObservationError, SetupError, shown
from solver_core.frames import Camera
from solver_core.mesh import Mesh, UnitMesh
from solver_core.views import view_rotation

OTHER_UNIT = 30.0  # an object this many times as large as its distance is no close-up, but in another unit
MAX_FOCAL_RATIO = 100.0  # from the widest to the longest lens that one may think of
QUARTER = np.pi / 2
# Rotation vectors that make a mesh upright along z, for each answer to the question which of its axes is up.
TURNS_TO_Z_UP = {
    "either": [(0.0, 0, 0), (QUARTER, 0, 0)],
    "z": [(0.0, 0, 0)],
    "y": [(QUARTER, 0, 0)],
    "any": [(0.0, 0, 0), (QUARTER, 0, 0), (-QUARTER, 0, 0), (2 * QUARTER, 0, 0), (0, QUARTER, 0), (0, -QUARTER, 0)],
}
UP_AXES = tuple(TURNS_TO_Z_UP)
VIEW_AZIMUTHS, VIEW_ELEVATIONS = np.radians(np.arange(0.0, 360.0, 45.0)), np.radians((10.0, 45.0))


@dataclass(frozen=True)
class PoseSetup:
    """A checked pose problem, in the user's units and in those of the unit mesh (mesh.py).

    coverage: (H, W) float32 in [0, 1].  known: (H, W) bool, False where nothing is known, or None = all of it.
    start: (4, 4) camera_from_object, or None.  up: one of UP_AXES.  focal_range: lowest and highest fx in pixels, if it is
    not known.
    """

    coverage: np.ndarray
    known: np.ndarray | None
    mesh: Mesh
    centre: np.ndarray
    diagonal: float
    camera: Camera
    start: np.ndarray | None
    up: str
    focal_range: tuple[float, float] | None

    @classmethod
    def checked(
        cls,
        mask: np.ndarray,
        vertices: np.ndarray,
        faces: np.ndarray,
        camera: Camera,
        start: np.ndarray | None,
        ignore: np.ndarray | None = None,
        up: str = UP_AXES[0],
        focal_range: tuple[float, float] | None = None,
    ) -> PoseSetup:
        """A setup from a user's arrays.

        Raises:
            ObservationError: for the mask; SetupError: for the rest.
        """
        coverage = checked_camera(camera).undistorted(checked_coverage(mask, camera))
        known = None if ignore is None else _checked_known(ignore, coverage, camera)
        mesh, centre, diagonal = UnitMesh.checked(vertices, faces)
        start = None if start is None else checked_start(start, centre, diagonal)
        up = checked_up(up)
        pinhole = camera.pinhole
        if focal_range is not None:
            focal_range = checked_focal_range(focal_range)
            pinhole = pinhole.with_focal(float(np.clip(pinhole.fx, *focal_range)))
        return cls(coverage, known, mesh, centre, diagonal, pinhole, start, up, focal_range)

    def has_mesh_of(self, other: PoseSetup) -> bool:
        """Whether both are of the same object, in the same unit."""
        if self.mesh is other.mesh:
            return True
        pairs = [(one.mesh.vertices, one.mesh.faces, one.centre, one.diagonal) for one in (self, other)]
        return all(np.array_equal(*pair) for pair in zip(*pairs, strict=True))

    def starts(self) -> np.ndarray:
        """(B, 7) poses of the unit mesh to begin with: the given one, or views from around."""
        if self.start is not None:
            return self.unit_pose(self.start)[None]
        azimuth, elevation = (grid.ravel() for grid in np.meshgrid(VIEW_AZIMUTHS, VIEW_ELEVATIONS))
        upright = view_rotation(azimuth, elevation, np.zeros_like(azimuth))
        turns = rotations.wxyz_from_rotvec(np.array(TURNS_TO_Z_UP[self.up]))
        wxyz = np.concatenate([rotations.multiply(upright, turn[None]) for turn in turns])
        return np.concatenate([wxyz, np.tile([0.0, 0.0, -3.0], (len(wxyz), 1))], axis=1)  # alignment sets the place

    @property
    def unit(self) -> UnitMesh:
        """The mesh, and what its unit is."""
        return UnitMesh(self.mesh, self.centre, self.diagonal)

    def unit_pose(self, camera_from_object: np.ndarray) -> np.ndarray:
        """(7,) pose of the unit mesh for (4, 4) of the user's."""
        return self.unit.unit_pose(camera_from_object)

    def user_matrix(self, unit_pose: np.ndarray) -> np.ndarray:
        """(4, 4) of the user's mesh for a pose (7,) of the unit mesh."""
        return self.unit.original_matrix(unit_pose)


def _checked_known(ignore: np.ndarray, coverage: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) bool, True where the mask counts.  Raises ObservationError."""
    array = checked_array(ignore, "ignore", "(H, W)", ObservationError)
    if array.shape != coverage.shape or array.dtype.kind not in "fb":
        raise ObservationError(
            f"ignore must be bool or float in [0, 1] of the mask's shape {coverage.shape}, True where nothing is known; "
            f"got shape {array.shape} of {array.dtype}"
        )
    known = camera.undistorted(array.astype(np.float32)) < 0.5
    if not (known & (coverage >= 0.5)).any():
        raise ObservationError("ignore leaves nothing of the silhouette; mark only what hides the object")
    return known


def checked_up(up: str) -> str:
    """One of UP_AXES.  Raises SetupError."""
    if up not in UP_AXES:
        raise SetupError(f"up must be one of {', '.join(UP_AXES)}, got {shown(up)}")
    return up


def checked_focal_range(focal_range: tuple[float, float]) -> tuple[float, float]:
    """Lowest and highest fx in pixels.  Raises SetupError."""
    low, high = checked_numbers(focal_range, "focal_range", (2,))
    if not 0 < low < high < MAX_FOCAL_RATIO * low:
        raise SetupError(
            "focal_range must be the lowest and the highest focal length in pixels, the highest at most "
            f"{MAX_FOCAL_RATIO:g} times as long, got {low:g} and {high:g}"
        )
    return low, high


def checked_start(start: np.ndarray, object_centre: np.ndarray, diagonal: float) -> np.ndarray:
    """(4, 4) float64 rigid transform with the object's centre before the camera.  Raises SetupError."""
    start = checked_rigid(start, "start")
    depth = -(start[:3, :3] @ object_centre + start[:3, 3])[2]
    if depth <= 0 and diagonal > OTHER_UNIT * np.linalg.norm(start[:3, 3]):
        raise SetupError(
            f"the object is {diagonal:g} long but {np.linalg.norm(start[:3, 3]):g} away, so its unit is another than the "
            "start's, perhaps millimetres; give both in one unit"
        )
    if depth <= 0:
        raise SetupError(
            f"the start puts the object's centre {-depth:g} behind the camera, which looks along -z with y up, as in Blender "
            "and OpenGL; if it is in OpenCV's convention (BOP, COLMAP, ROS: y down, z forward), negate its second and third "
            "row, or give --convention opencv"
        )
    return start
