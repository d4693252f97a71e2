# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of Solve Armature's bone map: guessed, added, removed, kept as presets, shared as files."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from solver_core.errors import SolverError

from .. import bone_maps, messages
from ..options import RELATIVE_PATHS
from ..solves.armature_task import BoneTarget
from ..solves.bone_map import match_bones, rows_of
from .armature import make_task


def _fill(context: bpy.types.Context, rows: Sequence[BoneTarget]) -> None:
    settings = context.scene.deep_feedback.armature
    settings.bones.clear()
    for row in rows:
        line = settings.bones.add()
        line.target, line.bone, line.weight = row.target, row.bone, row.weight
    settings.active_bone = 0


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
        try:
            matching = match_bones(context.scene, make_task(context, settings))
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        _fill(context, rows_of(matching))
        said = "; ".join((f"{len(settings.bones)} targets have a bone", *matching.notices))
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


class _File:
    """A bone map as a file that the artist chooses."""

    bl_options = {"REGISTER", "UNDO"}

    filepath: bpy.props.StringProperty(
        name="File", description="Path of the JSON file with the bone map", subtype="FILE_PATH", options=RELATIVE_PATHS
    )
    filter_glob: bpy.props.StringProperty(
        name="Filter", description="What files the browser lists", default="*.json", options={"HIDDEN"}
    )

    @property
    def path(self) -> str:
        return bpy.path.abspath(self.filepath)

    def invoke(self, context: bpy.types.Context, _: bpy.types.Event) -> set[str]:
        if not self.filepath:
            self.filepath = "bone_map.json"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}


class DEEP_FEEDBACK_OT_load_bone_map(_File, bpy.types.Operator):
    bl_idname = "deep_feedback.load_bone_map"
    bl_label = "Load Bone Map"
    bl_description = "Replaces the bone map by that of a JSON file"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            _fill(context, bone_maps.read_bone_map(self.path))
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_save_bone_map(_File, bpy.types.Operator):
    bl_idname = "deep_feedback.save_bone_map"
    bl_label = "Save Bone Map"
    bl_description = "Writes the bone map to a JSON file, to be used in other scenes and by others"

    check_existing: bpy.props.BoolProperty(
        name="Check Existing", description="Asks before a file is overwritten", default=True, options={"HIDDEN"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.bone_map_obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = bpy.path.ensure_ext(self.path, ".json")
        try:
            bone_maps.write_bone_map(path, context.scene.deep_feedback.armature.bone_map)
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        self.report({"INFO"}, f"The bone map is in '{path}'")
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_save_bone_preset(bpy.types.Operator):
    bl_idname = "deep_feedback.save_bone_preset"
    bl_label = "Save Bone Map as Preset"
    bl_description = "Keeps the bone map under a name, for this and all other scenes"

    name: bpy.props.StringProperty(name="Name", description="The name of the preset; one that is there already is replaced")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.bone_map_obstacles(context))

    def invoke(self, context: bpy.types.Context, _: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            bone_maps.write_preset(self.name, context.scene.deep_feedback.armature.bone_map)
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_load_bone_preset(bpy.types.Operator):
    bl_idname = "deep_feedback.load_bone_preset"
    bl_label = "Load Preset"
    bl_description = "Replaces the bone map by that of a preset"
    bl_options = {"REGISTER", "UNDO"}

    name: bpy.props.StringProperty(name="Name", description="The name of the preset", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            _fill(context, bone_maps.read_bone_map(bone_maps.preset_path(self.name)))
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_remove_bone_preset(bpy.types.Operator):
    bl_idname = "deep_feedback.remove_bone_preset"
    bl_label = "Remove Preset"
    bl_description = "Deletes a preset of bone maps for good"

    name: bpy.props.StringProperty(name="Name", description="The name of the preset", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _: bpy.types.Context) -> set[str]:
        try:
            bone_maps.remove_preset(self.name)
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (
    DEEP_FEEDBACK_OT_guess_bones,
    DEEP_FEEDBACK_OT_add_bone,
    DEEP_FEEDBACK_OT_remove_bone,
    DEEP_FEEDBACK_OT_load_bone_map,
    DEEP_FEEDBACK_OT_save_bone_map,
    DEEP_FEEDBACK_OT_save_bone_preset,
    DEEP_FEEDBACK_OT_load_bone_preset,
    DEEP_FEEDBACK_OT_remove_bone_preset,
)
