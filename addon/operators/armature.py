# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve Armature as a button, the lines of its bone map, and the frame that fits worst."""

import bpy

from solver_core.errors import SolverError

from .. import messages, options, panels, results
from ..properties import ArmatureProperties
from ..solves.armature import ArmatureSolve
from ..solves.armature_task import ArmatureOptions, ArmatureTask, BoneTarget
from ..solves.bone_map import match_bones, rows_of
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
        bones=tuple(BoneTarget(line.target, line.bone, line.weight) for line in settings.bones),
        options=options.read(ArmatureOptions, owner),
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


class DEEP_FEEDBACK_OT_guess_bones(bpy.types.Operator):
    bl_idname = "deep_feedback.guess_bones"
    bl_label = "Guess"
    bl_description = "Fills the bone map by the names of targets and bones; common naming conventions are known"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.targets_obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.deep_feedback.armature
        lines = settings.bones
        try:
            matching = match_bones(context.scene, make_task(context, settings))
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        lines.clear()
        for pair in rows_of(matching):
            line = lines.add()
            line.target, line.bone, line.weight = pair.target, pair.bone, pair.weight
        said = "; ".join((f"{len(lines)} targets have a bone", *matching.notices))
        self.report({"WARNING"} if matching.notices else {"INFO"}, said)
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_add_bone(bpy.types.Operator):
    bl_idname = "deep_feedback.add_bone"
    bl_label = "Add Line"
    bl_description = "Adds a line to the bone map"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.deep_feedback.armature
        settings.bones.add()
        settings.active_bone = len(settings.bones) - 1
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_remove_bone(bpy.types.Operator):
    bl_idname = "deep_feedback.remove_bone"
    bl_label = "Remove Line"
    bl_description = "Removes the active line of the bone map"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.bone_map_obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.deep_feedback.armature
        settings.bones.remove(settings.active_bone)
        settings.active_bone = max(0, min(settings.active_bone, len(settings.bones) - 1))
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_jump_to_worst_frame(bpy.types.Operator):
    bl_idname = "deep_feedback.jump_to_worst_frame"
    bl_label = "Jump to Worst Frame"
    bl_description = "Goes to the frame in which a bone is farthest from its target"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.result_obstacles(context, "armature"))

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.frame_set(results.find("armature", context.scene).report["worst_frame"])
        return {"FINISHED"}


CLASSES = (
    DEEP_FEEDBACK_OT_solve_armature,
    DEEP_FEEDBACK_OT_guess_bones,
    DEEP_FEEDBACK_OT_add_bone,
    DEEP_FEEDBACK_OT_remove_bone,
    DEEP_FEEDBACK_OT_jump_to_worst_frame,
)
