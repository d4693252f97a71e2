# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask from Photo: what is drawn around the object and over it, in the camera's view, becomes the object's mask."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import bpy
import numpy as np

from solver_core.errors import SolverError

from .. import messages, overlay, results
from ..solves.photo_mask import Drawn, FoundMask, PhotoMask, PhotoMaskTask, Stroke
from .live import NAVIGATION, TICK
from .result import look_through

SMALLEST = 4  # pixels of the screen: a click is no box
BRUSH = 8  # radius of strokes in pixels of the screen, before the interface's scale: who zooms in paints finer
SIDES = ("left", "top", "right", "bottom")
STATUS = (
    "{label}: drag a {shape} around the object (L: {other}); Shift or Ctrl and drag: paint over the object or beside it; "
    "Enter: {enter}; Esc or right click: end"
)


class Drawing:
    """What is being drawn in a viewport, and the search that follows it.

    trail: (N, 2) pixels of the region under the mouse since a button is held.  gesture: "box", "lasso", "inside" or "outside".
    strokes: those that are done.  shape: what a drag without a key draws, "box" or "lasso".
    """

    def __init__(self, context: bpy.types.Context, photo_mask: PhotoMask, camera: bpy.types.Object) -> None:
        self.photo_mask, self.camera, self.scene = photo_mask, camera, context.scene
        self.earlier = photo_mask.drawn
        self.window, self.area = context.window, context.area
        self.region = next(one for one in context.area.regions if one.type == "WINDOW")
        self.scale = context.preferences.system.ui_scale
        self.gesture, self.shape = "", "box"
        self.trail: list[np.ndarray] = []
        self.strokes: list[Stroke] = []
        self.coming: Future[FoundMask] | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="deep_feedback")
        self._timer = context.window_manager.event_timer_add(TICK, window=self.window)
        self._handle = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")
        self.window.cursor_modal_set("CROSSHAIR")

    def begin(self, event: bpy.types.Event) -> None:
        self.gesture = "inside" if event.shift else "outside" if event.ctrl else self.shape
        self.trail = []

    def follow(self, event: bpy.types.Event) -> None:
        self.trail.append(np.array([event.mouse_x - self.region.x, event.mouse_y - self.region.y], float))
        self.area.tag_redraw()

    def end_gesture(self) -> Drawn | None:
        """What is to be searched now; None after a stroke, or a click."""
        gesture, trail, self.gesture = self.gesture, np.array(self.trail), ""
        frame = self._frame()
        places = (trail - frame.low) / (frame.high - frame.low)
        if gesture in ("inside", "outside"):
            a_pixel = np.ptp(self.photo_mask.pixels_at(np.stack([np.zeros(2), 1 / (frame.high - frame.low)])), axis=0)[0]
            points = _listed(self.photo_mask.pixels_at(places))
            self.strokes.append(Stroke(gesture == "inside", float(BRUSH * self.scale * a_pixel), points))
            return None
        if np.ptp(trail, axis=0).min() < SMALLEST:
            return None
        if gesture == "lasso":
            return Drawn(lasso=_listed(self.photo_mask.pixels_at(places)), strokes=tuple(self.strokes))
        return Drawn(self.photo_mask.box_around(places[[0, -1]]), strokes=tuple(self.strokes))

    def refined(self) -> Drawn:
        """What was drawn for the mask that is there, with the strokes of now."""
        return replace(self.earlier, strokes=(*self.earlier.strokes, *self.strokes))

    def search(self, drawn: Drawn) -> None:
        """Starts the search in a thread."""
        self.photo_mask.drawn = drawn
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

    def _frame(self) -> overlay.Frame:
        space = self.area.spaces.active
        size = np.array([self.region.width, self.region.height])
        return overlay.camera_frame(self.camera, self.scene, overlay.View(np.array(space.region_3d.perspective_matrix), size))

    def _draw(self) -> None:
        context = bpy.context
        if context.region != self.region:
            return
        frame = self._frame()
        for stroke in self.strokes:
            points = frame.place(self.photo_mask.places_of(np.array(stroke.points)))
            overlay.draw_path(context, points, stroke.is_inside, 2 * BRUSH)
        if len(self.trail) < 2 or not self.gesture:
            return
        trail = np.array(self.trail)
        if self.gesture == "box":
            (x0, y0), (x1, y1) = trail[[0, -1]]
            overlay.draw_path(context, np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]))
        else:
            is_stroke = self.gesture != "lasso"
            overlay.draw_path(context, trail, self.gesture != "outside", *([2 * BRUSH] if is_stroke else []))


