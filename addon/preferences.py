# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the extension: threads, colours of the overlay, and which kernel is in use."""

import os

import bpy

from solver_core import render

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


def find(context: bpy.types.Context) -> DEEP_FEEDBACK_AP_preferences:
    return context.preferences.addons[__package__].preferences


def register() -> None:
    bpy.utils.register_class(DEEP_FEEDBACK_AP_preferences)
    if __package__ in bpy.context.preferences.addons:
        _apply_threads(find(bpy.context))


def unregister() -> None:
    bpy.utils.unregister_class(DEEP_FEEDBACK_AP_preferences)
