# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve Pose: moves an object, or the camera, until the object's outline fills the silhouette."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import bpy
import numpy as np

from solver_core import render, rotations
from solver_core.errors import SetupError
from solver_core.frames import Camera, matrix_from_pose
from solver_core.options import option
from solver_core.problems.pose.observation import PoseObservation, overlap
from solver_core.problems.pose.setup import PoseSetup
from solver_core.problems.pose.solve import PoseAlternative, PoseOptions, PoseSession, PoseSolution

from ..bridge.camera import camera_of_image, read_camera, read_camera_pose
from ..bridge.image import Picture
from ..bridge.keyframes import require_keyable
from ..bridge.mesh import RigidMesh, read_rigid_mesh
from ..bridge.scene import evaluate, find_object, find_scene, require_editable
from ..bridge.transform import (
    Placement,
    animation_notices,
    place,
    read_channels,
    read_placement,
    rotation_channel,
    write_channels,
)
from .image_source import ImageSource, MaskKey
from .outline import mask_outline, mesh_outline
from .solve import NO_IMAGE_LINES, NO_POINTS, Step, frames_of, mean_milliseconds


@dataclass(frozen=True)
class PoseTaskOptions(PoseOptions):
    """What a user may choose about a solve in Blender."""

    move: str = option(
        "OBJECT",
        "Move",
        "What is moved so that the object and its silhouette meet",
        choices={"OBJECT": "Moves and turns the object; the camera stays", "CAMERA": "Moves and turns the camera instead"},
    )


@dataclass(frozen=True)
class PoseTask:
    """object: a mesh or whatever has a surface, or an empty that instances a collection.

    frame_start, frame_end: a range, with keyframes; without both the current frame is solved and no keyframe is set.
    """

    object: str
    camera: str
    silhouette: ImageSource
    mask: MaskKey = field(default_factory=MaskKey)
    options: PoseTaskOptions = field(default_factory=PoseTaskOptions)
    frame_start: int | None = None
    frame_end: int | None = None

    @property
    def is_range(self) -> bool:
        return self.frame_start is not None or self.frame_end is not None

    @property
    def moved(self) -> str:
        return self.camera if self.options.move == "CAMERA" else self.object


class _Places(NamedTuple):
    """The rigid (4, 4) world_from_still of the camera or object that does not move, and which of them does."""

    world_from_still: np.ndarray
    is_camera_moved: bool

    def world_from_moved(self, camera_from_object: np.ndarray) -> np.ndarray:
        relative = np.linalg.inv(camera_from_object) if self.is_camera_moved else camera_from_object
        return self.world_from_still @ relative

    def camera_from_object(self, world_from_moved: np.ndarray) -> np.ndarray:
        relative = np.linalg.solve(self.world_from_still, world_from_moved)
        return np.linalg.inv(relative) if self.is_camera_moved else relative


@dataclass(eq=False)
class _View:
    """A frame as it was read, and what is made of it in the thread of the steps."""

    frame: int
    placement: Placement
    places: _Places
    picture: Picture
    mesh: RigidMesh
    camera: Camera
    start: np.ndarray
    setup: PoseSetup | None = None
    observed_lines: np.ndarray = field(default_factory=lambda: NO_IMAGE_LINES)

    def prepare(self, mask: MaskKey) -> None:
        """Makes setup and outline.  Raises SolverError."""
        coverage = mask.coverage(self.picture)
        self.setup = PoseSetup.checked(coverage, self.mesh.vertices, self.mesh.faces, self.camera, self.start)
        self.observed_lines = mask_outline(coverage)

    def iou(self, camera_from_object: np.ndarray) -> float:
        """Overlap with the mask in its own pixels."""
        setup, camera = self.setup, self.setup.camera
        unit_pose = matrix_from_pose(setup.unit_pose(camera_from_object))
        depth = render.render_depth([setup.mesh], unit_pose[None], camera.intrinsics, camera.height, camera.width)
        is_evidence = np.ones_like(depth, bool)
        return float(overlap(np.isfinite(depth), PoseObservation(setup.coverage[None], is_evidence, depth))[0])

    def outline(self, camera_from_object: np.ndarray) -> np.ndarray:
        setup = self.setup
        return mesh_outline(setup.mesh, matrix_from_pose(setup.unit_pose(camera_from_object)), setup.camera)


