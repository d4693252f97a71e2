# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve Pose as a button, and its other answers."""

from collections.abc import Iterator

import bpy

from .. import messages, options, panels, preferences, results
from ..bridge.camera import set_render_size
from ..properties import PoseProperties
from ..result_panel import pose_fit
from ..solves.afterwards import bake_alternatives, place_alternative
from ..solves.pose import PoseSolve, PoseTask, PoseTaskOptions
from .action import Action
from .live import LiveOperator


class DEEP_FEEDBACK_OT_solve_pose(LiveOperator, PoseProperties, bpy.types.Operator):
    bl_idname = "deep_feedback.solve_pose"
    bl_label = "Solve Pose"
    bl_description = "Moves the object, or the camera, until the object's outline fills the silhouette in the image"
    problem = "pose"
    solve_class = PoseSolve

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.pose_obstacles(context))

    def make_task(self, context: bpy.types.Context) -> PoseTask:
        settings = context.scene.deep_feedback.pose
        return PoseTask(
            object=(settings.object or context.view_layer.objects.active).name,
            camera=(settings.camera or context.scene.camera).name,
            silhouette=settings.silhouette.chosen,
            mask=self.mask,
            options=preferences.with_weights(context, options.read(PoseTaskOptions, self), "pose"),
            **self.frames,
            backwards=self.backwards,
            as_animated=self.as_animated,
        )

    def summary(self, report: dict) -> str:
        return f"{pose_fit(report)} after {report['seconds']:.1f} s"

    def draw(self, context: bpy.types.Context) -> None:
        panels.draw_mask_options(self.layout, self)
        panels.draw_pose_options(self.layout, self)


class DEEP_FEEDBACK_OT_apply_alternative(Action, bpy.types.Operator):
    bl_idname = "deep_feedback.apply_alternative"
    bl_label = "Apply Alternative"
    bl_description = "Places the object in another pose that fills the silhouette about as well"

    index: bpy.props.IntProperty(name="Alternative", description="Its place in the list of results", min=0, options={"HIDDEN"})

    @classmethod
    def obstacles(cls, context: bpy.types.Context) -> Iterator[str]:
        return messages.result_obstacles(context, "pose")

    def act(self, context: bpy.types.Context) -> str:
        place_alternative(context.scene, results.report_of("pose", context.scene), self.index)
        results.show(None)  # the outlines are those of the result
        return ""


class DEEP_FEEDBACK_OT_bake_alternatives(Action, bpy.types.Operator):
    bl_idname = "deep_feedback.bake_alternatives"
    bl_label = "Bake Alternatives"
    bl_description = "Puts copies of the object in all other poses that fit as well into a new collection, to compare them"

    @classmethod
    def obstacles(cls, context: bpy.types.Context) -> Iterator[str]:
        return messages.alternatives_obstacles(context)

    def act(self, context: bpy.types.Context) -> str:
        collection = bake_alternatives(context.scene, results.report_of("pose", context.scene))
        return f"The alternatives are in the collection '{collection.name}'"


class DEEP_FEEDBACK_OT_use_image_resolution(Action, bpy.types.Operator):
    bl_idname = "deep_feedback.use_image_resolution"
    bl_label = "Use Image's Resolution"
    bl_description = (
        "Sets the resolution of renders to that of the picture, with square pixels, so that the camera sees it whole"
    )

    @classmethod
    def obstacles(cls, context: bpy.types.Context) -> Iterator[str]:
        return messages.picture_obstacles(context)

    def act(self, context: bpy.types.Context) -> str:
        scene, settings = context.scene, context.scene.deep_feedback.pose
        picture = settings.silhouette.chosen.read(scene, settings.camera or scene.camera, scene.frame_current, is_range=False)
        set_render_size(scene, *picture.size)
        return f"Renders have {picture.size[0]} x {picture.size[1]} pixels"


CLASSES = (
    DEEP_FEEDBACK_OT_solve_pose,
    DEEP_FEEDBACK_OT_apply_alternative,
    DEEP_FEEDBACK_OT_bake_alternatives,
    DEEP_FEEDBACK_OT_use_image_resolution,
)
