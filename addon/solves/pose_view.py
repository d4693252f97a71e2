# SPDX-License-Identifier: GPL-3.0-or-later
"""A frame as Solve Pose reads it: what the camera sees, where things are, and how a pose becomes a motion of the world."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import NamedTuple

import bpy
import numpy as np

from solver_core.errors import SetupError
from solver_core.frames import matrix_from_pose
from solver_core.mesh import UnitMesh
from solver_core.problems.pose.photograph import PhotoSession
from solver_core.problems.pose.setup import PoseSetup
from solver_core.problems.pose.solve import PoseOptions, PoseSession

from ..bridge.camera import View, read_view
from ..bridge.image import Picture
from ..bridge.mesh import RigidMesh, as_rendered, read_rigid_mesh
from ..bridge.scene import Handle, evaluate
from ..bridge.transform import Placement, read_placement
from .image_source import ImageSource
from .observed import Observed
from .outline import mask_outline, mesh_outline
from .solve import NO_IMAGE_LINES


class Things(NamedTuple):
    """What takes part.  moved: objects that are placed: the camera, or an assembly of objects.  parts: whose outline counts.

    anchor: whose frame the pose is of.
    """

    camera: Handle
    moved: tuple[Handle, ...]
    parts: tuple[Handle, ...]
    anchor: Handle

    @property
    def is_camera_moved(self) -> bool:
        return self.moved == (self.camera,)

    def read_mesh(self, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> RigidMesh:
        """The surfaces of all parts as they are now.  Raises SetupError."""
        names = {part.require(scene).name for part in self.parts}
        return read_rigid_mesh(depsgraph, self.anchor.require(scene), names)


@dataclass(eq=False)
class PoseView:
    """A frame as it was read, and what is made of it in the thread of the steps.  start: (4, 4) camera_from_object.

    picture: the part of it that counts, of a picture of picture_size.  placements: of what is moved.  observed: what counts as
    the object, once that is known.
    """

    things: Things
    picture: Picture
    picture_size: tuple[int, int]
    seen: View
    mesh: RigidMesh
    placements: dict[Handle, Placement]
    start: np.ndarray
    observed: Observed | None = None
    observed_lines: np.ndarray = field(default_factory=lambda: NO_IMAGE_LINES)

    @classmethod
    def read(cls, scene: bpy.types.Scene, things: Things, source: ImageSource, is_range: bool) -> PoseView:
        """The scene at its frame.  Raises SolverError."""
        return cls.of(scene, things, source.read(scene, things.camera.require(scene), scene.frame_current, is_range))

    @classmethod
    def of(cls, scene: bpy.types.Scene, things: Things, picture: Picture) -> PoseView:
        """The scene before a picture.  Raises SetupError."""
        camera = things.camera.require(scene)
        with as_rendered(part.require(scene) for part in things.parts):
            depsgraph = evaluate(scene)
            seen = read_view(scene, depsgraph, camera, *picture.size)
            mesh = things.read_mesh(scene, depsgraph)
            placements = {one: read_placement(depsgraph, one.require(scene)) for one in things.moved}
        start = np.linalg.solve(seen.world_from_eye, mesh.world_from_object)
        return cls(things, picture.window(seen.rows, seen.columns), picture.size, seen, mesh, placements, start)

    def start_from(self, one: Handle, world_from_thing: np.ndarray) -> None:
        """Starts where one of the moved things, and the others with it, are at a rigid (4, 4)."""
        motion = world_from_thing @ np.linalg.inv(self.placements[one].world_from_thing)
        world_from_eye, world_from_object = self.seen.world_from_eye, self.mesh.world_from_object
        if self.things.is_camera_moved:
            self.start = np.linalg.solve(motion @ world_from_eye, world_from_object)
        else:
            self.start = np.linalg.solve(world_from_eye, motion @ world_from_object)

    def require_in_front(self) -> None:
        """Raises SetupError if the start is behind the camera."""
        if (self.start[:3, :3] @ self.mesh.centre + self.start[:3, 3])[2] >= 0:
            raise SetupError(
                f"'{self.things.anchor.name}' is not in front of the camera '{self.things.camera.name}': "
                "move it where the camera looks."
            )

    @functools.cached_property
    def unit(self) -> UnitMesh:
        """The mesh as solvers take it.  Raises SetupError."""
        return UnitMesh.checked(self.mesh.vertices, self.mesh.faces)

    def observe(self, coverage: np.ndarray) -> None:
        """Takes notice of what counts as the object, a mask (H, W) of the picture."""
        self.observed = Observed.of(coverage, self.picture_size)
        self.observed_lines = self._in_frame(mask_outline(coverage))

    def mask_session(self, coverage: np.ndarray, options: PoseOptions) -> PoseSession:
        """A solve of a mask (H, W) of the picture.  Raises SolverError."""
        mesh = self.mesh
        return PoseSession(PoseSetup.checked(coverage, mesh.vertices, mesh.faces, self.seen.camera, self.start), options)

    def photo_session(
        self, image: np.ndarray, box: tuple[float, float, float, float] | None, options: PoseOptions
    ) -> PhotoSession:
        """A solve of the picture (H, W, 3) as a photograph.  box: as PoseTask has it.  Raises SolverError."""
        mesh, marks = self.mesh, (self.seen.in_part(box), None, None, None)
        return PhotoSession.checked(image, mesh.vertices, mesh.faces, self.seen.camera, self.start, marks, options)

    def motion(self, camera_from_object: np.ndarray) -> np.ndarray:
        """(4, 4) by which the world moves what is moved, for a pose."""
        if self.seen.is_orthographic:  # which does not tell how far away things are
            centre = camera_from_object[:3, :3] @ self.mesh.centre + camera_from_object[:3, 3]
            depth = (self.start[:3, :3] @ self.mesh.centre + self.start[:3, 3])[2]
            camera_from_object = camera_from_object.copy()
            camera_from_object[:3, 3] += centre * (depth / centre[2] - 1)
        world_from_eye = self.seen.world_from_eye
        if self.things.is_camera_moved:
            return self.mesh.world_from_object @ np.linalg.inv(world_from_eye @ camera_from_object)
        return world_from_eye @ camera_from_object @ np.linalg.inv(self.mesh.world_from_object)

    def iou(self, observed: Observed, camera_from_object: np.ndarray) -> float:
        """Overlap with what was observed in a picture of the same size, be the object in view or not."""
        return observed.iou(self.unit.mesh, self._camera_from_unit(camera_from_object), self.seen.camera)

    def outline(self, camera_from_object: np.ndarray) -> np.ndarray:
        """(N, 2, 2) as Step.image_lines."""
        return self._in_frame(mesh_outline(self.unit.mesh, self._camera_from_unit(camera_from_object), self.seen.camera))

    def _camera_from_unit(self, camera_from_object: np.ndarray) -> np.ndarray:
        """(4, 4) for the unit mesh, up to a scale of the world, which no image shows."""
        return matrix_from_pose(self.unit.unit_pose(camera_from_object))

    def _in_frame(self, lines: np.ndarray) -> np.ndarray:
        return (lines * self.seen.scale + self.seen.offset).astype(np.float32)