def _listed(points: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Points (N, 2) to a tenth of a pixel."""
    return tuple((column, row) for column, row in np.round(points, 1).tolist())


_drawing: Drawing | None = None


class DEEP_FEEDBACK_OT_mask_from_photo(bpy.types.Operator):
    bl_idname = "deep_feedback.mask_from_photo"
    bl_label = "Mask from Photo"
    bl_description = (
        "Finds the object in a photograph without transparency: draw a box or a lasso around it in the camera's view, or paint "
        "over it and beside it. The photograph with the mask as its alpha becomes the silhouette; again, strokes refine it"
    )
    bl_options = {"REGISTER", "UNDO"}

    left: bpy.props.IntProperty(name="Left", description="Left side of the box in pixels of the photograph", min=0)
    top: bpy.props.IntProperty(name="Top", description="Top of the box, in pixels from the photograph's top", min=0)
    right: bpy.props.IntProperty(
        name="Right", description="Right side of the box in pixels; 0 if there is no box, but the object stands in place", min=0
    )
    bottom: bpy.props.IntProperty(name="Bottom", description="Bottom of the box, in pixels from the photograph's top", min=0)
    marks: bpy.props.StringProperty(
        name="Lasso and Strokes", description="What was drawn beside the box, as JSON", options={"HIDDEN"}
    )
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
            drawn = replace(Drawn.from_json(self.marks or "{}"), box=sides if any(sides) else None)
            photo_mask = PhotoMask.gather(context.scene, self._task(context, drawn))
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
            choice = settings.silhouette
            earlier = Drawn.of_image(choice.image.name) if choice.source == "IMAGE" else Drawn()
            photo_mask = PhotoMask.gather(context.scene, self._task(context, earlier))
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        look_through(context.space_data, camera, context.scene)
        _drawing = self.drawing = Drawing(context, photo_mask, camera)
        context.window_manager.modal_handler_add(self)
        self._show_status(context)
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
            return self._follow(context, event)
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

    def _follow(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        drawing = self.drawing
        if event.type == "LEFTMOUSE" and event.value == "PRESS":
            drawing.begin(event)
            drawing.follow(event)
        elif drawing.gesture and event.type in {"MOUSEMOVE", "LEFTMOUSE"}:
            drawing.follow(event)
            drawn = drawing.end_gesture() if event.type == "LEFTMOUSE" and event.value == "RELEASE" else None
            if drawn is not None:
                self._search(context, drawn)
            elif not drawing.gesture:
                self._show_status(context)
        elif event.value == "PRESS" and event.type in {"RET", "NUMPAD_ENTER"}:
            self._search(context, drawing.refined())
        elif event.value == "PRESS" and event.type == "L":
            drawing.shape = "box" if drawing.shape == "lasso" else "lasso"
            self._show_status(context)
        elif event.value == "PRESS" and event.type == "Z" and (event.ctrl or event.oskey):
            del drawing.strokes[-1:]
            drawing.area.tag_redraw()
        return {"PASS_THROUGH"} if event.type in NAVIGATION and not drawing.gesture else {"RUNNING_MODAL"}

    def _show_status(self, context: bpy.types.Context) -> None:
        drawing = self.drawing
        enter = "as drawn" if drawing.strokes else "as before" if drawing.earlier != Drawn() else "where the object stands"
        other = "box" if drawing.shape == "lasso" else "lasso"
        context.workspace.status_text_set(STATUS.format(label=self.bl_label, shape=drawing.shape, other=other, enter=enter))

    def _search(self, context: bpy.types.Context, drawn: Drawn) -> None:
        for side, value in zip(SIDES, drawn.box or (0, 0, 0, 0), strict=True):
            setattr(self, side, round(value))
        self.marks = replace(drawn, box=None).to_json()
        self.drawing.search(drawn)
        context.workspace.status_text_set(f"{self.bl_label}: looking for the object; Esc or right click ends it")

    def _wait(self, context: bpy.types.Context) -> set[str]:
        drawing = self.drawing
        if not drawing.coming.done():
            return {"RUNNING_MODAL"}
        found = drawing.coming.result()
        self.cancel(context)
        return self._conclude(context, drawing.photo_mask, found)

    def _task(self, context: bpy.types.Context, drawn: Drawn) -> PhotoMaskTask:
        settings = context.scene.deep_feedback.pose
        thing = (settings.object or context.view_layer.objects.active) if self.use_object else None
        camera = settings.camera or context.scene.camera
        return PhotoMaskTask(settings.silhouette.chosen, camera.name, thing.name if thing is not None else "", drawn)

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
    """Ends what is being drawn."""
    global _drawing
    if _drawing is not None:
        _drawing, drawing = None, _drawing
        drawing.end()
