# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done with a result afterwards, whatever the problem."""

import bpy

from solver_core.errors import SetupError, SolverError

from .. import messages, results
from ..solves.afterwards import key_result
from ..solves.solve import BEFORE_UNKNOWN

PROBLEMS = ("pose", "lighting", "armature")


def _problem(default: str = "pose") -> object:
    return bpy.props.EnumProperty(
        name="Problem",
        description="Whose result is meant",
        items=[(name, name.capitalize(), f"The result of Solve {name.capitalize()}") for name in PROBLEMS],
        default=default,
    )


def _no_result(operator: bpy.types.Operator) -> set[str]:
    operator.report({"ERROR"}, f"{operator.bl_label}: Solve {operator.problem.capitalize()} has no result in this scene.")
    return {"CANCELLED"}


class DEEP_FEEDBACK_OT_clear_result(bpy.types.Operator):
    bl_idname = "deep_feedback.clear_result"
    bl_label = "Clear Result"
    bl_description = "Forgets the result and hides its outlines; the scene stays as it is"

    problem: _problem()

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.running_obstacles())

    def execute(self, context: bpy.types.Context) -> set[str]:
        results.clear(self.problem, context.scene)
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_reset_result(bpy.types.Operator):
    bl_idname = "deep_feedback.reset_result"
    bl_label = "Reset to Before"
    bl_description = "Puts what the solve changed back as it was, its keyframes too; all that was done since stays"
    bl_options = {"REGISTER", "UNDO"}

    problem: _problem()

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.running_obstacles())

    def execute(self, context: bpy.types.Context) -> set[str]:
        result = results.find(self.problem, context.scene)
        try:
            if result is None:
                raise SetupError(BEFORE_UNKNOWN)
            stay = result.solve.reset()
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        if stay:
            listed = ", ".join(f"'{name}'" for name in stay)
            self.report({"INFO"}, f"{self.bl_label}: {listed} stayed, because of what was changed there since the solve.")
        results.clear(self.problem, context.scene)
        context.view_layer.update()
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_key_result(bpy.types.Operator):
    bl_idname = "deep_feedback.key_result"
    bl_label = "Send to Keyframe"
    bl_description = "Inserts keyframes at the current frame for all that the solve changed, as it is now"
    bl_options = {"REGISTER", "UNDO"}

    problem: _problem()

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.running_obstacles())

    def execute(self, context: bpy.types.Context) -> set[str]:
        report = results.report_of(self.problem, context.scene)
        if report is None:
            return _no_result(self)
        try:
            key_result(context.scene, self.problem, report)
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_jump_to_worst_frame(bpy.types.Operator):
    bl_idname = "deep_feedback.jump_to_worst_frame"
    bl_label = "Jump to Worst Frame"
    bl_description = "Goes to the frame that fits worst, and shows what was observed there and how far off the result is"
    bl_options = {"REGISTER", "UNDO"}

    problem: _problem("armature")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.range_obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        report = results.report_of(self.problem, context.scene)
        if report is None:
            return _no_result(self)
        context.scene.frame_set(report["worst_frame"])
        results.show(results.find(self.problem, context.scene))
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_look_through_camera(bpy.types.Operator):
    bl_idname = "deep_feedback.look_through_camera"
    bl_label = "Look Through Camera"
    bl_description = "Shows in this viewport what the camera sees, where the outlines and the mask are drawn"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.view_obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        look_through(context.space_data, context.scene.deep_feedback.pose.camera or context.scene.camera, context.scene)
        return {"FINISHED"}


def look_through(space: bpy.types.SpaceView3D, camera: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """Shows in a viewport what a camera sees."""
    if camera != scene.camera:
        space.use_local_camera, space.camera = True, camera
    space.region_3d.view_perspective = "CAMERA"


CLASSES = (
    DEEP_FEEDBACK_OT_clear_result,
    DEEP_FEEDBACK_OT_reset_result,
    DEEP_FEEDBACK_OT_key_result,
    DEEP_FEEDBACK_OT_jump_to_worst_frame,
    DEEP_FEEDBACK_OT_look_through_camera,
)
