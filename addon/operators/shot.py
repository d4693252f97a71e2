# SPDX-License-Identifier: GPL-3.0-or-later
"""Along a shot: ranges up to keyframes and between them, frames to look at, and clearing a range."""

from collections.abc import Iterator

import bpy

from .. import messages, results
from ..solves.shot import between_keys, clear_doubtful, clear_range, doubtful_frames, mark_frames, movers, next_key
from .action import Action


class ShotAction(Action):
    """About what Solve Pose moves along a range."""

    @classmethod
    def obstacles(cls, context: bpy.types.Context) -> Iterator[str]:
        return messages.shot_obstacles(context)


class ResultAction(Action):
    """About the frames of a result of Solve Pose."""

    @classmethod
    def obstacles(cls, context: bpy.types.Context) -> Iterator[str]:
        return messages.result_obstacles(context, "pose")


class DEEP_FEEDBACK_OT_range_to_keyframe(ShotAction, bpy.types.Operator):
    bl_idname = "deep_feedback.range_to_keyframe"
    bl_label = "To Next Keyframe"
    bl_description = "Sets the range of Solve Pose from the current frame up to the keyframe after it, or before, which stays"

    backwards: bpy.props.BoolProperty(
        name="Backwards", description="Goes to the keyframe before the current frame, and solves in that direction"
    )

    def act(self, context: bpy.types.Context) -> str:
        scene, settings = context.scene, context.scene.deep_feedback.pose
        frame = scene.frame_current
        key = next_key(movers(scene, settings), frame, self.backwards)
        settings.frame_start, settings.frame_end = (key + 1, frame) if self.backwards else (frame, key - 1)
        settings.use_range, settings.backwards, settings.as_animated = True, self.backwards, False
        return ""


class DEEP_FEEDBACK_OT_range_between_keyframes(ShotAction, bpy.types.Operator):
    bl_idname = "deep_feedback.range_between_keyframes"
    bl_label = "Between Keyframes"
    bl_description = (
        "Sets the range of Solve Pose to the frames between the keyframes before and after the current frame, which stay; each "
        "frame starts where the animation between them has it"
    )

    def act(self, context: bpy.types.Context) -> str:
        scene, settings = context.scene, context.scene.deep_feedback.pose
        settings.frame_start, settings.frame_end = between_keys(movers(scene, settings), scene.frame_current)
        settings.use_range, settings.backwards, settings.as_animated = True, False, True
        return ""


class DEEP_FEEDBACK_OT_clear_range(ShotAction, bpy.types.Operator):
    bl_idname = "deep_feedback.clear_range"
    bl_label = "Clear Range"
    bl_description = "Removes the keyframes of location and rotation within the range of Solve Pose"

    def act(self, context: bpy.types.Context) -> str:
        settings = context.scene.deep_feedback.pose
        number = clear_range(movers(context.scene, settings), settings.frame_start, settings.frame_end)
        return f"{number} frames lost their keyframes"


class DEEP_FEEDBACK_OT_mark_doubtful_frames(ResultAction, bpy.types.Operator):
    bl_idname = "deep_feedback.mark_doubtful_frames"
    bl_label = "Mark Doubtful Frames"
    bl_description = "Sets a marker in the timeline at every frame whose pose is not sure, in place of earlier ones"

    def act(self, context: bpy.types.Context) -> str:
        number = mark_frames(context.scene, results.report_of("pose", context.scene))
        return f"{number} frames are marked" if number else "All frames are good: no frame is marked"


class DEEP_FEEDBACK_OT_clear_doubtful_frames(ResultAction, bpy.types.Operator):
    bl_idname = "deep_feedback.clear_doubtful_frames"
    bl_label = "Clear Doubtful Frames"
    bl_description = (
        "Removes the keyframes of location and rotation at every frame whose pose is not sure, so that what was moved goes on "
        "between the frames that are"
    )

    def act(self, context: bpy.types.Context) -> str:
        number = clear_doubtful(context.scene, results.report_of("pose", context.scene))
        return f"{number} frames lost their keyframes"


class DEEP_FEEDBACK_OT_next_doubtful_frame(ResultAction, bpy.types.Operator):
    bl_idname = "deep_feedback.next_doubtful_frame"
    bl_label = "Next Doubtful Frame"
    bl_description = "Goes to the next frame whose pose is not sure, after the last one to the first"

    def act(self, context: bpy.types.Context) -> str:
        scene = context.scene
        frames = list(doubtful_frames(results.report_of("pose", scene)))
        if not frames:
            return "All frames are good"
        _look_at(scene, next((frame for frame in frames if frame > scene.frame_current), frames[0]))
        return ""


class DEEP_FEEDBACK_OT_look_at_frame(ResultAction, bpy.types.Operator):
    bl_idname = "deep_feedback.look_at_frame"
    bl_label = "Look at Frame"
    bl_description = "Goes to this frame, whose pose is not sure, and shows its outlines"

    frame: bpy.props.IntProperty(name="Frame", description="The frame of the scene", options={"HIDDEN"})

    def act(self, context: bpy.types.Context) -> str:
        _look_at(context.scene, self.frame)
        return ""


def _look_at(scene: bpy.types.Scene, frame: int) -> None:
    scene.frame_set(frame)
    results.show(results.find("pose", scene))


CLASSES = (
    DEEP_FEEDBACK_OT_range_to_keyframe,
    DEEP_FEEDBACK_OT_range_between_keyframes,
    DEEP_FEEDBACK_OT_clear_range,
    DEEP_FEEDBACK_OT_mark_doubtful_frames,
    DEEP_FEEDBACK_OT_clear_doubtful_frames,
    DEEP_FEEDBACK_OT_next_doubtful_frame,
    DEEP_FEEDBACK_OT_look_at_frame,
)
