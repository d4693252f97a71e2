# SPDX-License-Identifier: GPL-3.0-or-later
"""What Cycles knows of a scene: colours and normals of what a camera sees, any material, and the light of any world.

It is rendered in a copy of the scene that shares its objects, so nothing of the user's is changed.
"""

from __future__ import annotations

import contextlib
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from solver_core.errors import SetupError
from solver_core.render.gbuffer import Passes

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
SAMPLE_TYPES = {0: "<u4", 1: "<f2", 2: "<f4"}
MULTIPART = 0x10  # flag of a file's second byte of flags, as Blender writes it from 5.0 on
LONGEST_NAMES = 600  # bytes of an attribute's name and type
ROWS_OF_CODEC = {0: 1, 3: 16}  # rows in a block: without compression, and ZIP


def cycles_passes(
    scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object, size: tuple[int, int]
) -> Passes:
    """Passes of what a camera sees; NaN where it mirrors, is seen through or shines.

    size: width and height of the passes and of the image, whose aspect is that of renders.  Raises SetupError where Cycles
    cannot render.
    """
    shrunk = min(1.0, MAX_SIZE / max(size))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "passes.exr"
        with _stage(scene, depsgraph, camera, [max(1, round(shrunk * side)) for side in size]) as stage:
            _render(stage, path, "the colors of the surfaces")
        layers = read_layers(path.read_bytes())
    found = {name: _named(layers, names) for name, names in NAMES.items()}
    rotation = np.array(camera.evaluated_get(depsgraph).matrix_world)[:3, :3]
    rotation = rotation / np.linalg.norm(rotation, axis=0)
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


def world_panorama(world: bpy.types.World, world_from_camera: np.ndarray) -> np.ndarray:
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
            _render(stage, path, "the light of the world")
            return _named(read_layers(path.read_bytes()), ("Combined",))[..., :3]
    finally:
        bpy.data.scenes.remove(stage)
        bpy.data.cameras.remove(lens)


def _render(stage: bpy.types.Scene, path: Path, what: str) -> None:
    """Renders a scene into a file.  Raises SetupError."""
    stage.render.filepath = str(path)
    with _kept_render_result():
        try:
            bpy.ops.render.render(write_still=True, scene=stage.name)
        except RuntimeError as error:
            raise SetupError(f"Cycles could not render {what}: {error}") from error
    if not path.is_file():
        raise SetupError(f"Cycles did not render {what}.")


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
        slots.active_index = before


def _named(layers: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """(H, W, C) of the pass with one of these names."""
    for layer, values in layers.items():
        if layer.rpartition(".")[2] in names:
            return values
    raise SetupError(f"Cycles gave no pass {names[-1]}; it gave {', '.join(sorted(layers))}.")


def read_layers(content: bytes) -> dict[str, np.ndarray]:
    """Layers (H, W, C) float32 of an EXR file as Blender writes it, in lines, plain or ZIP.  Channels in the order RGB, XYZ.

    Blender itself does not give scripts the layers of such a file.
    """
    has_parts = bool(content[5] & MULTIPART)
    parts, at = [], 8
    while True:
        part, at = _read_header(content, at)
        parts.append(part)
        if not has_parts or not content[at]:
            break
    at += has_parts
    planes: dict[str, np.ndarray] = {}
    for part in parts:
        planes |= _read_planes(content, part, at, 4 * has_parts)  # a block of one part among others begins with its number
        at += 8 * part.num_blocks
    layers: dict[str, list[str]] = {}
    for name in planes:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    return {
        layer: np.stack([planes[name] for name in sorted(names, key=lambda one: "RGBAXYZV".find(one[-1]))], axis=-1)
        for layer, names in layers.items()
    }


class _Part(NamedTuple):
    """channels: names and types.  top: number of the first row.  rows: in a block."""

    channels: list[tuple[str, str]]
    top: int
    height: int
    width: int
    rows: int

    @property
    def num_blocks(self) -> int:
        return -(-self.height // self.rows)


def _read_header(content: bytes, at: int) -> tuple[_Part, int]:
    """The header of a part, and where it ends."""
    attributes = {}
    while content[at]:
        name, kind, _ = content[at : at + LONGEST_NAMES].split(b"\0", 2)
        at += len(name) + len(kind) + 2
        size = int.from_bytes(content[at : at + 4], "little")
        attributes[name.decode()] = content[at + 4 : at + 4 + size]
        at += 4 + size
    channels, listed, place = [], attributes["channels"], 0
    while listed[place]:
        end = listed.index(b"\0", place)
        channels.append((listed[place:end].decode(), SAMPLE_TYPES[int.from_bytes(listed[end + 1 : end + 5], "little")]))
        place = end + 17  # after the type come four bytes of flags and two numbers, the steps between samples
    left, top, right, bottom = np.frombuffer(attributes["dataWindow"], "<i4").tolist()
    rows = ROWS_OF_CODEC[attributes["compression"][0]]
    return _Part(channels, top, bottom - top + 1, right - left + 1, rows), at + 1


def _read_planes(content: bytes, part: _Part, table: int, skipped: int) -> dict[str, np.ndarray]:
    """(H, W) of each channel.

    table: where the offsets of the blocks are.  skipped: bytes before what a block says of itself.
    """
    planes = {name: np.empty((part.height, part.width), np.float32) for name, _ in part.channels}
    row_bytes = sum(np.dtype(kind).itemsize for _, kind in part.channels) * part.width
    for offset in np.frombuffer(content, "<u8", part.num_blocks, table).tolist():
        begin = offset + skipped
        first, size = np.frombuffer(content, "<i4", 2, begin).tolist()
        row = first - part.top
        rows = min(part.rows, part.height - row)
        block = content[begin + 8 : begin + 8 + size]
        plain = np.frombuffer(block, np.uint8) if size == rows * row_bytes else _unzipped(block)
        lines, at = plain.reshape(rows, row_bytes), 0
        for name, kind in part.channels:
            end = at + np.dtype(kind).itemsize * part.width
            planes[name][row : row + rows] = np.ascontiguousarray(lines[:, at:end]).view(kind)
            at = end
    return planes


def _unzipped(block: bytes) -> np.ndarray:
    """Bytes of a ZIP block: EXR stores differences, first those of the even bytes and then those of the odd ones."""
    stored = np.frombuffer(zlib.decompress(block), np.uint8).astype(np.int64)
    stored[1:] -= 128
    stored = (np.cumsum(stored) & 255).astype(np.uint8)
    half = (len(stored) + 1) // 2
    plain = np.empty_like(stored)
    plain[::2], plain[1::2] = stored[:half], stored[half:]
    return plain
