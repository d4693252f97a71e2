# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels and the viewport say of a solve: how far it is, how well it went, and what can be done with the result."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import bpy

from solver_core.solution import Verdict

from . import results
from .results import Result
from .solves.shot import doubtful_frames
from .translations import in_language

# Squares of green, yellow and red, from Blender's bone color sets.
MARKS = {Verdict.GOOD: "COLORSET_03_VEC", Verdict.DOUBTFUL: "COLORSET_09_VEC", Verdict.BAD: "COLORSET_01_VEC"}
PHASES = {
    "align": "Align",
    "network": "Networks",
    "first": "Networks",
    "restart": "Other starts",
    "closed form": "Point bones",
    "settle": "Noise of the mask",
    "focal": "Focal length",
    "polish": "Polish",
    "fine": "Fine grid",
    "doubt": "Second lamp",
    "weigh": "Weigh targets",
    "bridge": "Fill gaps",
    "smooth": "Smooth",
}  # in an artist's words; other names say it themselves
FRAMES_IN_A_ROW, MOST_FRAMES = 4, 24  # buttons of frames that are not sure
NARROWEST, WIDEST = 8, 40  # letters in a line of a sentence
PIXELS_PER_LETTER = 7  # of Blender's interface font, before its scale


def verdict_of(report: dict) -> Verdict:
    return Verdict(report["verdict"])


def pose_fit(report: dict) -> str:
    """The overlap with the silhouette, or the worst of a range, in words."""
    iou = report["iou"]
    return f"Least overlap (IoU) of {len(iou)} frames {min(iou):.3f}" if isinstance(iou, list) else f"Overlap (IoU) {iou:.3f}"


def describe_step(result: Result) -> str:
    """In words: "Refine - Step 5 - IoU 0.94"."""
    return " - ".join(step_words(result))


def step_words(result: Result) -> list[str]:
    """Where a solve, or its replay, is: the phase, the step and how well it fits; of ranges the frame before them."""
    step = result.step
    if result.is_finishing:
        return ["Keyframes, and measuring in the scene"]
    if result.rendered:
        return [f"Cycles renders {result.rendered}"]
    if step is None:
        return ["Starting"]
    words = [PHASES.get(step.phase, step.phase.capitalize()), step.quality]
    if result.report is None:
        words.insert(1, f"Step {step.index + 1}")
    else:
        words.insert(0, f"Step {result.current + 1} of {len(result.steps)}")
    parts = result.solve.parts
    if len(parts) > 1:
        words.insert(0, f"Frame {step.part}" + (f", {result.num_done + 1} of {len(parts)}" if result.report is None else ""))
    return words


def draw_run(layout: bpy.types.UILayout, context: bpy.types.Context, problem: str) -> None:
    """The button, or while a solve runs how far it is."""
    result = results.find(problem, context.scene)
    if result is not None and result.report is None:
        layout.progress(factor=result.progress, text=describe_step(result))
        return
    row = layout.row(align=True)
    row.scale_y = 1.25
    row.operator(f"deep_feedback.solve_{problem}", icon="PLAY")
    row.popover("DEEP_FEEDBACK_PT_live", text="", icon="OVERLAY")


def draw_result(layout: bpy.types.UILayout, context: bpy.types.Context, problem: str) -> None:
    """What a finished solve found, with the slider that replays it."""
    result, report = results.find(problem, context.scene), results.report_of(problem, context.scene)
    if report is None or (result is not None and result.report is None):
        return
    header, body = layout.panel(f"deep_feedback_result_{problem}")
    header.label(text="Result")
    header.operator("deep_feedback.clear_result", text="", icon="X", emboss=False).problem = problem
    if body is None:
        return
    if result is not None:
        column = body.column(align=True)
        column.prop(getattr(context.scene.deep_feedback, problem), "step")
        column.progress(factor=(result.current + 1) / max(len(result.steps), 1), text=describe_step(result))
        if result.notice:
            draw_sentence(body, context, result.notice, "ERROR")
    if result is not None and problem == "lighting":
        row = body.row()
        row.use_property_split = False  # so that there is room for the words
        row.prop(context.scene.deep_feedback.lighting, "comparison", expand=True)
    _draw_verdict(body, context, report)
    DRAWERS[problem](body.column(align=True), report)
    _draw_value(body, "Steps", f"{report['steps']}, {report['ms_per_step']:.1f} ms each")
    for sentence in report[SENTENCES.get(problem, "notices")]:
        draw_sentence(body, context, sentence, "INFO")
    column = body.column(align=True)
    column.operator("deep_feedback.key_result", icon="KEY_HLT").problem = problem
    if result is not None:  # what was before is known in the session of the solve only
        column.operator("deep_feedback.reset_result", icon="LOOP_BACK").problem = problem


