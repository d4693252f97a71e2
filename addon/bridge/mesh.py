# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluated surfaces of objects as triangles."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

import bpy
import numpy as np

from solver_core.errors import SetupError

from .transform import float64, split_rigid, world_matrix


class Surface(NamedTuple):
    """Triangles in the world.  vertices_world: (V, 3) float64.  faces: (F, 3) int32.

    shading: how it looks, None where that was not asked for.
    """

    vertices_world: np.ndarray
    faces: np.ndarray
    shading: Shading | None


class Shading(NamedTuple):
    """corner_normal_world: (F, 3, 3), zeros where a face is flat.  corner_uv: (F, 3, 2), None without a UV map.

    slot: (F,) of the face's material.  materials: names by slot, "" for an empty one.
    """

    corner_normal_world: np.ndarray
    corner_uv: np.ndarray | None
    slot: np.ndarray
    materials: tuple[str, ...]


class RigidMesh(NamedTuple):
    """A mesh whose scale is in its vertices: (V, 3) in a frame that world_from_object (4, 4) places rigidly."""

    vertices: np.ndarray
    faces: np.ndarray
    world_from_object: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """(3,) middle of the bounding box."""
        return (self.vertices.min(axis=0) + self.vertices.max(axis=0)) / 2


def read_rigid_mesh(depsgraph: bpy.types.Depsgraph, thing: bpy.types.Object, parts: Collection[str] | None = None) -> RigidMesh:
    """All surfaces of an object, modifiers and instances included.

    parts: names of the objects whose surfaces count instead of its own.  Raises SetupError if there are none.
    """
    names = {thing.name} if parts is None else parts
    surfaces = [surface for _, surface in read_surfaces(depsgraph, lambda owner: owner.name in names)]
    if not surfaces:
        raise SetupError(f"'{thing.name}' has no faces that are visible: show it, or choose an object with a surface.")
    rigid, _ = split_rigid(world_matrix(depsgraph, thing), thing.name)
    vertices_world = np.concatenate([surface.vertices_world for surface in surfaces])
    first = np.cumsum([0, *(len(surface.vertices_world) for surface in surfaces[:-1])])
    faces = np.concatenate([surface.faces + offset for surface, offset in zip(surfaces, first, strict=True)])
    return RigidMesh((vertices_world - rigid[:3, 3]) @ rigid[:3, :3], faces, rigid)


def still_copy(depsgraph: bpy.types.Depsgraph, thing: bpy.types.Object) -> bpy.types.Object:
    """A new object in no collection, with the shape that an object has now and nothing that moves or changes it."""
    if thing.type in {"EMPTY", "CAMERA"}:  # an instance, or what has no shape
        copy = thing.copy()
        copy.animation_data_clear()
        copy.constraints.clear()
        copy.parent = None
        return copy
    shape = bpy.data.meshes.new_from_object(thing.evaluated_get(depsgraph), depsgraph=depsgraph)
    return bpy.data.objects.new(thing.name, shape)


@contextlib.contextmanager
def as_rendered(things: Iterable[bpy.types.Object]) -> Iterator[None]:
    """Gives objects, as long as it lasts, the modifiers that renders show instead of those that viewports show."""
    modifiers = [one for thing in things for one in thing.modifiers if one.show_viewport != one.show_render]
    for modifier in modifiers:
        modifier.show_viewport = modifier.show_render
    try:
        yield
    finally:
        for modifier in modifiers:
            modifier.show_viewport = not modifier.show_viewport


def read_surfaces(
    depsgraph: bpy.types.Depsgraph,
    is_wanted: Callable[[bpy.types.Object], bool] = lambda owner: True,
    with_shading: bool = False,
) -> Iterator[tuple[str, Surface]]:
    """Every visible surface with the name of the object it belongs to: itself or, for an instance, what instances it."""
    for name, evaluated, world_from_mesh in _meshes(depsgraph, is_wanted):
        mesh = evaluated.data
        mesh.calc_loop_triangles()
        if mesh.loop_triangles:
            corners = _read_corners(mesh)
            shading = _read_shading(evaluated, world_from_mesh, corners) if with_shading else None
            yield name, Surface(_vertices_world(mesh, world_from_mesh), _read_corner_vertices(mesh)[corners], shading)


