# SPDX-License-Identifier: GPL-3.0-or-later
"""The tab "Solver" of the 3D viewport's sidebar: a panel for each problem, inputs - settings - run - result."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import bpy

from solver_core.solution import Verdict

from . import results
from .options import draw as draw_options
from .results import Result
from .solves.armature_task import ArmatureOptions
from .solves.lighting import LightingTaskOptions
from .solves.pose import PoseTaskOptions

# Squares of green, yellow and red, from Blender's bone color sets.
MARKS = {Verdict.GOOD: "COLORSET_03_VEC", Verdict.DOUBTFUL: "COLORSET_09_VEC", Verdict.BAD: "COLORSET_01_VEC"}
PIXELS_PER_LETTER = 7  # of Blender's interface font, before its scale


class SolverPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Solver"


class DEEP_FEEDBACK_PT_pose(SolverPanel, bpy.types.Panel):
    bl_label = "Solve Pose"

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = context.scene.deep_feedback.pose, split(self.layout)
        column = layout.column()
        column.prop(settings, "object", placeholder=_name(context.view_layer.objects.active))
        column.prop(settings, "camera", placeholder=_name(context.scene.camera))
        _draw_image(column, settings.silhouette, "Silhouette")
        if body := _section(layout, "Mask"):
            draw_mask_options(body, settings)
            body.prop(settings, "show_mask")
        if body := _section(layout, "Settings", "pose"):
            draw_pose_options(body, settings)
        _draw_run(layout, context, "pose")
        _draw_result(layout, context, "pose", _draw_pose_result)


class DEEP_FEEDBACK_PT_lighting(SolverPanel, bpy.types.Panel):
    bl_label = "Solve Lighting"
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
        if body := _section(layout, "Settings", "lighting"):
            draw_lighting_options(body, settings)
        _draw_run(layout, context, "lighting")
        _draw_result(layout, context, "lighting", _draw_lighting_result)


class DEEP_FEEDBACK_PT_armature(SolverPanel, bpy.types.Panel):
    bl_label = "Solve Armature"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = context.scene.deep_feedback.armature, split(self.layout)
        column = layout.column()
        column.prop(settings, "armature", placeholder=_name(context.view_layer.objects.active, "ARMATURE"))
        column.prop(settings, "source")
        column.prop(settings, {"COLLECTION": "collection", "ARMATURE": "target_armature", "FILE": "file"}[settings.source])
        if settings.source == "FILE":
            column.row().prop(settings, "up", expand=True)
        if body := _section(layout, "Bone Map"):
            _draw_bones(body, settings)
        if body := _section(layout, "Settings", "armature"):
            draw_armature_options(body, settings)
        _draw_run(layout, context, "armature")
        _draw_result(layout, context, "armature", _draw_armature_result)


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
    """Lines of the bone map."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index):
        row = layout.row(align=True)
        row.label(text=item.target or "No target", icon="EMPTY_AXIS")
        row.label(text=item.bone or "No bone", icon="BONE_DATA")


def draw_mask_options(layout: bpy.types.UILayout, options: object) -> None:
    column = split(layout).column()
    column.prop(options, "key")
    if options.key == "COLOR":
        column.prop(options, "color")
        column.prop(options, "tolerance")
    else:
        column.prop(options, "threshold")
    column.prop(options, "invert")


def draw_pose_options(layout: bpy.types.UILayout, options: object) -> None:
    draw_options(split(layout).column(), options, PoseTaskOptions)
    _draw_range(layout, options)


def draw_lighting_options(layout: bpy.types.UILayout, options: object) -> None:
    draw_options(split(layout).column(), options, LightingTaskOptions, elsewhere=("kind",))  # a chosen light has its own


def draw_armature_options(layout: bpy.types.UILayout, options: object) -> None:
    draw_options(split(layout).column(), options, ArmatureOptions)
    _draw_range(layout, options)


def pose_fit(report: dict) -> str:
    """The overlap with the silhouette, or the worst of a range, in words."""
    iou = report["iou"]
    return f"Least overlap (IoU) of {len(iou)} frames {min(iou):.3f}" if isinstance(iou, list) else f"Overlap (IoU) {iou:.3f}"


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
    elif choice.source == "FILE":
        layout.prop(choice, "file", text=" ")


def _draw_range(layout: bpy.types.UILayout, options: object) -> None:
    column = layout.column(align=True)
    column.prop(options, "use_range")
    ends = column.column(align=True)
    ends.active = options.use_range
    ends.prop(options, "frame_start")
    ends.prop(options, "frame_end")


def _draw_run(layout: bpy.types.UILayout, context: bpy.types.Context, problem: str) -> None:
    result = results.find(problem, context.scene)
    if result is not None and result.report is None:
        step = result.step
        factor = 0.0 if step is None else min(step.index / max(step.count - 1, 1), 1.0)
        layout.progress(factor=factor, text=describe_step(result))
        return
    row = layout.row(align=True)
    row.scale_y = 1.25
    row.operator(f"deep_feedback.solve_{problem}", icon="PLAY")
    row.popover("DEEP_FEEDBACK_PT_live", text="", icon="OVERLAY")


def describe_step(result: Result) -> str:
    """In words: "Step 3/5 - IoU 0.94", for the panels and the viewport."""
    step = result.step
    if step is None:
        return "Starting"
    frame = f"Frame {step.part} - " if len(result.solve.parts) > 1 else ""
    count = step.count if result.report is None else len(result.steps)
    return f"{frame}Step {step.index + 1}/{max(count, step.index + 1)} - {step.quality}"


