# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the targets of an armature come from: empties, another armature or a file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import bpy
import numpy as np

from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.files.targets import NamedTargets, read_targets
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

from ..bridge.armature import find_collection, read_collection, read_joints, read_rest, read_turns
from ..bridge.scene import evaluate, find_object
from .armature_chain import nodes_below, skeleton_of
from .armature_task import ArmatureTask
from .solve import frames_of

AS_STATED = "AUTO"
ROUNDING = 1e-6  # frames
AXES = ("X", "Y", "Z")


@dataclass(frozen=True, eq=False)
class TargetSource:
    """Where targets come from.  file: read already, with its first frame at frame_first of the scene."""

    task: ArmatureTask
    file: NamedTargets | None
    frame_first: int

    @classmethod
    def open(cls, scene: bpy.types.Scene, task: ArmatureTask) -> Self:
        """Raises SolverError if there is no such source."""
        if not (np.isfinite(task.target_scale) and task.target_scale > 0 and np.isfinite(task.target_offset).all()):
            raise SetupError("The scale of the targets must be more than 0, and their offset three numbers.")
        file = None
        if task.source == "COLLECTION":
            find_collection(task.collection)
        elif task.source == "ARMATURE":
            other = find_object(scene, task.target_armature, "target armature")
            if other.type != "ARMATURE" or other.name == task.armature:
                raise SetupError("The target armature must be another armature than the one that is solved.")
        elif task.source == "FILE":
            if not task.file:
                raise SetupError("Choose a file with targets, such as BVH or CSV.")
            unit = None if task.unit == AS_STATED else task.unit
            file = read_targets(Path(bpy.path.abspath(task.file)), unit=unit)
        else:
            raise SetupError(f"The targets must come from a COLLECTION, an ARMATURE or a FILE, not from '{task.source}'.")
        firsts = (task.first_frame, task.frame_start, scene.frame_start)
        return cls(task, file, next(first for first in firsts if first is not None))

    def names(self, scene: bpy.types.Scene) -> tuple[str, ...]:
        if self.file is not None:
            return self.file.names
        return tuple(self.read(scene, evaluate(scene), self.frame_first))

    def read(self, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, frame: int) -> dict[str, np.ndarray]:
        """(3,) in the world by the target's name at a frame, which the scene shows."""
        task = self.task
        if task.source == "COLLECTION":
            points = read_collection(depsgraph, find_collection(task.collection))
        elif task.source == "ARMATURE":
            points = read_joints(depsgraph, find_object(scene, task.target_armature, "target armature"))
        else:
            points = self._read_file(scene, frame)
        return {name: task.target_scale * point + task.target_offset for name, point in points.items()}

    def skeleton(self, scene: bpy.types.Scene, targets: Collection[str]) -> Skeleton | None:
        """Whose nodes the named targets are, where it is known how they are turned."""
        if self.file is not None:
            return self.file.skeleton
        if self.task.source != "ARMATURE":
            return None
        bones = read_rest(find_object(scene, self.task.target_armature, "target armature"))
        trees = [nodes_below(bones, bone.name) for bone in bones.values() if not bone.parent]
        nodes = max(trees, key=lambda nodes: len(nodes.keys() & targets))
        return skeleton_of(nodes, 1.0) if len(nodes) > 1 else None

    def read_orientations(
        self, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, frame: int, skeleton: Skeleton
    ) -> np.ndarray:
        """(J, 3, 3) world from the skeleton's joints at a frame, which the scene shows."""
        if self.file is None:
            turns = read_turns(depsgraph, find_object(scene, self.task.target_armature, "target armature"))
            return np.stack([turns[name] for name in skeleton.joint_names])
        number = min(round((frame - self.frame_first) * self._pace(scene)), len(self.file.positions) - 1)
        x = self.file.rotations[[number]][:, skeleton.joints]
        posture = forward_kinematics(skeleton, skeleton.offsets[None], x)
        return self._world_from_file() @ posture.orientations[0]

    def last_frame(self, scene: bpy.types.Scene) -> int:
        """Of the scene, that the file has targets for."""
        return self.frame_first + int((len(self.file.positions) - 1) / self._pace(scene) + ROUNDING)

    def _read_file(self, scene: bpy.types.Scene, frame: int) -> dict[str, np.ndarray]:
        positions = self.file.positions
        number, share = divmod((frame - self.frame_first) * self._pace(scene), 1)
        before = positions[int(number)]
        after = positions[min(int(number) + 1, len(positions) - 1)]
        blended = before if share < ROUNDING else (1 - share) * before + share * after
        in_world = blended @ self._world_from_file().T / scene.unit_settings.scale_length
        return dict(zip(self.file.names, in_world, strict=True))

    def _world_from_file(self) -> np.ndarray:
        return _upright(self.file.up or "Y" if self.task.up == AS_STATED else self.task.up)

    def _pace(self, scene: bpy.types.Scene) -> float:
        """Frames of the file for a frame of the scene."""
        if not (self.task.keep_speed and self.file.frame_time):
            return 1.0
        return frame_rate(scene) ** -1 / self.file.frame_time


def frames_to_solve(scene: bpy.types.Scene, task: ArmatureTask, source: TargetSource) -> tuple[tuple[int, ...], list[str]]:
    """Frames to solve, and notices.  Raises SetupError."""
    if source.file is None:
        return frames_of(scene, task.frame_start, task.frame_end), []
    last, notices = source.last_frame(scene), []
    end = task.frame_end
    if task.is_range and (end is None or end > last):
        if end is not None:
            notices.append(f"The file ends at frame {last}.")
        end = last
    frames = frames_of(scene, task.frame_start, end) if task.is_range else (scene.frame_current,)
    if not source.frame_first <= frames[0] <= last:
        raise SetupError(f"The file has targets for frames {source.frame_first} to {last} and none for frame {frames[0]}.")
    rate = frame_rate(scene)
    if len(frames) > 1 and not task.keep_speed and source.file.frame_time and abs(source.file.frame_time * rate - 1) > 0.01:
        notices.append(
            f"The file has {1 / source.file.frame_time:.4g} frames a second and the scene {rate:.4g}, so its speed changes: "
            "turn on Keep Speed."
        )
    return frames, notices


def frame_rate(scene: bpy.types.Scene) -> float:
    return scene.render.fps / scene.render.fps_base


def _upright(up: str) -> np.ndarray:
    """(3, 3) the turn by a quarter, or half, that brings an axis of a file upright."""
    axis = AXES.index(up[-1].upper())
    sign = -1.0 if up[0] == "-" else 1.0
    if axis == 2:
        return np.diag([1.0, sign, sign])
    turn = np.eye(3)  # about the other axis that lies flat
    turn[[axis, 2], [axis, 2]] = 0
    turn[2, axis], turn[axis, 2] = sign, -sign
    return turn