def read_vertices(
    depsgraph: bpy.types.Depsgraph, is_wanted: Callable[[bpy.types.Object], bool]
) -> Iterator[tuple[str, np.ndarray]]:
    """As read_surfaces, the vertices (V, 3) in the world only: of a million faces, they take a tenth of the time."""
    for name, evaluated, world_from_mesh in _meshes(depsgraph, is_wanted):
        yield name, _vertices_world(evaluated.data, world_from_mesh)


def _meshes(
    depsgraph: bpy.types.Depsgraph, is_wanted: Callable[[bpy.types.Object], bool]
) -> Iterator[tuple[str, bpy.types.Object, np.ndarray]]:
    """Every visible evaluated object that is a mesh, with the name of its owner and its (4, 4) world_from_mesh."""
    for instance in depsgraph.object_instances:
        if not instance.show_self and not instance.is_instance:
            continue
        owner = (instance.parent if instance.is_instance else instance.object).original
        if is_wanted(owner) and isinstance(instance.object.data, bpy.types.Mesh):
            yield owner.name, instance.object, float64(instance.matrix_world)


def _vertices_world(mesh: bpy.types.Mesh, world_from_mesh: np.ndarray) -> np.ndarray:
    vertices = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", vertices)
    return vertices.reshape(-1, 3) @ world_from_mesh[:3, :3].T + world_from_mesh[:3, 3]


def _read_corners(mesh: bpy.types.Mesh) -> np.ndarray:
    """(F, 3) int32: the corners of the mesh that make its triangles."""
    if len(mesh.loops) == 3 * len(mesh.loop_triangles):  # all faces are triangles, of which Blender is slow to tell the corners
        return np.arange(len(mesh.loops), dtype=np.int32).reshape(-1, 3)
    corners = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("loops", corners)
    return corners.reshape(-1, 3)


def _read_corner_vertices(mesh: bpy.types.Mesh) -> np.ndarray:
    """(C,) int32: the vertex at each corner, from the attribute that Blender copies in one piece."""
    vertices = np.empty(len(mesh.loops), np.int32)
    mesh.attributes[".corner_vert"].data.foreach_get("value", vertices)
    return vertices


def _read_shading(evaluated: bpy.types.Object, world_from_mesh: np.ndarray, corners: np.ndarray) -> Shading:
    mesh = evaluated.data
    normal = np.empty(3 * len(mesh.loops), np.float32)
    mesh.corner_normals.foreach_get("vector", normal)
    normal_world = normal.reshape(-1, 3) @ _normal_matrix(world_from_mesh[:3, :3]).T
    length = np.linalg.norm(normal_world, axis=1, keepdims=True)
    normal_world /= np.where(length > 0, length, 1)
    corner_normal_world = np.where(_is_smooth(mesh)[:, None, None], normal_world[corners], 0)
    slot = np.empty(len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("material_index", slot)
    materials = tuple(slot.material.name if slot.material else "" for slot in evaluated.material_slots)
    return Shading(corner_normal_world, _read_uv(mesh, corners), slot, materials)


def _read_uv(mesh: bpy.types.Mesh, corners: np.ndarray) -> np.ndarray | None:
    """(F, 3, 2) of the active UV map at corners (F, 3)."""
    layer = mesh.uv_layers.active
    if layer is None:
        return None
    uv = np.empty(2 * len(mesh.loops), np.float32)
    layer.uv.foreach_get("vector", uv)
    return uv.reshape(-1, 2)[corners]


def _is_smooth(mesh: bpy.types.Mesh) -> np.ndarray:
    """(F,) bool of the triangles.  Renders shade flat faces triangle by triangle, whatever the face's normal."""
    polygon = np.empty(len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("polygon_index", polygon)
    is_smooth = np.empty(len(mesh.polygons), bool)
    mesh.polygons.foreach_get("use_smooth", is_smooth)
    return is_smooth[polygon]


def _normal_matrix(matrix: np.ndarray) -> np.ndarray:
    """(3, 3) what turns normals where a (3, 3) matrix moves points: its cofactors, which exist if it flattens, too."""
    return np.stack([np.cross(matrix[(row + 1) % 3], matrix[(row + 2) % 3]) for row in range(3)])
