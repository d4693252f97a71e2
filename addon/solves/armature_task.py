# SPDX-License-Identifier: GPL-3.0-or-later
"""What Solve Armature is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from solver_core.options import option
from solver_core.problems.inverse_kinematics.solve import KinematicOptions


@dataclass(frozen=True)
class BoneTarget:
    """A target and the bone whose head should be there; "<bone>_end" is the tail of a bone without children."""

    target: str
    bone: str
    weight: float = 1.0


@dataclass(frozen=True)
class ArmatureOptions(KinematicOptions):
    """What a user may choose about a solve in Blender."""

    rest_frame: int | None = option(
        None,
        "Rest Pose",
        "Frame at which the armature stands upright, its arms lowered or stretched out, if its rest pose does not",
        minimum=-1048574,
        maximum=1048574,
        unset="that of the edit mode",
    )
    use_limits: bool = option(True, "Respect Limits", "Keeps locked axes and the IK limits of the bones")
    mute: bool = option(
        False,
        "Mute Constraints",
        "Switches off for good the constraints and drivers that hold solved bones, where these copy no control that can be "
        "posed instead",
    )


@dataclass(frozen=True)
class ArmatureTask:
    """source: COLLECTION (of empties), ARMATURE or FILE.

    bones: empty = found by the names.  Without frame_start and frame_end only the current frame is solved,
    and no keyframe is set.  Of a file, up: the axis that points up, AUTO = as the file states, else y; unit: AUTO = as the file
    states, else found by its size; first_frame: of the scene, at which the file starts, null = frame_start; keep_speed: whether
    frames of the file are blended where it has another rate than the scene.  target_scale, target_offset: of all targets, about
    the world's origin and then along its axes.
    """

    armature: str
    source: Literal["COLLECTION", "ARMATURE", "FILE"] = "COLLECTION"
    collection: str = ""
    target_armature: str = ""
    file: str = ""
    bones: tuple[BoneTarget, ...] = ()
    options: ArmatureOptions = field(default_factory=ArmatureOptions)
    frame_start: int | None = None
    frame_end: int | None = None
    up: Literal["AUTO", "X", "-X", "Y", "-Y", "Z", "-Z"] = "AUTO"
    unit: Literal["AUTO", "m", "cm", "mm", "in", "ft"] = "AUTO"
    first_frame: int | None = None
    keep_speed: bool = False
    target_scale: float = 1.0
    target_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def is_range(self) -> bool:
        return self.frame_start is not None or self.frame_end is not None
