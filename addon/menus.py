# SPDX-License-Identifier: GPL-3.0-or-later
"""The buttons in Blender's menus Object and Pose, where the search (F3) finds them as well."""

from __future__ import annotations

import bpy


class DEEP_FEEDBACK_MT_object(bpy.types.Menu):
    bl_label = "Solver"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_REGION_WIN"
        layout.operator("deep_feedback.solve_pose")
        layout.operator("deep_feedback.mask_from_photo")
        layout.operator("deep_feedback.solve_lighting")
        layout.operator("deep_feedback.solve_armature")
        layout.separator()
        layout.operator("deep_feedback.bake_alternatives")
        layout.operator("deep_feedback.look_through_camera")
        layout.separator()
        layout.operator("deep_feedback.open_manual")
        layout.operator("deep_feedback.copy_versions")


class DEEP_FEEDBACK_MT_pose(bpy.types.Menu):
    bl_label = "Solver"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_REGION_WIN"
        layout.operator("deep_feedback.solve_armature")
        layout.operator("deep_feedback.guess_bones", text="Guess Bone Map")
        layout.operator("deep_feedback.jump_to_worst_frame").problem = "armature"
        layout.separator()
        layout.operator("deep_feedback.open_manual").problem = "armature"


def _draw_in_object(menu: bpy.types.Menu, _: bpy.types.Context) -> None:
    menu.layout.menu("DEEP_FEEDBACK_MT_object")


def _draw_in_pose(menu: bpy.types.Menu, _: bpy.types.Context) -> None:
    menu.layout.menu("DEEP_FEEDBACK_MT_pose")


CLASSES = (DEEP_FEEDBACK_MT_object, DEEP_FEEDBACK_MT_pose)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.VIEW3D_MT_object.append(_draw_in_object)
    bpy.types.VIEW3D_MT_pose.append(_draw_in_pose)


def unregister() -> None:
    bpy.types.VIEW3D_MT_pose.remove(_draw_in_pose)
    bpy.types.VIEW3D_MT_object.remove(_draw_in_object)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
