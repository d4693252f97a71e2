# SPDX-License-Identifier: GPL-3.0-or-later
"""Sun and point lamps: direction or position, strength and colour."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from solver_core.errors import SetupError

from .scene import require_editable
from .transform import split_rigid, world_matrix

NAMES = {"SUN": "Sun", "POINT": "Point"}
# What else changes a lamp's strength, and what it is where energy and color say all; Blender 4.2 has none of these.
PLAIN = {"exposure": 0.0, "use_temperature": False, "normalize": True}


def check_lamp(lamp: bpy.types.Object, kind: str) -> None:
    """Raises SetupError if an object is no lamp of this kind or cannot be changed."""
    if lamp.type != "LIGHT" or lamp.data.type != kind:
        raise SetupError(f"'{lamp.name}' is not a {NAMES[kind]} lamp: choose one, or leave the lamp empty for a new one.")
    require_editable(lamp)
    require_editable(lamp.data)


def new_lamp(scene: bpy.types.Scene, kind: str) -> bpy.types.Object:
    name = f"Solved {NAMES[kind]}"
    lamp = bpy.data.objects.new(name, bpy.data.lights.new(name, kind))
    scene.collection.objects.link(lamp)
    return lamp


def remove_lamp(lamp: bpy.types.Object) -> None:
    """Removes an object and its light."""
    bpy.data.lights.remove(lamp.data)


def read_lamp_pose(depsgraph: bpy.types.Depsgraph, lamp: bpy.types.Object) -> np.ndarray:
    """(4, 4) rigid world_from_lamp; a sun shines along its -z."""
    return split_rigid(world_matrix(depsgraph, lamp), lamp.name)[0]


def aim(world_from_lamp: np.ndarray, direction_world: np.ndarray) -> np.ndarray:
    """(4, 4) a lamp turned by the shortest way so that its z points along a unit direction (3,), towards the sun."""
    turn = Vector(world_from_lamp[:3, 2]).rotation_difference(Vector(direction_world)).to_matrix()
    aimed = world_from_lamp.copy()
    aimed[:3, :3] = np.array(turn) @ world_from_lamp[:3, :3]
    return aimed


def energy_and_color(strength: np.ndarray) -> tuple[float, tuple[float, float, float]]:
    """Blender's two numbers for a strength (3,) in linear RGB: the largest, and the others relative to it."""
    energy = float(strength.max())
    return energy, tuple((strength / energy).tolist()) if energy > 0 else (1.0, 1.0, 1.0)


def set_strength(lamp: bpy.types.Object, strength: np.ndarray) -> None:
    """strength: (3,) linear RGB, W/m2 of a sun and W of a point lamp."""
    lamp.data.energy, lamp.data.color = energy_and_color(strength)
    for name, value in PLAIN.items():
        if hasattr(lamp.data, name):
            setattr(lamp.data, name, value)


def read_strength(lamp: bpy.types.Object) -> dict[str, Any]:
    """All that set_strength changes."""
    light = lamp.data
    return {
        "energy": light.energy,
        "color": tuple(light.color),
        **{name: getattr(light, name) for name in PLAIN if hasattr(light, name)},
    }


def write_strength(lamp: bpy.types.Object, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(lamp.data, name, value)
