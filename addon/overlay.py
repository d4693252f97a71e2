# SPDX-License-Identifier: GPL-3.0-or-later
"""What the viewports show of a solve: outlines, targets and paths with those of earlier steps, the energy, one line of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import blf
import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from gpu_extras.presets import draw_texture_2d

from solver_core.colour import linear_from_srgb
from solver_core.errors import SolverError
from solver_core.solution import Verdict

from . import preferences, results
from .result_panel import step_words, verdict_of
from .results import Result
from .solves.image_source import PASSES
from .solves.pose import preview_mask
from .solves.solve import Step

GHOSTS = 5  # earlier steps that are shown
FADING = 0.6  # of a ghost against the step after it
OBSERVED_WIDTH, LINE_WIDTH, GHOST_WIDTH = 3.5, 2.0, 1.0  # pixels, as all sizes below before the interface's scale
POINT_RADIUS, TARGET_RADIUS = 3.5, 6.0
TEXT_SIZE, MARGIN = 13.0, 16.0
CURVE_SIZE = np.array([180.0, 56.0])
SHADE, WHITE = (0.0, 0.0, 0.0, 0.4), (1.0, 1.0, 1.0, 1.0)
MARK_COLORS = {Verdict.GOOD: (0.3, 0.8, 0.2, 1.0), Verdict.DOUBTFUL: (0.95, 0.75, 0.0, 1.0), Verdict.BAD: (0.9, 0.1, 0.1, 1.0)}
NEAR = 1e-3  # of the viewer, in units of the scene: what is nearer is not drawn
MASK_ROWS = 256  # of the preview; more are thinned
DISC = np.stack([np.cos(np.linspace(0, 2 * np.pi, 13)), np.sin(np.linspace(0, 2 * np.pi, 13))], axis=-1)


class View(NamedTuple):
    """A viewport.  region_from_world: (4, 4) to homogeneous coordinates.  size: (2,) pixels."""

    region_from_world: np.ndarray
    size: np.ndarray

    def lines(self, lines_world: np.ndarray) -> np.ndarray:
        """(N, 2, 2) pixels of segments (M, 2, 3), each cut where it passes the viewer; those behind are left out."""
        ends = self._homogeneous(lines_world)
        ends = ends[(ends[..., 3] > NEAR).any(axis=1)]
        depth = ends[..., 3]
        others = ends[:, ::-1]
        fraction = np.clip((NEAR - depth) / np.where(depth < NEAR, others[..., 3] - depth, 1), 0, 1)[..., None]
        return self._pixels(ends + fraction * (others - ends))

    def points(self, points_world: np.ndarray) -> np.ndarray:
        """(N, 2) pixels of the points (M, 3) that are in front of the viewer."""
        homogeneous = self._homogeneous(points_world)
        return self._pixels(homogeneous[homogeneous[:, 3] > NEAR])

    def _homogeneous(self, points_world: np.ndarray) -> np.ndarray:
        """(..., 4) of points (..., 3); the last number grows with the distance from the viewer."""
        return points_world @ self.region_from_world[:, :3].T + self.region_from_world[:, 3]

    def _pixels(self, homogeneous: np.ndarray) -> np.ndarray:
        return (homogeneous[..., :2] / homogeneous[..., 3:] + 1) / 2 * self.size


class Frame(NamedTuple):
    """Where a camera's image is in a viewport that looks through the camera: pixels of its lower left and upper right."""

    low: np.ndarray
    high: np.ndarray

    def place(self, positions: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of positions in the image (..., 2), from 0 to 1, y up."""
        return self.low + positions * (self.high - self.low)


class MaskPreview:
    """What counts as the object in the image, made anew when the file, the image, its key or the frame changes."""

    def __init__(self) -> None:
        self.key: tuple | None = None
        self.rectangles = np.zeros((0, 2, 2), np.float32)
        self.notice = ""
        self.scene = ""  # the name of the one that was asked for last

    def is_current(self, scene: bpy.types.Scene) -> bool:
        self.scene = scene.name
        return self.key == _mask_key(scene)

    def update(self) -> None:
        """Reads the image, which a drawing viewport must not do; a timer calls this."""
        scene = bpy.data.scenes.get(self.scene)
        if scene is None:
            return
        self.key, self.notice = _mask_key(scene), ""
        _, camera, silhouette, mask, _, thing, is_whole, *_ = self.key
        try:
            self.rectangles = mask_rectangles(preview_mask(scene, silhouette, mask, camera, thing, is_whole) >= 0.5)
        except SolverError as error:
            self.rectangles, self.notice = np.zeros((0, 2, 2), np.float32), str(error)
        results.redraw()


class Comparison:
    """The picture that lies over the camera's view after Solve Lighting.  key: the result's id and which picture it is of."""

    def __init__(self) -> None:
        self.key: tuple[str, str] | None = None
        self.texture: gpu.types.GPUTexture | None = None
        self._asked: tuple[Result, str] | None = None
        self._pixels: np.ndarray | None = None

    def show(self, result: Result, what: str) -> bool:
        """Whether the picture is there to be drawn; else a timer makes it, which a drawing viewport must not wait for."""
        self._asked = result, what
        if self.key != (result.id, what):
            if not bpy.app.timers.is_registered(self.update):
                bpy.app.timers.register(self.update)
            return False
        if self._pixels is not None:
            height, width = self._pixels.shape[:2]
            values = self._pixels / np.float32(255)
            if bpy.app.version < (5, 0, 0):  # whose viewport encodes what is drawn of an image
                values[..., :3] = linear_from_srgb(values[..., :3])
            values = gpu.types.Buffer("FLOAT", values.size, values.ravel())
            self.texture, self._pixels = gpu.types.GPUTexture((width, height), format="RGBA16F", data=values), None
        return True

    def update(self) -> None:
        result, what = self._asked
        self._pixels = result.solve.compared(what)[::-1]
        self.key = result.id, what
        results.redraw()


_mask, _comparison = MaskPreview(), Comparison()
_handle: object | None = None


def mask_rectangles(mask: np.ndarray) -> np.ndarray:
    """(N, 2, 2) lower left and upper right corners of rectangles that fill a mask (H, W) bool: (x, y) from 0 to 1, y up."""
    thinned = mask[:: -(-len(mask) // MASK_ROWS)]
    height, width = thinned.shape
    change = np.diff(np.pad(thinned, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, first = np.nonzero(change == 1)
    _, last = np.nonzero(change == -1)
    low = np.stack([first / width, 1 - (rows + 1) / height], axis=-1)
    high = np.stack([last / width, 1 - rows / height], axis=-1)
    return np.stack([low, high], axis=1).astype(np.float32)


def curve_points(energies: list[float], count: int) -> np.ndarray:
    """(N, 2) points of the energy curve in a unit square, the highest energy on top; count: steps that are expected."""
    energy = np.array(energies, np.float64)
    across = np.arange(len(energy)) / max(count - 1, len(energy) - 1, 1)
    return np.stack([across, energy / max(energy.max(), 1e-12)], axis=-1)


def ghosts(result: Result) -> list[tuple[int, float]]:
    """Indices of the earlier steps that are shown, the oldest first, and their opacity; they are of one frame."""
    if result.step.shown_at != result.frame:
        return []
    first = max(0, result.current - GHOSTS)
    return [(index, FADING ** (result.current - index)) for index in range(first, result.current)]


def light_path(result: Result) -> np.ndarray:
    """(N, 2, 3) segments in the world through the places of the light up to the current step."""
    places = np.concatenate([step.world_points for step in result.steps[: result.current + 1]])
    return np.stack([places[:-1], places[1:]], axis=1)


def camera_frame(camera: bpy.types.Object, scene: bpy.types.Scene, view: View) -> Frame:
    """Where a camera's image is in a view through that camera."""
    corners = np.array(camera.data.view_frame(scene=scene))
    world_from_camera = np.array(camera.matrix_world.normalized())
    pixels = view.points(corners @ world_from_camera[:3, :3].T + world_from_camera[:3, 3])
    return Frame(pixels.min(axis=0), pixels.max(axis=0))


def fitting(words: list[str], fits: Callable[[str], bool]) -> str:
    """Words as one text; where that is too long, without those in the middle, as many as need be."""
    while len(words) > 2 and not fits(" - ".join(words)):
        words = [words[0], *words[2:]]
    return " - ".join(words)


def _mask_key(scene: bpy.types.Scene) -> tuple:
    """All that the preview depends on."""
    settings = scene.deep_feedback.pose
    camera = settings.camera or scene.camera
    thing = settings.object or scene.view_layers[0].objects.active
    return (
        scene.name,
        camera.name if camera else "",
        settings.silhouette.chosen,
        settings.mask,
        settings.silhouette.image.session_uid if settings.silhouette.image else 0,
        thing.name if thing and settings.key in PASSES else "",
        settings.whole,
        scene.frame_current,
        bpy.data.filepath,
    )


def _draw() -> None:
    context = bpy.context
    if not context.space_data.overlay.show_overlays:
        return
    scene, settings = context.scene, context.scene.deep_feedback
    result = results.shown()
    if settings.lighting.comparison != "OFF":
        _draw_comparison(context, settings.lighting.comparison)
    if settings.pose.show_mask and not settings.pose.from_photo:
        _draw_mask(context)
    step = None if result is None else result.seen_in(scene)
    if step is not None:
        if settings.live.show_overlay:
            _draw_result(context, result, step)
        if context.region == _status_region(context.area):
            _draw_status(context, result, settings.live.show_energy)
    gpu.state.blend_set("NONE")


def draw_path(context: bpy.types.Context, points: np.ndarray, is_inside: bool = True, width: float = LINE_WIDTH) -> None:
    """Draws a line through points (N, 2) in pixels, about what is in the object or what is not."""
    colors = preferences.find(context)
    color = colors.color_observed if is_inside else colors.color_current
    _stroke(context, np.stack([points[:-1], points[1:]], axis=1), color, width)
    gpu.state.blend_set("NONE")


def _draw_comparison(context: bpy.types.Context, what: str) -> None:
    result = results.find("lighting", context.scene)
    frame = None if result is None or result.report is None else _camera_frame(context, result.camera)
    if frame is None or not _comparison.show(result, what):
        return
    gpu.state.blend_set("ALPHA")
    draw_texture_2d(_comparison.texture, tuple(frame.low), *map(float, frame.high - frame.low))


def _draw_mask(context: bpy.types.Context) -> None:
    if not _mask.is_current(context.scene) and not bpy.app.timers.is_registered(_mask.update):
        bpy.app.timers.register(_mask.update)
    frame = _camera_frame(context, _mask.key[1]) if _mask.key and _mask.key[0] == context.scene.name else None
    if frame is None:
        return
    corners = frame.place(_mask.rectangles)
    x, y = corners[..., 0], corners[..., 1]
    triangles = np.stack([x[:, [0, 1, 1, 0, 1, 0]], y[:, [0, 0, 1, 0, 1, 1]]], axis=-1)
    _fill(triangles, preferences.find(context).color_mask)
    if _mask.notice:
        _write(context, _mask.notice, frame.low + MARGIN * _scale(context))


def _draw_result(context: bpy.types.Context, result: Result, step: Step) -> None:
    colors = preferences.find(context)
    view, frame = _view(context), _camera_frame(context, result.camera)
    scale = _scale(context)
    if frame is not None:
        _stroke(context, frame.place(step.observed_lines), colors.color_observed, OBSERVED_WIDTH)
        for index, opacity in ghosts(result):
            _stroke(context, frame.place(result.steps[index].image_lines), _faded(colors.color_current, opacity), GHOST_WIDTH)
        _stroke(context, frame.place(step.image_lines), colors.color_current, LINE_WIDTH)
    if result.problem == "lighting":
        _stroke(context, view.lines(light_path(result)), _faded(colors.color_current, FADING), GHOST_WIDTH)
    for index, opacity in ghosts(result):
        _stroke(context, view.lines(result.steps[index].world_lines), _faded(colors.color_current, opacity), GHOST_WIDTH)
    _stroke(context, view.lines(step.world_lines), colors.color_current, LINE_WIDTH)
    _dots(view.points(step.observed_points), colors.color_observed, TARGET_RADIUS * scale)
    _dots(view.points(step.world_points), colors.color_current, POINT_RADIUS * scale)


def _draw_status(context: bpy.types.Context, result: Result, is_curve_shown: bool) -> None:
    """The step in words and the energies, in the lower right corner: the redo panel has the left one."""
    scale, is_running = _scale(context), result.report is None
    letter, edge = TEXT_SIZE * scale, _right_edge(context)
    verdict = None if is_running else verdict_of(result.report)
    words = [*step_words(result), "Esc cancels"] if is_running else [verdict.value.capitalize(), *step_words(result)]
    blf.size(0, letter)
    text = fitting(words, lambda text: blf.dimensions(0, text)[0] <= edge - 2 * MARGIN * scale - 2 * letter)
    corner = np.array([edge, 0]) + np.array([-MARGIN, MARGIN]) * scale
    start = corner - (blf.dimensions(0, text)[0], 0)
    _fill(_rectangle(start - letter * np.array([0.5 if is_running else 2, 0.5]), corner + letter * np.array([0.5, 1.2])), SHADE)
    _write(context, text, start)
    if verdict is not None:
        mark = _rectangle(start - letter * np.array([1.5, 0]), start + letter * np.array([-0.5, 0.8]))
        _fill(mark, MARK_COLORS[verdict])
    if not is_curve_shown:
        return
    low = corner + np.array([-CURVE_SIZE[0], TEXT_SIZE + MARGIN]) * scale
    size = CURVE_SIZE * scale
    _fill(_rectangle(low, low + size), SHADE)
    points = low + size * curve_points([step.energy for step in result.steps], result.step.count if is_running else 0)
    _stroke(context, np.stack([points[:-1], points[1:]], axis=1), preferences.find(context).color_current, LINE_WIDTH)
    _dots(points[[result.current]], WHITE, POINT_RADIUS * scale)


def _view(context: bpy.types.Context) -> View:
    return View(np.array(context.region_data.perspective_matrix), np.array([context.region.width, context.region.height]))


def _camera_frame(context: bpy.types.Context, camera_name: str) -> Frame | None:
    """Where the camera's image is, or None if the viewport does not look through that camera."""
    camera = context.space_data.camera
    if context.region_data.view_perspective != "CAMERA" or camera is None or camera.name != camera_name:
        return None
    return camera_frame(camera, context.scene, _view(context))


def _status_region(area: bpy.types.Area) -> bpy.types.Region:
    """The part of a 3D view that has its lower right corner; a quad view has four parts."""
    return max((one for one in area.regions if one.type == "WINDOW"), key=lambda one: (one.x, -one.y))


def _right_edge(context: bpy.types.Context) -> int:
    """Pixels from the left to the sidebar, which may lie over the viewport."""
    edges = [region.x for region in context.area.regions if region.type == "UI" and region.width > 1]
    return min([context.region.x + context.region.width, *edges]) - context.region.x


def _scale(context: bpy.types.Context) -> float:
    return context.preferences.system.ui_scale


def _faded(color: tuple[float, ...], opacity: float) -> tuple[float, ...]:
    return (*color[:3], color[3] * opacity)


def _stroke(context: bpy.types.Context, lines: np.ndarray, color: tuple[float, ...], width: float) -> None:
    """Draws segments (N, 2, 2) in pixels."""
    if not len(lines):
        return
    gpu.state.blend_set("ALPHA")  # text switches it off
    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": _positions(lines)})
    shader.uniform_float("viewportSize", (context.region.width, context.region.height))
    shader.uniform_float("lineWidth", width * _scale(context))
    shader.uniform_float("color", tuple(color))
    batch.draw(shader)


def _dots(points: np.ndarray, color: tuple[float, ...], radius: float) -> None:
    """Draws discs around points (N, 2) in pixels."""
    rim = points[:, None] + radius * DISC
    centre = np.broadcast_to(points[:, None], rim[:, 1:].shape)
    _fill(np.stack([centre, rim[:, :-1], rim[:, 1:]], axis=2), color)


def _rectangle(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(6, 2) its two triangles."""
    return np.array([low, (high[0], low[1]), high, low, high, (low[0], high[1])])


def _fill(triangles: np.ndarray, color: tuple[float, ...]) -> None:
    """Fills triangles, corners (..., 2) in pixels one after the other."""
    if not len(triangles):
        return
    gpu.state.blend_set("ALPHA")
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    batch = batch_for_shader(shader, "TRIS", {"pos": _positions(triangles)})
    shader.uniform_float("color", tuple(color))
    batch.draw(shader)


def _positions(pixels: np.ndarray) -> np.ndarray:
    """(N, 3) float32 as the shaders take them."""
    return np.pad(pixels.reshape(-1, 2), ((0, 0), (0, 1))).astype(np.float32)


def _write(context: bpy.types.Context, text: str, corner: np.ndarray) -> None:
    blf.size(0, TEXT_SIZE * _scale(context))
    blf.position(0, *map(float, corner), 0)
    blf.color(0, *WHITE)
    blf.enable(0, blf.SHADOW)
    blf.shadow(0, 3, 0.0, 0.0, 0.0, 0.8)
    blf.draw(0, text)
    blf.disable(0, blf.SHADOW)


def register() -> None:
    global _handle
    if not bpy.app.background:
        _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    global _handle
    for update in (_mask.update, _comparison.update):
        if bpy.app.timers.is_registered(update):
            bpy.app.timers.unregister(update)
    if _handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
        _handle = None
