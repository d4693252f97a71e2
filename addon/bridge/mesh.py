# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluated surfaces of objects as triangles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import bpy
import numpy as np

from solver_core.errors import SetupError

from .transform import split_rigid, world_matrix


class Surface(NamedTuple):
    """Triangles in the world.  vertices_world: (V, 3) float64.  faces: (F, 3) int32.  material: (F,) index of a slot.

    materials: names by slot, "" for an empty one.
    """

    vertices_world: np.ndarray
    faces: np.ndarray
    material: np.ndarray
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


def read_rigid_mesh(depsgraph: bpy.types.Depsgraph, thing: bpy.types.Object) -> RigidMesh:
    """All surfaces of an object, modifiers and instances included.  Raises SetupError if it has none."""
    surfaces = [surface for _, surface in read_surfaces(depsgraph, lambda owner: owner.name == thing.name)]
    if not surfaces:
        raise SetupError(f"'{thing.name}' has no faces that are visible: show it, or choose an object with a surface.")
    rigid, _ = split_rigid(world_matrix(depsgraph, thing), thing.name)
    vertices_world = np.concatenate([surface.vertices_world for surface in surfaces])
    first = np.cumsum([0, *(len(surface.vertices_world) for surface in surfaces[:-1])])
    faces = np.concatenate([surface.faces + offset for surface, offset in zip(surfaces, first, strict=True)])
    return RigidMesh((vertices_world - rigid[:3, 3]) @ rigid[:3, :3], faces, rigid)


def read_surfaces(
    depsgraph: bpy.types.Depsgraph, is_wanted: Callable[[bpy.types.Object], bool] = lambda owner: True
) -> Iterator[tuple[str, Surface]]:
    """Every visible surface with the name of the object it belongs to: itself or, for an instance, what instances it."""
    for instance in depsgraph.object_instances:
        if not instance.show_self and not instance.is_instance:
            continue
        owner = (instance.parent if instance.is_instance else instance.object).original
        surface = _read_surface(instance.object, np.array(instance.matrix_world)) if is_wanted(owner) else None
        if surface is not None:
            yield owner.name, surface


def _read_surface(evaluated: bpy.types.Object, world_from_mesh: np.ndarray) -> Surface | None:
    """Triangles of one evaluated object, None if it has no faces."""
    mesh = evaluated.data
    if not isinstance(mesh, bpy.types.Mesh):
        return None
    mesh.calc_loop_triangles()
    if not mesh.loop_triangles:
        return None
    vertices = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", vertices)
    faces = np.empty(3 * len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("vertices", faces)
    material = np.empty(len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("material_index", material)
    vertices_world = vertices.reshape(-1, 3) @ world_from_mesh[:3, :3].T + world_from_mesh[:3, 3]
    materials = tuple(slot.material.name if slot.material else "" for slot in evaluated.material_slots)
    return Surface(vertices_world, faces.reshape(-1, 3), material, materials)
