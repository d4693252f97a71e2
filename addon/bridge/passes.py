# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cycles knows of a scene: colours and normals of what a camera sees, any material, and the light of any world.

It is rendered in a copy of the scene that shares its objects, so nothing of the user's is changed.  What renders is a
generator: it hands out each render, which is carried out at once or while the window stays alive, before it goes on.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from solver_core.errors import SetupError
from solver_core.render.gbuffer import Passes

from .exr import pass_of, read_layers

MAX_SIZE = 512  # pixels of the longer side: a solve looks at some 128 cells along it
WORLD_SIZE = 512, 256
WORLD_SAMPLES = 16  # a pixel of a world: its sun may be smaller than one
SAMPLES = 4  # a pixel: enough to smooth textures and edges
SETTINGS = {  # of renders
    "engine": "CYCLES",
    "resolution_percentage": 100,
    "use_border": False,
    "use_motion_blur": False,
    "use_multiview": False,
    "use_compositing": False,
    "use_sequencer": False,
    "use_lock_interface": False,
    "film_transparent": True,
    "use_file_extension": False,
}
CYCLES = {
    "device": "CPU",  # no waiting for programs of the graphics card to be compiled
    "samples": SAMPLES,
    "max_bounces": 0,
    "use_denoising": False,
    "use_adaptive_sampling": False,
}
FORMAT = {"file_format": "OPEN_EXR_MULTILAYER", "color_depth": "32", "exr_codec": "ZIP"}
ASKED = ("diffuse_color", "glossy_color", "transmission_color", "emit", "normal", "z")
# The passes' names in files, before Blender 5.0 and since.
NAMES = {
    "diffuse": ("DiffCol", "Diffuse Color"),
    "glossy": ("GlossCol", "Glossy Color"),
    "transmission": ("TransCol", "Transmission Color"),
    "emission": ("Emit", "Emission"),
    "normal": ("Normal",),
    "depth": ("Depth",),
}
MATT = 0.5  # of all color that is not seen through must be diffuse, else what is mirrored counts for more
SHINES = 1e-3  # emitted radiance from which on a surface is taken to shine
FARTHEST = 1e9  # depth where nothing is seen


class Render:
    """A scene that is rendered into a file.  what: is rendered, for sentences."""

    def __init__(self, stage: bpy.types.Scene, path: Path, what: str) -> None:
        self.what = what
        self.is_ended_by_hand = False
        self._stage, self._path, self._failure = stage.name, path, ""

    def at_once(self) -> None:
        self._start("EXEC_DEFAULT")

    def begin(self) -> None:
        """Lets Blender render while the window stays alive: its status bar shows how far it is, and Esc ends it."""
        preferences = bpy.context.preferences
        before, is_dirty = preferences.view.render_display_type, preferences.is_dirty
        bpy.app.handlers.render_cancel.append(self._note_end)
        preferences.view.render_display_type = "NONE"  # no window of its own
        self._start("INVOKE_DEFAULT")
        preferences.view.render_display_type, preferences.is_dirty = before, is_dirty

    def is_done(self) -> bool:
        return not bpy.app.is_job_running("RENDER")

    def check(self) -> None:
        """Raises SetupError if nothing was rendered."""
        if not self._path.is_file():
            raise SetupError(f"Cycles did not render {self.what}{self._failure}.")

    def _note_end(self, *_: object) -> None:
        self.is_ended_by_hand = True

    def _start(self, execution: str) -> None:
        try:
            bpy.ops.render.render(execution, write_still=True, scene=self._stage)
        except RuntimeError as error:
            self._failure = f": {str(error).strip().removesuffix('.')}"


