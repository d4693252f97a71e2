# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve Lighting as a button."""

import bpy

from .. import messages, panels
from ..properties import LightingOptions
from ..solves.lighting import LightingSolve, LightingTask
from .live import LiveOperator


class DEEP_FEEDBACK_OT_solve_lighting(LiveOperator, LightingOptions, bpy.types.Operator):
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
        return LightingTask(
            image=settings.image.chosen,
            camera=(settings.camera or context.scene.camera).name,
            objects=tuple(thing.name for thing in chosen),
            kind=(settings.lamp.data.type if settings.lamp else settings.kind).lower(),
            light=settings.lamp.name if settings.lamp else "",
            use_base_color=self.use_base_color,
            mask=settings.mask.chosen if settings.use_mask else None,
            steps=self.steps,
            refine=self.refine,
            restarts=self.restarts,
        )

    def summary(self, report: dict) -> str:
        return f"Image error {100 * report['image_error']:.1f} % after {report['seconds']:.1f} s"

    def draw(self, context: bpy.types.Context) -> None:
        panels.draw_lighting_options(self.layout, self)


CLASSES = (DEEP_FEEDBACK_OT_solve_lighting,)
