# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask from Photo: a box that is drawn around the object in the camera's view becomes the object's mask."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor

import bpy
import numpy as np

from solver_core.errors import SolverError

from .. import messages, overlay, results
from ..solves.photo_mask import Box, FoundMask, PhotoMask, PhotoMaskTask
from .live import NAVIGATION, TICK
from .result import look_through

SMALLEST = 4  # pixels of the screen: a click is no box
SIDES = ("left", "top", "right", "bottom")


class Drawing:
    """A box that is being drawn in a viewport, and the search that follows it.  corners: (2, 2) pixels of the region."""

    def __init__(self, context: bpy.types.Context, photo_mask: PhotoMask, camera: bpy.types.Object) -> None:
        self.photo_mask, self.camera, self.scene = photo_mask, camera, context.scene
        self.window, self.area = context.window, context.area
        self.region = next(one for one in context.area.regions if one.type == "WINDOW")
        self.corners: np.ndarray | None = None
        self.coming: Future[FoundMask] | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="deep_feedback")
        self._timer = context.window_manager.event_timer_add(TICK, window=self.window)
        self._handle = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")
        self.window.cursor_modal_set("CROSSHAIR")

    def place(self, event: bpy.types.Event) -> np.ndarray:
        """(2,) pixels of the region under the mouse."""
        return np.array([event.mouse_x - self.region.x, event.mouse_y - self.region.y], float)

    def box(self) -> Box | None:
        """In pixels of the photograph; None if it was a click."""
        if self.corners is None or np.ptp(self.corners, axis=0).min() < SMALLEST:
            return None
        space = self.area.spaces.active
        size = np.array([self.region.width, self.region.height])
        frame = overlay.camera_frame(self.camera, self.scene, overlay.View(np.array(space.region_3d.perspective_matrix), size))
        places = (self.corners - frame.low) / (frame.high - frame.low)
        return self.photo_mask.box_around(places)

    def search(self, box: Box | None) -> None:
        """Starts the search in a thread."""
        self.photo_mask.box = box
        self.coming = self._worker.submit(self.photo_mask.find)
        self.window.cursor_modal_set("WAIT")

    def end(self) -> None:
        """Lets go of all that it holds; a search under way is thrown away."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        bpy.context.window_manager.event_timer_remove(self._timer)
        bpy.types.SpaceView3D.draw_handler_remove(self._handle, "WINDOW")
        with contextlib.suppress(ReferenceError):  # the window is closed
            self.window.cursor_modal_restore()
        for workspace in bpy.data.workspaces:
            workspace.status_text_set(None)
        results.redraw()

    def _draw(self) -> None:
        if self.corners is not None and bpy.context.region == self.region:
            overlay.draw_box(bpy.context, self.corners)


_drawing: Drawing | None = None


class DEEP_FEEDBACK_OT_mask_from_photo(bpy.types.Operator):
    bl_idname = "deep_feedback.mask_from_photo"
    bl_label = "Mask from Photo"
    bl_description = (
        "Finds the object in a photograph without transparency: draw a box around it in the camera's view. "
        "The photograph with the mask as its alpha becomes the silhouette"
    )
    bl_options = {"REGISTER", "UNDO"}

    left: bpy.props.IntProperty(name="Left", description="Left side of the box in pixels of the photograph", min=0)
    top: bpy.props.IntProperty(name="Top", description="Top of the box, in pixels from the photograph's top", min=0)
    right: bpy.props.IntProperty(
        name="Right", description="Right side of the box in pixels; 0 if there is no box, but the object stands in place", min=0
    )
    bottom: bpy.props.IntProperty(name="Bottom", description="Bottom of the box, in pixels from the photograph's top", min=0)
    use_object: bpy.props.BoolProperty(
        name="Use Object",
        description="Expects the outline near that of the object, where that stands in the box; off: only colors count",
        default=True,
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return messages.is_free(cls, messages.photo_obstacles(context))

    def execute(self, context: bpy.types.Context) -> set[str]:
        sides = tuple(float(getattr(self, side)) for side in SIDES)
        try:
            photo_mask = PhotoMask.gather(context.scene, self._task(context, sides if any(sides) else None))
            return self._conclude(context, photo_mask, photo_mask.find())
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}

    def invoke(self, context: bpy.types.Context, _: bpy.types.Event) -> set[str]:
        global _drawing
        if bpy.app.background or context.area is None or context.area.type != "VIEW_3D":
            return self.execute(context)
        settings = context.scene.deep_feedback.pose
        camera = settings.camera or context.scene.camera
        try:
            photo_mask = PhotoMask.gather(context.scene, self._task(context, None))
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        look_through(context.space_data, camera, context.scene)
        _drawing = self.drawing = Drawing(context, photo_mask, camera)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set(
            f"{self.bl_label}: drag a box around the object; Enter: where the object stands; Esc or right click: end"
        )
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        drawing = self.drawing
        if drawing is not _drawing:  # the extension was disabled
            return {"CANCELLED"}
        try:
            if event.type in {"ESC", "RIGHTMOUSE"} and event.value == "PRESS":
                self.cancel(context)
                return {"CANCELLED"}
            if drawing.coming is not None:
                return self._wait(context)
            return self._draw_box(context, event)
        except SolverError as error:
            self.cancel(context)
            messages.report_error(self, error)
            return {"CANCELLED"}
        except BaseException:
            self.cancel(context)
            raise

    def cancel(self, _: bpy.types.Context) -> None:
        """Called by Blender when the window closes or a file is loaded."""
        if self.drawing is _drawing:
            unregister()

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column()
        column.use_property_split = True
        for side in SIDES:
            column.prop(self, side)
        column.prop(self, "use_object")

    def _draw_box(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        drawing = self.drawing
        if event.type == "LEFTMOUSE" and event.value == "PRESS":
            drawing.corners = np.stack([drawing.place(event)] * 2)
        elif drawing.corners is not None and event.type in {"MOUSEMOVE", "LEFTMOUSE"}:
            drawing.corners[1] = drawing.place(event)
            drawing.area.tag_redraw()
            if event.type == "LEFTMOUSE" and event.value == "RELEASE":
                self._search(context, drawing.box())
        elif event.type in {"RET", "NUMPAD_ENTER"} and event.value == "PRESS":
            self._search(context, None)
        return {"PASS_THROUGH"} if event.type in NAVIGATION and drawing.corners is None else {"RUNNING_MODAL"}

    def _search(self, context: bpy.types.Context, box: Box | None) -> None:
        for side, value in zip(SIDES, box or (0, 0, 0, 0), strict=True):
            setattr(self, side, round(value))
        self.drawing.search(box)
        context.workspace.status_text_set(f"{self.bl_label}: looking for the object; Esc or right click ends it")

    def _wait(self, context: bpy.types.Context) -> set[str]:
        drawing = self.drawing
        if not drawing.coming.done():
            return {"RUNNING_MODAL"}
        found = drawing.coming.result()
        self.cancel(context)
        return self._conclude(context, drawing.photo_mask, found)

    def _task(self, context: bpy.types.Context, box: Box | None) -> PhotoMaskTask:
        settings = context.scene.deep_feedback.pose
        thing = (settings.object or context.view_layer.objects.active) if self.use_object else None
        camera = settings.camera or context.scene.camera
        return PhotoMaskTask(settings.silhouette.chosen, camera.name, thing.name if thing is not None else "", box)

    def _conclude(self, context: bpy.types.Context, photo_mask: PhotoMask, found: FoundMask) -> set[str]:
        settings = context.scene.deep_feedback.pose
        settings.silhouette.image, settings.silhouette.source = photo_mask.keep(found), "IMAGE"
        settings.from_photo = False
        settings.key, settings.threshold, settings.invert, settings.show_mask = "ALPHA", 0.5, False, True
        share = f"The object covers {found.coverage.mean():.1%} of the photograph."
        self.report({"WARNING" if found.notes else "INFO"}, " ".join([share, *found.notes]))
        return {"FINISHED"}


CLASSES = (DEEP_FEEDBACK_OT_mask_from_photo,)


def unregister() -> None:
    """Ends a box that is being drawn."""
    global _drawing
    if _drawing is not None:
        _drawing, drawing = None, _drawing
        drawing.end()