@dataclass(eq=False)
class PoseSolve:
    """See solves/solve.py.  A range warm starts each frame from the one before; its keyframes are set after the last."""

    scene: str
    task: PoseTask
    parts: tuple[int, ...]
    frame: int
    channels: dict[str, tuple[float, ...]]
    views: dict[int, _View] = field(default_factory=dict)
    solutions: dict[int, PoseSolution] = field(default_factory=dict)
    iou_before: dict[int, float] = field(default_factory=dict)

    @classmethod
    def gather(cls, scene: bpy.types.Scene, task: PoseTask) -> Self:
        parts = frames_of(scene, task.frame_start, task.frame_end)
        find_object(scene, task.object, "object")
        find_object(scene, task.camera, "camera")
        moved = scene.objects[task.moved]
        require_editable(moved)
        if task.is_range:
            require_keyable(moved, "location", rotation_channel(moved))
        return cls(scene.name, task, parts, scene.frame_current, read_channels(moved))

    def read(self, part: int) -> None:
        scene, task = find_scene(self.scene), self.task
        if scene.frame_current != part:
            scene.frame_set(part)
        thing, camera = find_object(scene, task.object, "object"), find_object(scene, task.camera, "camera")
        depsgraph = evaluate(scene)
        world_from_camera = read_camera_pose(depsgraph, camera)
        mesh = read_rigid_mesh(depsgraph, thing)
        picture = task.silhouette.read(camera, part, task.is_range)
        seen_by = camera_of_image(read_camera(scene, depsgraph, camera), *picture.size)
        placement = read_placement(depsgraph, scene.objects[task.moved])
        is_camera_moved = task.options.move == "CAMERA"
        places = _Places(mesh.world_from_object if is_camera_moved else world_from_camera, is_camera_moved)
        start = np.linalg.solve(world_from_camera, mesh.world_from_object)
        if self.solutions:
            last, solution = list(self.solutions.items())[-1]
            start = places.camera_from_object(self.views[last].places.world_from_moved(solution.camera_from_object))
        if (start[:3, :3] @ mesh.centre + start[:3, 3])[2] >= 0:
            raise SetupError(f"'{task.object}' is not in front of the camera '{task.camera}': move it where the camera looks.")
        self.views[part] = _View(part, placement, places, picture, mesh, seen_by, start)

    def steps(self) -> Iterator[Step]:
        task, (part, view) = self.task, list(self.views.items())[-1]
        view.prepare(task.mask)
        self.iou_before[part] = view.iou(view.setup.start)
        session = PoseSession(view.setup, task.options)
        for index, step in enumerate(session):
            yield Step(
                part,
                index,
                session.expected_steps - 1,
                step.phase,
                step.energy,
                f"IoU {1 - step.energy:.3f}",
                step.camera_from_object,
                step.seconds,
                image_lines=view.outline(step.camera_from_object),
            )
        self.solutions[part] = session.result()

    def apply(self, step: Step) -> None:
        scene, moved = self._find()
        if scene.frame_current != step.part:
            scene.frame_set(step.part)
        view = self.views[step.part]
        place(moved, view.placement, view.places.world_from_moved(step.answer))

    def apply_alternative(self, index: int) -> None:
        """Places what moves as in an entry of the report's alternatives, which are those of the last frame."""
        _, moved = self._find()
        view = list(self.views.values())[-1]
        place(moved, view.placement, view.places.world_from_moved(self._choices()[index].camera_from_object))

    def keep(self) -> None:
        scene, moved = self._find()
        part, view = list(self.views.items())[-1]
        place(moved, view.placement, view.places.world_from_moved(self.solutions[part].camera_from_object))
        if self.task.is_range and part == self.parts[-1]:
            for frame, solution in self.solutions.items():
                view = self.views[frame]
                place(moved, view.placement, view.places.world_from_moved(solution.camera_from_object))
                moved.keyframe_insert("location", frame=frame)
                moved.keyframe_insert(rotation_channel(moved), frame=frame)
            scene.frame_set(self.frame)

    def restore(self) -> None:
        scene = bpy.data.scenes.get(self.scene)
        if scene is not None and scene.frame_current != self.frame:
            scene.frame_set(self.frame)
        moved = scene and scene.objects.get(self.task.moved)
        if moved is not None:
            write_channels(moved, self.channels)

    def report(self) -> dict[str, Any]:
        solutions = list(self.solutions.values())
        steps = sum(len(solution.history) for solution in solutions)
        seconds = sum(solution.seconds for solution in solutions)
        worst_frame, worst = min(self.solutions.items(), key=lambda solved: solved[1].iou)
        before, after = list(self.iou_before.values()), [solution.iou for solution in solutions]
        return {
            "verdict": worst.verdict.value,
            "explanation": f"Frame {worst_frame}: {worst.explanation}" if self.task.is_range else worst.explanation,
            "reason": worst.reason.value,
            "seconds": seconds,
            "steps": steps,
            "ms_per_step": mean_milliseconds(seconds, steps),
            "iou_before": before if self.task.is_range else before[0],
            "iou": after if self.task.is_range else after[0],
            "alternatives": [self._placed(choice) for choice in self._choices()],
            "notices": [] if self.task.is_range else animation_notices(self._find()[1]),
        }

    @property
    def observed_image_lines(self) -> np.ndarray:
        return list(self.views.values())[-1].observed_lines

    @property
    def observed_points(self) -> np.ndarray:
        return NO_POINTS

    def _find(self) -> tuple[bpy.types.Scene, bpy.types.Object]:
        scene = find_scene(self.scene)
        return scene, find_object(scene, self.task.moved, "camera" if self.task.options.move == "CAMERA" else "object")

    def _choices(self) -> list[PoseAlternative]:
        """The last frame's result and the other poses that explain its silhouette as well."""
        solution = list(self.solutions.values())[-1]
        return [PoseAlternative(solution.camera_from_object, solution.iou), *solution.alternatives]

    def _placed(self, choice: PoseAlternative) -> dict[str, Any]:
        view = list(self.views.values())[-1]
        world_from_moved = view.places.world_from_moved(choice.camera_from_object)
        return {
            "iou": choice.iou,
            "location": world_from_moved[:3, 3].tolist(),
            "rotation_wxyz": rotations.wxyz_from_matrix(world_from_moved[:3, :3]).tolist(),
        }


def preview_mask(scene: bpy.types.Scene, silhouette: ImageSource, mask: MaskKey, camera: str = "") -> np.ndarray:
    """(H, W) float32, row 0 on top: what the solve would take as the object.  Raises SolverError.

    camera: whose background it is, the scene's if not given.
    """
    return mask.coverage(silhouette.read(scene.objects.get(camera, scene.camera), scene.frame_current, is_range=False))
