# SPDX-License-Identifier: GPL-3.0-or-later
"""Along a shot: to the next keyframe, marks on frames to look at, and clearing a range."""

import bpy

from solver_core.errors import SolverError

from .. import messages, results
from ..solves.shot import clear_range, doubtful_frames, mark_frames, movers, next_key


class DEEP_FEEDBACK_OT_range_to_keyframe(bpy.types.Operator):
    bl_idname = "deep_feedback.range_to_keyframe"
    bl_label = "To Next Keyframe"
    bl_description = "Sets the range of Solve Pose from the current frame up to the keyframe after it, or before, which stays"
    bl_options = {"REGISTER", "UNDO"}

    backwards: bpy.props.BoolProperty(
        name="Backwards", description="Goes to the keyframe before the current frame, and solves in that direction"
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.shot_obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, settings = context.scene, context.scene.deep_feedback.pose
        frame = scene.frame_current
        try:
            key = next_key(movers(scene, settings), frame, self.backwards)
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        settings.use_range, settings.backwards = True, self.backwards
        settings.frame_start, settings.frame_end = (key + 1, frame) if self.backwards else (frame, key - 1)
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_clear_range(bpy.types.Operator):
    bl_idname = "deep_feedback.clear_range"
    bl_label = "Clear Range"
    bl_description = "Removes the keyframes of location and rotation within the range of Solve Pose"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.shot_obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.deep_feedback.pose
        try:
            number = clear_range(movers(context.scene, settings), settings.frame_start, settings.frame_end)
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        self.report({"INFO"}, f"{number} frames lost their keyframes")
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_mark_doubtful_frames(bpy.types.Operator):
    bl_idname = "deep_feedback.mark_doubtful_frames"
    bl_label = "Mark Doubtful Frames"
    bl_description = "Sets a marker in the timeline at every frame whose pose is not sure, in place of earlier ones"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.result_obstacles(context, "pose"))

    def execute(self, context: bpy.types.Context) -> set[str]:
        number = mark_frames(context.scene, results.report_of("pose", context.scene))
        self.report({"INFO"}, f"{number} frames are marked" if number else "All frames are good: no frame is marked")
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_next_doubtful_frame(bpy.types.Operator):
    bl_idname = "deep_feedback.next_doubtful_frame"
    bl_label = "Next Doubtful Frame"
    bl_description = "Goes to the next frame whose pose is not sure, after the last one to the first"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.result_obstacles(context, "pose"))

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        frames = list(doubtful_frames(results.report_of("pose", scene)))
        if not frames:
            self.report({"INFO"}, "All frames are good")
            return {"CANCELLED"}
        scene.frame_set(next((frame for frame in frames if frame > scene.frame_current), frames[0]))
        results.show(results.find("pose", scene))
        return {"FINISHED"}


CLASSES = (
    DEEP_FEEDBACK_OT_range_to_keyframe,
    DEEP_FEEDBACK_OT_clear_range,
    DEEP_FEEDBACK_OT_mark_doubtful_frames,
    DEEP_FEEDBACK_OT_next_doubtful_frame,
)