def _draw_result(layout: bpy.types.UILayout, context: bpy.types.Context, problem: str, draw: Callable[..., None]) -> None:
    """What a finished solve found, with the slider that replays it; draw(layout, context, report) adds the problem's own."""
    result = results.find(problem, context.scene)
    if result is None or result.report is None:
        return
    header, body = layout.panel(f"deep_feedback_result_{problem}")
    header.label(text="Result")
    header.operator("deep_feedback.clear_result", text="", icon="X", emboss=False).problem = problem
    if body is None:
        return
    column = body.column(align=True)
    column.prop(getattr(context.scene.deep_feedback, problem), "step")
    column.progress(factor=(result.current + 1) / max(len(result.steps), 1), text=describe_step(result))
    if result.notice:
        _draw_sentence(body, context, result.notice, "ERROR")
    _draw_verdict(body, context, result.report)
    column = body.column(align=True)
    draw(column, context, result.report)
    _draw_value(column, "Steps", f"{result.report['steps']}, {result.report['ms_per_step']:.1f} ms each")


def _draw_verdict(layout: bpy.types.UILayout, context: bpy.types.Context, report: dict) -> None:
    """How far the result can be trusted: a coloured mark, a word and the sentence that explains it."""
    verdict = Verdict(report["verdict"])
    head = layout.row()
    head.alert = verdict is Verdict.BAD
    head.label(text=verdict.value.capitalize(), icon=MARKS[verdict])
    _draw_sentence(layout, context, report["explanation"])


def _draw_pose_result(layout: bpy.types.UILayout, context: bpy.types.Context, report: dict) -> None:
    before, after = report["iou_before"], report["iou"]
    if isinstance(after, list):
        _draw_value(layout, "Least IoU", f"{min(before):.3f} → {min(after):.3f}")
        return
    _draw_value(layout, "IoU", f"{before:.3f} → {after:.3f}")
    if len(report["alternatives"]) > 1:
        column = layout.column(align=True)
        column.label(text="Poses that fit as well:")
        for index, alternative in enumerate(report["alternatives"]):
            text = f"{'Result' if index == 0 else f'Alternative {index}'}: IoU {alternative['iou']:.3f}"
            column.operator("deep_feedback.apply_alternative", text=text, icon="OBJECT_ORIGIN").index = index
    for sentence in report["notices"]:
        _draw_sentence(layout, context, sentence, "INFO")


def _draw_lighting_result(layout: bpy.types.UILayout, context: bpy.types.Context, report: dict) -> None:
    _draw_value(layout, "Light", report["lamp"])
    _draw_value(layout, "Angle Moved", f"{report['angle_moved_deg']:.1f}°")
    _draw_value(layout, "Uncertainty", f"{report['uncertainty_deg']:.1f}°")
    _draw_value(layout, "Strength", f"{report['energy']:.3g}")
    _draw_value(layout, "Color", ", ".join(f"{channel:.2f}" for channel in report["color"]))
    _draw_value(layout, "Image Error", f"{100 * report['image_error']:.1f} %")
    for sentence in report["sentences"]:
        _draw_sentence(layout, context, sentence, "INFO")


def _draw_armature_result(layout: bpy.types.UILayout, context: bpy.types.Context, report: dict) -> None:
    _draw_value(layout, "Mean Distance", f"{report['mean_cm']:.2f} cm")
    _draw_value(layout, "Worst Distance", f"{report['worst_cm']:.2f} cm")
    _draw_value(layout, "Worst Bone", f"{report['worst_bone']}, frame {report['worst_frame']}")
    layout.operator("deep_feedback.jump_to_worst_frame", icon="NEXT_KEYFRAME")
    for sentence in report["notices"]:
        _draw_sentence(layout, context, sentence, "INFO")


def _draw_bones(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    row = layout.row()
    row.template_list("DEEP_FEEDBACK_UL_bones", "", settings, "bones", settings, "active_bone", rows=4)
    buttons = row.column(align=True)
    buttons.operator("deep_feedback.add_bone", text="", icon="ADD")
    buttons.operator("deep_feedback.remove_bone", text="", icon="REMOVE")
    if settings.active_bone < len(settings.bones):
        column = layout.column()
        column.prop(settings.bones[settings.active_bone], "target")
        column.prop(settings.bones[settings.active_bone], "bone")
        column.prop(settings.bones[settings.active_bone], "weight")
    layout.operator("deep_feedback.guess_bones", icon="VIEWZOOM")


def _draw_value(layout: bpy.types.UILayout, label: str, text: str) -> None:
    """A number as Blender shows its properties, but not to be edited."""
    halves = layout.split(factor=0.4)
    name = halves.row()
    name.alignment = "RIGHT"
    name.label(text=label)
    halves.label(text=text)


def _draw_sentence(layout: bpy.types.UILayout, context: bpy.types.Context, sentence: str, icon: str = "NONE") -> None:
    """A sentence in as many lines as the panel's width needs."""
    width = context.region.width / context.preferences.system.ui_scale if context.region else 0
    letters = max(int(width / PIXELS_PER_LETTER) - 6, 20)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(sentence, letters)):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")


def _name(thing: bpy.types.Object | None, kind: str = "") -> str:
    """What a field shows while it is empty: the thing that is used instead."""
    return thing.name if thing is not None and kind in {"", thing.type} else ""


CLASSES = (
    DEEP_FEEDBACK_UL_bones,
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
