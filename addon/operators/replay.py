# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done with a result afterwards, whatever the problem."""

import bpy

from .. import messages, results


class DEEP_FEEDBACK_OT_clear_result(bpy.types.Operator):
    bl_idname = "deep_feedback.clear_result"
    bl_label = "Clear Result"
    bl_description = "Forgets the result and hides its outlines; the scene stays as it is"

    problem: bpy.props.StringProperty(name="Problem", description="pose, lighting or armature", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.running_obstacles())

    def execute(self, context: bpy.types.Context) -> set[str]:
        results.forget(self.problem)
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_jump_to_worst_frame(bpy.types.Operator):
    bl_idname = "deep_feedback.jump_to_worst_frame"
    bl_label = "Jump to Worst Frame"
    bl_description = "Goes to the frame that fits worst, and shows what was observed there and how far off the result is"
    bl_options = {"REGISTER", "UNDO"}

    problem: bpy.props.StringProperty(name="Problem", description="pose or armature", default="armature", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.range_obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        result = results.find(self.problem, context.scene)
        if result is None:
            self.report({"ERROR"}, f"{self.bl_label}: there is no such result in this scene.")
            return {"CANCELLED"}
        context.scene.frame_set(result.report["worst_frame"])
        results.show(result)
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_look_through_camera(bpy.types.Operator):
    bl_idname = "deep_feedback.look_through_camera"
    bl_label = "Look Through Camera"
    bl_description = "Shows in this viewport what the camera sees, where the outlines and the mask are drawn"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.view_obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        space, scene = context.space_data, context.scene
        camera = scene.deep_feedback.pose.camera or scene.camera
        if camera != scene.camera:
            space.use_local_camera, space.camera = True, camera
        space.region_3d.view_perspective = "CAMERA"
        return {"FINISHED"}


CLASSES = (
    DEEP_FEEDBACK_OT_look_through_camera,
    DEEP_FEEDBACK_OT_jump_to_worst_frame,
    DEEP_FEEDBACK_OT_clear_result,
)
