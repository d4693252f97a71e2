# SPDX-License-Identifier: GPL-3.0-or-later
"""The tab "Solver" of the 3D viewport's sidebar: a panel for each problem, inputs - settings - run - result."""

from __future__ import annotations

import bpy

from .bone_maps import preset_names
from .messages import lacks_mask
from .options import draw as draw_options
from .result_panel import draw_result, draw_run, draw_sentence
from .solves.armature_task import ArmatureOptions
from .solves.image_source import PASSES
from .solves.lighting import LightingTaskOptions
from .solves.pose import PoseTaskOptions

WEIGHT_UNITS = 1.6  # width of the weights in the bone map, in heights of a line


class SolverPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Solver"
    problem: str

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        self.layout.operator("deep_feedback.open_manual", text="", icon="HELP", emboss=False).problem = self.problem


class DEEP_FEEDBACK_PT_pose(SolverPanel, bpy.types.Panel):
    bl_label = "Solve Pose"
    problem = "pose"

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = context.scene.deep_feedback.pose, split(self.layout)
        column = layout.column()
        column.prop(settings, "object", placeholder=_name(context.view_layer.objects.active))
        column.prop(settings, "camera", placeholder=_name(context.scene.camera))
        _draw_image(column, settings.silhouette, "Silhouette")
        column.prop(settings, "from_photo")
        if lacks_mask(settings):
            draw_sentence(column, context, "The photograph has no alpha: solve it with From Photo, or make its mask.", "INFO")
        column.operator("deep_feedback.mask_from_photo", icon="SELECT_SET")
        column.operator("deep_feedback.use_image_resolution", icon="FULLSCREEN_ENTER")
        if body := None if settings.from_photo else _section(layout, "Mask"):
            draw_mask_options(body, settings)
            if settings.key == "COLOR":
                picker = body.operator("ui.eyedropper_color", text="Pick Background", icon="EYEDROPPER")
                picker.prop_data_path = "scene.deep_feedback.pose.color"
            body.prop(settings, "show_mask")
        if body := _section(layout, "Settings", "pose"):
            draw_pose_options(body, settings)
            _draw_shot(body)
        _draw_view_hint(layout, context)
        draw_run(layout, context, "pose")
        draw_result(layout, context, "pose")


class DEEP_FEEDBACK_PT_lighting(SolverPanel, bpy.types.Panel):
    bl_label = "Solve Lighting"
    problem = "lighting"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = context.scene.deep_feedback.lighting, split(self.layout)
        column = layout.column()
        _draw_image(column, settings.image, "Reference")
        column.prop(settings, "camera", placeholder=_name(context.scene.camera))
        column.row().prop(settings, "geometry", expand=True)
        column.prop(settings, "lamp", placeholder="New")
        if settings.lamp is None:
            column.row().prop(settings, "kind", expand=True)
        column.prop(settings, "use_mask")
        if settings.use_mask:
            _draw_image(column, settings.mask, "From")
        if body := _section(layout, "Other Lights", "lighting"):
            _draw_other_lights(body, context, settings)
        if body := _section(layout, "Settings", "lighting"):
            draw_lighting_options(body, settings, elsewhere=("use_other_lights", "use_world"))
        draw_run(layout, context, "lighting")
        draw_result(layout, context, "lighting")


class DEEP_FEEDBACK_PT_armature(SolverPanel, bpy.types.Panel):
    bl_label = "Solve Armature"
    problem = "armature"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = context.scene.deep_feedback.armature, split(self.layout)
        column = layout.column()
        column.prop(settings, "armature", placeholder=_name(context.view_layer.objects.active, "ARMATURE"))
        column.prop(settings, "source")
        column.prop(settings, {"COLLECTION": "collection", "ARMATURE": "target_armature", "FILE": "file"}[settings.source])
        if body := _section(layout, "Placement", "targets"):
            _draw_placement(body, settings)
        if body := _section(layout, "Bone Map"):
            _draw_bones(body, settings)
        if body := _section(layout, "Settings", "armature"):
            draw_armature_options(body, settings)
        draw_run(layout, context, "armature")
        draw_result(layout, context, "armature")


class DEEP_FEEDBACK_PT_live(bpy.types.Panel):
    """What is shown while a solve runs; opens beside the buttons that run one."""

    bl_label = "Live Display"
    bl_space_type = "VIEW_3D"
    bl_region_type = "HEADER"
    bl_options = {"INSTANCED"}
    bl_ui_units_x = 12

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = context.scene.deep_feedback.live, self.layout
        layout.label(text="Live Display")
        layout.prop(settings, "show_overlay")
        layout.prop(settings, "show_energy")
        layout.prop(settings, "seconds_per_step")


