# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the extension: threads, networks of the user's own, colours of the overlay, and which kernel is in use."""

import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import bpy

from solver_core import render
from solver_core.errors import WeightsError
from solver_core.network.weights import load_weights
from solver_core.options import Options
from solver_core.problems import find_problem

from .options import RELATIVE_PATHS
from .result_panel import draw_sentence

OptionsT = TypeVar("OptionsT", bound=Options)

PROBLEM_OF = {  # by what networks are for, as their files say it
    "pose": "pose",
    "lighting_sun": "lighting",
    "lighting_point": "lighting",
    "inverse_kinematics": "inverse_kinematics",
}
ALL_THREADS = os.cpu_count() or 1


def _apply_threads(preferences: "DEEP_FEEDBACK_AP_preferences", _: bpy.types.Context | None = None) -> None:
    render.set_num_threads(ALL_THREADS if preferences.use_all_threads else preferences.threads)


def _color(name: str, default: tuple[float, float, float, float], what: str) -> object:
    return bpy.props.FloatVectorProperty(
        name=name,
        subtype="COLOR",
        size=4,
        min=0.0,
        max=1.0,
        default=default,
        description=f"Color in which the viewport shows {what}",
    )


def _weights(name: str) -> object:
    return bpy.props.StringProperty(
        name=name,
        subtype="FILE_PATH",
        options=RELATIVE_PATHS,
        description="Networks that solves take unless their settings name others; empty: those that ship",
    )


class DEEP_FEEDBACK_AP_preferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    use_all_threads: bpy.props.BoolProperty(
        name="Automatic",
        description="Lets a solve use all processor cores",
        default=True,
        update=_apply_threads,
    )
    threads: bpy.props.IntProperty(
        name="Threads",
        description="Number of processor cores that a solve may use",
        default=ALL_THREADS,
        min=1,
        max=256,
        update=_apply_threads,
    )
    weights_pose: _weights("Pose")
    weights_lighting_sun: _weights("Sun")
    weights_lighting_point: _weights("Point Light")
    weights_inverse_kinematics: _weights("Armature")
    color_observed: _color("Observed", (0.1, 0.9, 0.3, 1.0), "the outline in the image and the targets")
    color_current: _color("Current", (1.0, 0.15, 0.6, 1.0), "the estimate of this step, and fading those of earlier steps")
    color_mask: _color("Mask", (0.1, 0.9, 0.3, 0.35), "the preview of the mask")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        row = layout.row(heading="Threads")
        row.prop(self, "use_all_threads")
        field = row.row()
        field.active = not self.use_all_threads
        field.prop(self, "threads", text="")
        layout.label(text="Networks of your own")
        column = layout.column()
        for task, problem in PROBLEM_OF.items():
            column.prop(self, f"weights_{task}")
            if refusal := _refusal(getattr(self, f"weights_{task}"), task, problem):
                draw_sentence(column, context, refusal, icon="ERROR")
        layout.label(text="Colors of outlines, targets and the mask")
        column = layout.column()
        column.prop(self, "color_observed")
        column.prop(self, "color_current")
        column.prop(self, "color_mask")
        layout.label(text=f"Kernel: {kernel()}", icon="INFO")
        row = layout.row()
        row.operator("deep_feedback.open_manual", icon="HELP")
        row.operator("deep_feedback.copy_versions", icon="URL")


def kernel() -> str:
    """What the solves compute with, in words."""
    if render.kernel_name() == "numpy":
        return "NumPy; slower, same results. The compiled one is missing or does not fit this computer."
    return f"compiled ({render.kernel_name()})"


def with_weights(context: bpy.types.Context, options: OptionsT, task: str) -> OptionsT:
    """Options of a solve with the networks that the preferences name for a task, where they name none themselves."""
    path = bpy.path.abspath(getattr(find(context), f"weights_{task}"))
    return replace(options, weights=Path(path)) if path and options.weights is None else options


def _refusal(path: str, task: str, problem: str) -> str:
    """Why a file is not for a task, if it is not."""
    if not path:
        return ""
    path = bpy.path.abspath(path)
    changed_ns = Path(path).stat().st_mtime_ns if Path(path).exists() else 0
    return _refusal_of(path, changed_ns, task, problem)


@functools.lru_cache(maxsize=16)
def _refusal_of(path: str, changed_ns: int, task: str, problem: str) -> str:
    try:
        load_weights(path, task, find_problem(problem).input_layout)
    except WeightsError as error:
        return f"{error}"
    return ""


def find(context: bpy.types.Context) -> DEEP_FEEDBACK_AP_preferences:
    return context.preferences.addons[__package__].preferences


def register() -> None:
    bpy.utils.register_class(DEEP_FEEDBACK_AP_preferences)
    if __package__ in bpy.context.preferences.addons:
        _apply_threads(find(bpy.context))


def unregister() -> None:
    bpy.utils.unregister_class(DEEP_FEEDBACK_AP_preferences)
