# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of movies as arrays.

Blender gives scripts the pixels of that frame of a movie which was drawn or computed last.  So nodes of geometry, which may ask
for any frame, look at one point of it first; nothing is rendered, and no handler of a render is called.  To open a movie takes
far longer than to go on to its next frame, so what reads a range keeps it open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import bpy
import numpy as np

from solver_core.errors import ObservationError

from .scene import evaluate

NAME = "deep feedback movie"  # of all that is made to read one, and of the property that holds its path
SPACE = "color space"
TEXTURE = "GeometryNodeImageTexture"
MOST_CACHED = 24  # frames that Blender may keep of a movie: 41 MB each at 1080p
_is_kept = False


@contextlib.contextmanager
def kept_open() -> Iterator[None]:
    """Movies that are read as long as it lasts stay open until `close` is called."""
    global _is_kept
    _is_kept = True
    try:
        yield
    finally:
        _is_kept = False


def close() -> None:
    """Closes the movies that are open, and removes all that was made to read them."""
    for blocks in (bpy.data.scenes, bpy.data.meshes, bpy.data.node_groups, bpy.data.images):  # an object goes with its mesh
        for block in [one for one in blocks if NAME in one]:
            blocks.remove(block)


def read_frame(path: str, frame: int) -> tuple[np.ndarray, str]:
    """A frame of a movie, counted from 1: (H, W, 4) float32, row 0 on top, and the color space of its colors.

    Raises ObservationError.
    """
    try:
        movie = next((one for one in bpy.data.images if one.get(NAME) == path), None) or _opened(path)
        if not 1 <= frame <= movie.frame_duration:
            raise ObservationError(f"The movie '{movie.name}' has {movie.frame_duration} frames and none for frame {frame}.")
        _look_at(movie, frame)
        width, height = movie.size
        rgba = np.empty(4 * width * height, np.float32)
        movie.pixels.foreach_get(rgba)
        return rgba.reshape(height, width, 4)[::-1], movie[SPACE]
    finally:
        if not _is_kept:
            close()


def _opened(path: str) -> bpy.types.Image:
    """A movie, and a scene with a point that has the color of it."""
    try:
        movie = bpy.data.images.load(path)
    except RuntimeError as error:
        raise ObservationError(f"The movie '{path}' cannot be read.") from error
    movie[NAME], movie[SPACE] = path, "Linear Rec.709"
    if movie.source != "MOVIE" or not all(movie.size):
        raise ObservationError(f"The movie '{path}' cannot be read.")
    if movie.colorspace_settings.name == "sRGB":  # its own numbers then, and not light that had to be turned back
        movie.colorspace_settings.name, movie[SPACE] = "Non-Color", "sRGB"
    points = bpy.data.objects.new(NAME, bpy.data.meshes.new(NAME))
    nodes = _sampling_nodes(movie)
    points.modifiers.new(NAME, "NODES").node_group = nodes
    scene = bpy.data.scenes.new(NAME)
    scene.collection.objects.link(points)
    for block in (points.data, nodes, scene):
        block[NAME] = path
    return movie


def _look_at(movie: bpy.types.Image, frame: int) -> None:
    """Makes a frame the one that scripts see."""
    scene = next(one for one in bpy.data.scenes if one.get(NAME) == movie[NAME])
    (points,) = scene.collection.objects
    (texture,) = (node for node in points.modifiers[NAME].node_group.nodes if node.bl_idname == TEXTURE)
    if frame % MOST_CACHED == 0:
        movie.buffers_free()
    texture.inputs["Frame"].default_value = frame
    points.evaluated_get(evaluate(scene))


def _sampling_nodes(movie: bpy.types.Image) -> bpy.types.NodeTree:
    """One point with a color of the movie as an attribute."""
    tree = bpy.data.node_groups.new(NAME, "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    texture, point, store, output = (
        tree.nodes.new(kind) for kind in (TEXTURE, "GeometryNodeMeshLine", "GeometryNodeStoreNamedAttribute", "NodeGroupOutput")
    )
    texture.inputs["Image"].default_value = movie
    point.inputs["Count"].default_value = 1
    store.data_type, store.domain = "FLOAT_COLOR", "POINT"
    store.inputs["Name"].default_value = "color"
    tree.links.new(point.outputs[0], store.inputs["Geometry"])
    tree.links.new(texture.outputs["Color"], next(one for one in store.inputs if one.name == "Value" and one.enabled))
    tree.links.new(store.outputs[0], output.inputs[0])
    return tree
