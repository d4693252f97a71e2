# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the targets of an armature come from: empties, another armature or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import bpy
import numpy as np

from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.files.targets import NamedTargets, read_targets

from ..bridge.armature import find_collection, read_collection, read_joints
from ..bridge.scene import evaluate, find_object
from .armature_task import ArmatureTask
from .solve import frames_of

Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # world_from_file where y points up in the file


@dataclass(frozen=True, eq=False)
class TargetSource:
    """Where targets come from.  file: read already, with its first frame at frame_first of the scene."""

    task: ArmatureTask
    file: NamedTargets | None
    frame_first: int

    @classmethod
    def open(cls, scene: bpy.types.Scene, task: ArmatureTask) -> Self:
        """Raises SolverError if there is no such source."""
        file = None
        if task.source == "COLLECTION":
            find_collection(task.collection)
        elif task.source == "ARMATURE":
            other = find_object(scene, task.target_armature, "target armature")
            if other.type != "ARMATURE" or other.name == task.armature:
                raise SetupError("The target armature must be another armature than the one that is solved.")
        elif task.source == "FILE":
            if not task.file:
                raise SetupError("Choose a file with targets, .bvh or .csv.")
            file = read_targets(Path(bpy.path.abspath(task.file)))
        else:
            raise SetupError(f"The targets must come from a COLLECTION, an ARMATURE or a FILE, not from '{task.source}'.")
        return cls(task, file, scene.frame_start if task.frame_start is None else task.frame_start)

    def names(self, scene: bpy.types.Scene) -> tuple[str, ...]:
        return tuple(self.read(scene, evaluate(scene), self.frame_first))

    def read(self, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, frame: int) -> dict[str, np.ndarray]:
        """(3,) in the world by the target's name at a frame, which the scene shows."""
        if self.file is None:
            if self.task.source == "COLLECTION":
                return read_collection(depsgraph, find_collection(self.task.collection))
            return read_joints(depsgraph, find_object(scene, self.task.target_armature, "target armature"))
        positions = self.file.positions[frame - self.frame_first] / scene.unit_settings.scale_length
        if self.task.up == "Y":
            positions = positions @ Y_UP.T
        return dict(zip(self.file.names, positions, strict=True))


def frames_to_solve(scene: bpy.types.Scene, task: ArmatureTask, source: TargetSource) -> tuple[tuple[int, ...], list[str]]:
    """Frames to solve, and notices.  Raises SetupError."""
    if source.file is None:
        return frames_of(scene, task.frame_start, task.frame_end), []
    last, notices = source.frame_first + len(source.file.positions) - 1, []
    end = task.frame_end
    if task.is_range and (end is None or end > last):
        if end is not None:
            notices.append(f"The file ends at frame {last}.")
        end = last
    frames = frames_of(scene, task.frame_start, end) if task.is_range else (scene.frame_current,)
    if not source.frame_first <= frames[0] <= last:
        raise SetupError(f"The file has targets for frames {source.frame_first} to {last} and none for frame {frames[0]}.")
    rate = scene.render.fps / scene.render.fps_base
    if len(frames) > 1 and source.file.frame_time and abs(source.file.frame_time * rate - 1) > 0.01:
        notices.append(
            f"The file has {1 / source.file.frame_time:.4g} frames a second and the scene {rate:.4g}, so its speed changes."
        )
    return frames, notices
