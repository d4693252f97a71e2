"""What a pose is solved from, checked, and how the user's poses and those of the unit mesh become each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver_core.checks import checked_camera, checked_coverage, checked_rigid
from solver_core.errors import SetupError
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.mesh import Mesh, UnitMesh
from solver_core.views import view_rotation

OTHER_UNIT = 30.0  # an object this many times as large as its distance is no close-up, but in another unit
VIEW_AZIMUTHS, VIEW_ELEVATIONS = np.radians(np.arange(0.0, 360.0, 45.0)), np.radians((10.0, 45.0))


@dataclass(frozen=True)
class PoseSetup:
    """A checked pose problem, in the user's units and in those of the unit mesh (mesh.py).

    coverage: (H, W) float32 in [0, 1].  start: (4, 4) camera_from_object, or None.
    """

    coverage: np.ndarray
    mesh: Mesh
    centre: np.ndarray
    diagonal: float
    camera: Camera
    start: np.ndarray | None

    @classmethod
    def checked(
        cls, mask: np.ndarray, vertices: np.ndarray, faces: np.ndarray, camera: Camera, start: np.ndarray | None
    ) -> PoseSetup:
        """A setup from a user's arrays.

        Raises:
            ObservationError: for the mask; SetupError: for the rest.
        """
        coverage = checked_camera(camera).undistorted(checked_coverage(mask, camera))
        mesh, centre, diagonal = UnitMesh.checked(vertices, faces)
        return cls(
            coverage, mesh, centre, diagonal, camera.pinhole, None if start is None else _checked_start(start, centre, diagonal)
        )

    def starts(self) -> np.ndarray:
        """(B, 7) poses of the unit mesh to begin with: the given one, or views from around the upright object."""
        if self.start is not None:
            return self.unit_pose(self.start)[None]
        azimuth, elevation = (grid.ravel() for grid in np.meshgrid(VIEW_AZIMUTHS, VIEW_ELEVATIONS))
        wxyz = view_rotation(azimuth, elevation, np.zeros_like(azimuth))
        return np.concatenate([wxyz, np.tile([0.0, 0.0, -3.0], (len(wxyz), 1))], axis=1)  # alignment sets the place

    def unit_pose(self, camera_from_object: np.ndarray) -> np.ndarray:
        """(7,) pose of the unit mesh for (4, 4) of the user's."""
        pose = pose_from_matrix(camera_from_object)
        pose[4:] = (camera_from_object[:3, :3] @ self.centre + pose[4:]) / self.diagonal
        return pose

    def user_matrix(self, unit_pose: np.ndarray) -> np.ndarray:
        """(4, 4) of the user's mesh for a pose (7,) of the unit mesh."""
        matrix = matrix_from_pose(unit_pose)
        matrix[:3, 3] = unit_pose[4:] * self.diagonal - matrix[:3, :3] @ self.centre
        return matrix


def _checked_start(start: np.ndarray, object_centre: np.ndarray, diagonal: float) -> np.ndarray:
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
