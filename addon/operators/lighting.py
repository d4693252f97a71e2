# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve Lighting as a button."""

from dataclasses import replace

import bpy

from solver_core.problems.lighting.lights import kinds_of

from .. import messages, options, panels, preferences
from ..properties import LightingProperties
from ..solves.lighting import LightingSolve, LightingTask, LightingTaskOptions
from .live import LiveOperator


class DEEP_FEEDBACK_OT_solve_lighting(LiveOperator, LightingProperties, bpy.types.Operator):
    bl_idname = "deep_feedback.solve_lighting"
    bl_label = "Solve Lighting"
    bl_description = "Turns or moves a light, and sets its strength and color, until the scene is lit as in the picture"
    problem = "lighting"
    solve_class = LightingSolve

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.lighting_obstacles(context))

    def make_task(self, context: bpy.types.Context) -> LightingTask:
        settings = context.scene.deep_feedback.lighting
        is_selected = settings.geometry == "SELECTED"
        chosen = filter(messages.has_surface, context.view_layer.objects.selected) if is_selected else ()
        chosen_options = options.read(LightingTaskOptions, self)
        if settings.lamp is not None:
            chosen_options = replace(chosen_options, kind=settings.lamp.data.type.lower())
        return LightingTask(
            image=settings.image.chosen,
            camera=(settings.camera or context.scene.camera).name,
            objects=tuple(thing.name for thing in chosen),
            light=settings.lamp.name if settings.lamp else "",
            mask=settings.mask.chosen if settings.use_mask else None,
            ignored=settings.ignored,
            options=preferences.with_weights(context, chosen_options, kinds_of(chosen_options.kind)[0].weights),
        )

    def go_on_from(self, solve: LightingSolve, earlier: LightingSolve) -> None:
        solve.go_on_from(earlier)

    def summary(self, report: dict) -> str:
        return f"Image error {100 * report['image_error']:.1f} % after {report['seconds']:.1f} s"

    def draw(self, context: bpy.types.Context) -> None:
        panels.draw_lighting_options(self.layout, self)


CLASSES = (DEEP_FEEDBACK_OT_solve_lighting,)