def cycles_passes(
    scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object, size: tuple[int, int]
) -> Generator[Render, None, Passes]:
    """Passes of what a camera sees; NaN where it mirrors, is seen through or shines.

    size: width and height of the passes and of the image, whose aspect is that of renders.  Raises SetupError where Cycles
    cannot render.
    """
    shrunk = min(1.0, MAX_SIZE / max(size))
    rotation = np.array(camera.evaluated_get(depsgraph).matrix_world)[:3, :3]
    rotation = rotation / np.linalg.norm(rotation, axis=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "passes.exr"
        with _stage(scene, depsgraph, camera, [max(1, round(shrunk * side)) for side in size]) as stage:
            yield from _render(stage, path, "the colors of the surfaces")
        layers = read_layers(path.read_bytes())
    found = {name: _pass(layers, names) for name, names in NAMES.items()}
    albedo = found["diffuse"].copy()
    diffuse = albedo.mean(axis=2)
    other = found["glossy"].mean(axis=2) + found["transmission"].mean(axis=2)
    depth = found["depth"][..., 0].copy()
    is_out = (diffuse < MATT * (diffuse + other)) | (found["emission"].max(axis=2) > SHINES)
    albedo[is_out | (depth > FARTHEST)] = np.nan
    across, down = (_nearest(side, wide) for side, wide in zip(size, depth.shape[::-1], strict=True))
    return Passes(*(values[down[:, None], across] for values in (albedo, found["normal"] @ rotation, depth)))


def _nearest(count: int, available: int) -> np.ndarray:
    """(count,) which of some pixels along a line lies nearest to each of more or fewer."""
    return ((np.arange(count) + 0.5) * available / count).astype(int)


def world_panorama(world: bpy.types.World, world_from_camera: np.ndarray) -> Generator[Render, None, np.ndarray]:
    """(H, W, 3) linear radiance of a world all around a camera (4, 4), whatever nodes make it: its middle lies ahead.

    Raises SetupError where Cycles cannot render.
    """
    stage = bpy.data.scenes.new("deep feedback world")
    lens = bpy.data.cameras.new("deep feedback panorama")
    eye = bpy.data.objects.new("deep feedback panorama", lens)
    try:
        stage.world = world
        stage.collection.objects.link(eye)
        stage.camera, eye.matrix_world = eye, Matrix(world_from_camera.tolist())
        lens.type = "PANO"
        panorama = lens if hasattr(lens, "panorama_type") else lens.cycles  # since Blender 5.0, and before
        panorama.panorama_type = "EQUIRECTANGULAR"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "world.exr"
            _set(stage.render, SETTINGS | {"film_transparent": False})
            _set(stage.cycles, CYCLES | {"samples": WORLD_SAMPLES})
            _set(stage.render.image_settings, FORMAT)
            stage.render.resolution_x, stage.render.resolution_y = WORLD_SIZE
            yield from _render(stage, path, "the light of the world")
            return _pass(read_layers(path.read_bytes()), ("Combined",))[..., :3]
    finally:
        with contextlib.suppress(ReferenceError):  # another file was opened
            bpy.data.scenes.remove(stage)
            bpy.data.cameras.remove(lens)


def _render(stage: bpy.types.Scene, path: Path, what: str) -> Iterator[Render]:
    """Renders a scene into a file.  Raises SetupError."""
    stage.render.filepath = str(path)
    render = Render(stage, path, what)
    with _kept_render_result(), silent_handlers():
        yield render
    render.check()


@contextlib.contextmanager
def _stage(
    scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object, size: Sequence[int]
) -> Iterator[bpy.types.Scene]:
    """A copy of a scene that renders passes through a copy of the camera."""
    layer_name = depsgraph.view_layer.name
    stage = scene.copy()
    lens = camera.data.copy()
    eye = bpy.data.objects.new("deep feedback camera", lens)
    try:
        stage.name = "deep feedback passes"
        stage.collection.objects.link(eye)
        eye.matrix_world = camera.evaluated_get(depsgraph).matrix_world
        lens.animation_data_clear()
        lens.dof.use_dof = False
        stage.camera = eye
        for values, settings in ((SETTINGS, stage.render), (CYCLES, stage.cycles), (FORMAT, stage.render.image_settings)):
            _set(settings, values)
        stage.render.resolution_x, stage.render.resolution_y = size
        for layer in stage.view_layers:
            layer.use = layer.name == layer_name
            for name in ASKED:
                setattr(layer, f"use_pass_{name}", True)
        yield stage
    finally:
        with contextlib.suppress(ReferenceError):  # another file was opened
            bpy.data.scenes.remove(stage)
            bpy.data.cameras.remove(lens)  # and what shows it


def _set(settings: bpy.types.bpy_struct, values: dict) -> None:
    if hasattr(settings, "media_type"):  # since Blender 5.0, before the format
        settings.media_type = "MULTI_LAYER_IMAGE"
    for name, value in values.items():
        setattr(settings, name, value)


@contextlib.contextmanager
def _kept_render_result() -> Iterator[None]:
    """Renders into the last slot of the render result, so that what the user looks at stays."""
    image = next((one for one in bpy.data.images if one.type == "RENDER_RESULT"), None)
    slots = None if image is None else image.render_slots
    if slots is None or not len(slots):
        yield
        return
    before = slots.active_index
    slots.active_index = len(slots) - 1 if before != len(slots) - 1 else 0
    try:
        yield
    finally:
        with contextlib.suppress(ReferenceError):
            slots.active_index = before


@contextlib.contextmanager
def silent_handlers() -> Iterator[None]:
    """Keeps scripts that wait for renders of the user's from being called; takes away what is added in the meantime."""
    lists = [getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers) if name.startswith("render_")]
    kept = [list(handlers) for handlers in lists]
    for handlers in lists:
        handlers.clear()
    try:
        yield
    finally:
        for handlers, before in zip(lists, kept, strict=True):
            handlers[:] = before


def _pass(layers: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """(H, W, C) of the pass with one of these names."""
    found = pass_of(layers, names)
    if found is None:
        raise SetupError(f"Cycles gave no pass {names[-1]}; it gave {', '.join(sorted(layers))}.")
    return found