class DEEP_FEEDBACK_UL_bones(bpy.types.UIList):
    """Lines of the bone map, edited where they are."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index):
        row = layout.row(align=True)
        row.prop(item, "target_text", text="", emboss=False, placeholder="No target")
        row.prop(item, "bone_text", text="", emboss=False, placeholder="No bone")
        weight = row.row()
        weight.ui_units_x = WEIGHT_UNITS
        weight.prop(item, "weight", text="", emboss=False)

    def filter_items(self, context, data, property_name):
        """Looks for what the artist types in the names of both."""
        lines, sought = getattr(data, property_name), self.filter_name.lower()
        shown = [self.bitflag_filter_item * (sought in f"{line.target} {line.bone}".lower()) for line in lines]
        return shown if sought else [], []


class DEEP_FEEDBACK_UL_lights(bpy.types.UIList):
    """The lights of a scene but the solved one, each with a box: whether it counts as known."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index):
        row = layout.row(align=True)
        row.active = not item.hide_render
        row.label(text=item.name, translate=False, icon=f"LIGHT_{item.data.type}")
        row.prop(item.deep_feedback, "is_known_light", text="")

    def filter_items(self, context, data, property_name):
        solved, sought = context.scene.deep_feedback.lighting.lamp, self.filter_name.lower()
        is_shown = [
            thing.type == "LIGHT" and thing != solved and sought in thing.name.lower() for thing in getattr(data, property_name)
        ]
        return [self.bitflag_filter_item * one for one in is_shown], []


class DEEP_FEEDBACK_MT_bone_maps(bpy.types.Menu):
    bl_label = "Bone Maps"
    bl_description = "Presets and files of bone maps"

    def draw(self, context: bpy.types.Context) -> None:
        layout, names = self.layout, preset_names()
        for name in names:
            layout.operator("deep_feedback.load_bone_preset", text=name, translate=False).name = name
        if names:
            layout.separator()
        layout.operator("deep_feedback.save_bone_preset", icon="ADD")
        if names:
            layout.menu("DEEP_FEEDBACK_MT_remove_bone_preset", icon="REMOVE")
        layout.separator()
        layout.operator("deep_feedback.load_bone_map", text="Load File", icon="IMPORT")
        layout.operator("deep_feedback.save_bone_map", text="Save File", icon="EXPORT")


class DEEP_FEEDBACK_MT_remove_bone_preset(bpy.types.Menu):
    bl_label = "Remove Preset"

    def draw(self, context: bpy.types.Context) -> None:
        for name in preset_names():
            self.layout.operator("deep_feedback.remove_bone_preset", text=name, translate=False).name = name


def draw_mask_options(layout: bpy.types.UILayout, options: object) -> None:
    column = split(layout).column()
    column.prop(options, "key")
    if options.key == "COLOR":
        column.prop(options, "color")
        column.prop(options, "tolerance")
    elif options.key not in PASSES:
        column.prop(options, "threshold")
    column.prop(options, "invert")


def draw_pose_options(layout: bpy.types.UILayout, options: object) -> None:
    draw_options(split(layout).column(), options, PoseTaskOptions, elsewhere=("from_photo",))
    _draw_range(layout, options)
    row = split(layout).row()
    row.active = options.use_range
    row.prop(options, "backwards")
    row.prop(options, "as_animated")


def draw_lighting_options(layout: bpy.types.UILayout, options: object, elsewhere: tuple[str, ...] = ()) -> None:
    draw_options(split(layout).column(), options, LightingTaskOptions, ("kind", *elsewhere))  # a chosen light has its own


def draw_armature_options(layout: bpy.types.UILayout, options: object) -> None:
    draw_options(split(layout).column(), options, ArmatureOptions)
    _draw_range(layout, options)