def _draw_verdict(layout: bpy.types.UILayout, context: bpy.types.Context, report: dict) -> None:
    """How far the result can be trusted: a coloured mark, a word and the sentence that explains it."""
    verdict = verdict_of(report)
    head = layout.row()
    head.alert = verdict is Verdict.BAD
    head.label(text=verdict.value.capitalize(), icon=MARKS[verdict])
    draw_sentence(layout, context, report["explanation"])


def _draw_pose(layout: bpy.types.UILayout, report: dict) -> None:
    before, after = report["iou_before"], report["iou"]
    if isinstance(after, list):
        _draw_value(layout, "Least IoU", f"{min(before):.3f} → {min(after):.3f}")
        _draw_value(layout, "Worst Frame", str(report["worst_frame"]))
        _draw_jump(layout, "pose")
        layout.operator("deep_feedback.next_doubtful_frame", icon="FRAME_NEXT")
        doubtful = doubtful_frames(report)
        grid = layout.grid_flow(row_major=True, columns=FRAMES_IN_A_ROW, even_columns=True, align=True)
        for frame, verdict in list(doubtful.items())[:MOST_FRAMES]:
            grid.operator("deep_feedback.look_at_frame", text=str(frame), icon=MARKS[verdict], translate=False).frame = frame
        if len(doubtful) > MOST_FRAMES:
            layout.label(text=f"{len(doubtful) - MOST_FRAMES} more are not sure.", translate=False)
        layout.operator("deep_feedback.mark_doubtful_frames", icon="MARKER_HLT")
        layout.operator("deep_feedback.clear_doubtful_frames", icon="KEY_DEHLT")
        return
    _draw_value(layout, "IoU", f"{before:.3f} → {after:.3f}")
    if len(report["alternatives"]) > 1:
        column = layout.column(align=True)
        column.label(text="Poses that fit as well:")
        for index, alternative in enumerate(report["alternatives"]):
            name = f"Alternative {index}" if index else "Result"
            text = f"{name}: {alternative['probability']:.0%}, IoU {alternative['iou']:.3f}"
            column.operator("deep_feedback.apply_alternative", text=text, icon="OBJECT_ORIGIN").index = index
        layout.operator("deep_feedback.bake_alternatives", icon="OUTLINER_COLLECTION")


def _draw_lighting(layout: bpy.types.UILayout, report: dict) -> None:
    _draw_value(layout, "Light", report["lamp"])
    _draw_value(layout, "Angle Moved", f"{report['angle_moved_deg']:.1f}°")
    _draw_value(layout, "Uncertainty", f"{report['uncertainty_deg']:.1f}°")
    _draw_value(layout, "Strength", f"{report['energy']:.3g}")
    _draw_value(layout, "Color", ", ".join(f"{channel:.2f}" for channel in report["color"]))
    _draw_value(layout, "Image Error", f"{100 * report['image_error']:.1f} %")


def _draw_armature(layout: bpy.types.UILayout, report: dict) -> None:
    _draw_value(layout, "Mean Distance", f"{report['mean_cm']:.2f} cm")
    _draw_value(layout, "Worst Distance", f"{report['worst_cm']:.2f} cm")
    _draw_value(layout, "Worst Bone", f"{report['worst_bone']}, frame {report['worst_frame']}")
    _draw_jump(layout, "armature")


def _draw_jump(layout: bpy.types.UILayout, problem: str) -> None:
    layout.operator("deep_feedback.jump_to_worst_frame", icon="NEXT_KEYFRAME").problem = problem


DRAWERS: dict[str, Callable[[bpy.types.UILayout, dict], None]] = {
    "pose": _draw_pose,
    "lighting": _draw_lighting,
    "armature": _draw_armature,
}
SENTENCES = {"lighting": "sentences"}  # the keys of reports that hold them, where they are not "notices"


def _draw_value(layout: bpy.types.UILayout, label: str, text: str) -> None:
    """A number as Blender shows its properties, but not to be edited."""
    halves = layout.split(factor=0.4)
    name = halves.row()
    name.alignment = "RIGHT"
    name.label(text=label)
    halves.label(text=text)


def draw_sentence(layout: bpy.types.UILayout, context: bpy.types.Context, sentence: str, icon: str = "NONE") -> None:
    """A sentence in as many lines as the panel's width needs."""
    width = context.region.width / context.preferences.system.ui_scale if context.region else 0
    letters = int(width / PIXELS_PER_LETTER) - 6 if width else WIDEST
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(in_language(sentence), max(letters, NARROWEST))):
        column.label(text=line, translate=False, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")
