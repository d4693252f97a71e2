# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve Armature as a button."""

import bpy

from .. import messages, options, panels, preferences
from ..properties import ArmatureProperties
from ..solves.armature import ArmatureSolve
from ..solves.armature_task import ArmatureOptions, ArmatureTask
from .live import LiveOperator


def make_task(context: bpy.types.Context, owner: ArmatureProperties) -> ArmatureTask:
    settings = context.scene.deep_feedback.armature
    return ArmatureTask(
        armature=(settings.armature or context.view_layer.objects.active).name,
        source=settings.source,
        collection=settings.collection.name if settings.collection else "",
        target_armature=settings.target_armature.name if settings.target_armature else "",
        file=settings.file,
        up=settings.up,
        unit=settings.unit,
        first_frame=settings.first_frame if settings.use_first_frame else None,
        keep_speed=settings.keep_speed,
        target_scale=settings.target_scale,
        target_offset=tuple(settings.target_offset),
        bones=settings.bone_map,
        options=preferences.with_weights(context, options.read(ArmatureOptions, owner), "inverse_kinematics"),
        **owner.frames,
    )


class DEEP_FEEDBACK_OT_solve_armature(LiveOperator, ArmatureProperties, bpy.types.Operator):
    bl_idname = "deep_feedback.solve_armature"
    bl_label = "Solve Armature"
    bl_description = "Turns the bones so that their heads meet the targets and the pose stays natural"
    problem = "armature"
    solve_class = ArmatureSolve

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.armature_obstacles(context))

    def make_task(self, context: bpy.types.Context) -> ArmatureTask:
        return make_task(context, self)

    def summary(self, report: dict) -> str:
        return f"{report['mean_cm']:.2f} cm from the targets on average after {report['seconds']:.1f} s"

    def draw(self, context: bpy.types.Context) -> None:
        panels.draw_armature_options(self.layout, self)


CLASSES = (DEEP_FEEDBACK_OT_solve_armature,)