def split(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    layout.use_property_split = True
    layout.use_property_decorate = False
    return layout


def _section(layout: bpy.types.UILayout, label: str, problem: str = "") -> bpy.types.UILayout | None:
    """A part of a panel that can be opened; None while it is closed."""
    header, body = layout.panel(f"deep_feedback_{label}_{problem}", default_closed=True)
    header.label(text=label)
    return body


def _draw_image(layout: bpy.types.UILayout, choice: bpy.types.PropertyGroup, label: str) -> None:
    layout.prop(choice, "source", text=label)
    if choice.source == "IMAGE":
        layout.template_ID(choice, "image", open="image.open")
    elif choice.source == "CLIP":
        layout.template_ID(choice, "clip", open="clip.open")
    elif choice.source == "MASK":
        layout.prop(choice, "mask", text=" ")
    elif choice.source == "FILE":
        layout.prop(choice, "file", text=" ")
    if choice.may_move:
        layout.prop(choice, "frame_offset")


def _draw_view_hint(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Where the viewport does not show what the camera sees: that outlines are drawn there, and a way to go there."""
    camera, space = context.scene.deep_feedback.pose.camera or context.scene.camera, context.space_data
    if camera is None or space is None or (space.region_3d.view_perspective == "CAMERA" and space.camera == camera):
        return
    column = layout.column()
    draw_sentence(column, context, "Outlines and mask show in the view through the camera.", "INFO")
    column.operator("deep_feedback.look_through_camera", icon="OUTLINER_OB_CAMERA")


def _draw_range(layout: bpy.types.UILayout, options: object) -> None:
    column = layout.column(align=True)
    column.prop(options, "use_range")
    ends = column.column(align=True)
    ends.active = options.use_range
    ends.prop(options, "frame_start")
    ends.prop(options, "frame_end")


def _draw_shot(layout: bpy.types.UILayout) -> None:
    """Buttons about the range of Solve Pose."""
    row = layout.row(align=True)
    row.operator("deep_feedback.range_to_keyframe", text="To Previous Keyframe", icon="PREV_KEYFRAME").backwards = True
    row.operator("deep_feedback.range_to_keyframe", icon="NEXT_KEYFRAME").backwards = False
    layout.operator("deep_feedback.range_between_keyframes", icon="ARROW_LEFTRIGHT")
    layout.operator("deep_feedback.clear_range", icon="KEY_DEHLT")


def _draw_other_lights(layout: bpy.types.UILayout, context: bpy.types.Context, settings: bpy.types.PropertyGroup) -> None:
    column = split(layout).column()
    column.prop(settings, "use_other_lights")
    body = column.column()
    body.active = settings.use_other_lights
    body.prop(settings, "use_world")
    body.template_list("DEEP_FEEDBACK_UL_lights", "", context.scene, "objects", settings, "active_light", rows=3)


def _draw_placement(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    """How the targets come into the scene."""
    column = split(layout).column()
    if settings.source == "FILE":
        column.prop(settings, "unit")
        column.prop(settings, "up")
        row = column.row(heading="First Frame")
        row.prop(settings, "use_first_frame", text="")
        field = row.row()
        field.active = settings.use_first_frame
        field.prop(settings, "first_frame", text="")
        column.prop(settings, "keep_speed")
    column.prop(settings, "target_scale")
    column.prop(settings, "target_offset")


def _draw_bones(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    row = layout.row()
    row.template_list("DEEP_FEEDBACK_UL_bones", "", settings, "bones", settings, "active_bone", rows=5)
    buttons = row.column(align=True)
    buttons.operator("deep_feedback.add_bone", text="", icon="ADD")
    buttons.operator("deep_feedback.remove_bone", text="", icon="REMOVE")
    buttons.separator()
    buttons.menu("DEEP_FEEDBACK_MT_bone_maps", text="", icon="DOWNARROW_HLT")
    if settings.active_bone < len(settings.bones):
        line, column = settings.bones[settings.active_bone], split(layout).column(align=True)
        column.prop(line, "target")
        column.prop(line, "bone")
    layout.operator("deep_feedback.guess_bones", icon="VIEWZOOM")


def _name(thing: bpy.types.Object | None, kind: str = "") -> str:
    """What a field shows while it is empty: the thing that is used instead."""
    return thing.name if thing is not None and kind in {"", thing.type} else ""


CLASSES = (
    DEEP_FEEDBACK_MT_bone_maps,
    DEEP_FEEDBACK_MT_remove_bone_preset,
    DEEP_FEEDBACK_UL_bones,
    DEEP_FEEDBACK_UL_lights,
    DEEP_FEEDBACK_PT_live,
    DEEP_FEEDBACK_PT_pose,
    DEEP_FEEDBACK_PT_lighting,
    DEEP_FEEDBACK_PT_armature,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
