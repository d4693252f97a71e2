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


CLASSES = (DEEP_FEEDBACK_OT_clear_result,)
