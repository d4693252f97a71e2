# SPDX-License-Identifier: GPL-3.0-or-later
"""Things of a scene by their names, and the evaluated scene."""

from __future__ import annotations

import bpy

from solver_core.errors import SetupError


def find_scene(name: str) -> bpy.types.Scene:
    scene = bpy.data.scenes.get(name)
    if scene is None:
        raise SetupError(f"The scene '{name}' does not exist any more.")
    return scene


def find_object(scene: bpy.types.Scene, name: str, what: str) -> bpy.types.Object:
    """The object of a scene with a name; what: "object", "camera", ... for the sentence."""
    found = scene.objects.get(name)
    if found is None:
        raise SetupError(f"Choose {'an' if what[0] in 'aeiou' else 'a'} {what}: " + _missing(scene, name))
    return found


def _missing(scene: bpy.types.Scene, name: str) -> str:
    return f"there is no object '{name}' in the scene '{scene.name}'." if name else "none is given."


def require_editable(thing: bpy.types.ID) -> None:
    if thing.library is not None:
        raise SetupError(f"'{thing.name}' is linked from another file and cannot be changed: make it local, or an override.")


def evaluate(scene: bpy.types.Scene) -> bpy.types.Depsgraph:
    """The evaluated scene at its current frame."""
    if bpy.context.scene == scene:
        return bpy.context.evaluated_depsgraph_get()
    with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
        return bpy.context.evaluated_depsgraph_get()
