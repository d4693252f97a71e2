# SPDX-License-Identifier: GPL-3.0-or-later
"""Sun and point lights: direction or position, strength and colour; and all lights as known ones."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Collection, Generator, Iterator
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from solver_core.errors import SetupError
from solver_core.problems.lighting.known import KnownLight
from solver_core.problems.lighting.lights import LIGHTS

from .passes import Render, world_panorama
from .scene import evaluate, is_animated, rendered_objects, require_editable, used_nodes
from .sky import take_sky_out
from .transform import float64, read_channels, split_rigid, world_matrix

# What else changes a light's strength, and what it is where energy and color say all; Blender 4.2 has none of these.
PLAIN = {"exposure": 0.0, "use_temperature": False, "normalize": True}
KEPT = (*PLAIN, "angle")  # what is put back with a light's strength; suns have an angle
MARK = "deep_feedback_light"  # the custom property of a light that a solve made: what it looked like then
FIRST_MARK = "deep_feedback_first_light"  # of one that was found beside another: the name of that


def lights_of(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    return [thing for thing in scene.objects if thing.type == "LIGHT"]


def is_solved_light(thing: bpy.types.Object) -> bool:
    """Whether an object is a light of a kind that is solved."""
    return thing.type == "LIGHT" and thing.data.type.lower() in LIGHTS


def check_light(light: bpy.types.Object, kind: str) -> None:
    """Raises SetupError if an object is no light of this kind, by its name in LIGHTS, or cannot be changed."""
    if light.type != "LIGHT" or light.data.type != kind.upper():
        raise SetupError(f"'{light.name}' is not a {kind.title()} light: choose one, or leave the light empty for a new one.")
    require_editable(light)
    require_editable(light.data)


def new_light(scene: bpy.types.Scene, kind: str) -> bpy.types.Object:
    """A light that is known as made by a solve, in this file and after it was opened again."""
    name = f"Solved {kind.title()}"
    light = bpy.data.objects.new(name, bpy.data.lights.new(name, kind.upper()))
    scene.collection.objects.link(light)
    light[MARK] = _look(light)
    return light


def is_of_solve(light: bpy.types.Object) -> bool:
    """Whether a solve made a light, whatever was done with it since."""
    return MARK in light


def is_as_made(light: bpy.types.Object) -> bool:
    """Whether a solve made a light and nobody has changed it since, or hung anything on it; keyframes are no change."""
    if MARK not in light or light.library is not None or light.override_library is not None:
        return False
    return light[MARK] == _look(light) and not light.children


@contextlib.contextmanager
def staying_as_made(light: bpy.types.Object) -> Iterator[None]:
    """A light that is as a solve made it is so after what is done to it here."""
    was_as_made = is_as_made(light)
    yield
    if was_as_made:
        light[MARK] = _look(light)


def remove_as_made(light: bpy.types.Object) -> bool:
    """Removes a light if it is as a solve made it and has no keyframes; whether it did."""
    can_go = is_as_made(light) and not is_animated(light) and not is_animated(light.data)
    if can_go:
        remove_light(light)
    return can_go


def _look(light: bpy.types.Object) -> str:
    """What tells whether a user made a light his own."""
    data, parent = light.data, light.parent
    held = [None if parent is None else parent.name, *(constraint.type for constraint in light.constraints)]
    nodes = len(used_nodes(data))
    return json.dumps([light.name, data.name, data.type, held, nodes, read_channels(light), read_strength(light)])


def remove_light(light: bpy.types.Object) -> None:
    """Removes an object, and its light unless others have it as well."""
    data = light.data
    bpy.data.objects.remove(light)
    if data.users == 0:
        bpy.data.lights.remove(data)


def make_single_user(light: bpy.types.Object) -> list[str]:
    """Gives an object a copy of its light, if other objects have it as well; the names of those."""
    data = light.data
    others = [thing.name for thing in bpy.data.objects if thing.data == data and thing != light] if data.users > 1 else []
    if others:
        light.data = data.copy()
    return others


def share_again(light: bpy.types.Object, shared: bpy.types.Light) -> None:
    """Takes make_single_user back."""
    single, light.data = light.data, shared
    if single.users == 0:
        bpy.data.lights.remove(single)


def read_light_pose(depsgraph: bpy.types.Depsgraph, light: bpy.types.Object) -> np.ndarray:
    """(4, 4) rigid world_from_light; a sun shines along its -z."""
    return split_rigid(world_matrix(depsgraph, light), light.name)[0]


def aim(world_from_light: np.ndarray, direction_world: np.ndarray) -> np.ndarray:
    """(4, 4) a light turned by the shortest way so that its z points along a unit direction (3,), towards the sun."""
    turn = Vector(world_from_light[:3, 2]).rotation_difference(Vector(direction_world)).to_matrix()
    aimed = world_from_light.copy()
    aimed[:3, :3] = float64(turn) @ world_from_light[:3, :3]
    return aimed


def energy_and_color(strength: np.ndarray) -> tuple[float, tuple[float, float, float]]:
    """Blender's two numbers for a strength (3,) in linear RGB: the largest, and the others relative to it."""
    energy = float(strength.max())
    return energy, tuple((strength / energy).tolist()) if energy > 0 else (1.0, 1.0, 1.0)


def set_strength(light: bpy.types.Object, strength: np.ndarray) -> None:
    """strength: (3,) linear RGB, W/m2 of a sun and W of a point light."""
    light.data.energy, light.data.color = energy_and_color(strength)
    for name, value in PLAIN.items():
        if hasattr(light.data, name):
            setattr(light.data, name, value)


def evaluated_strength(depsgraph: bpy.types.Depsgraph, light: bpy.types.Object) -> np.ndarray:
    """(3,) as set_strength takes it, of the evaluated light."""
    data = light.evaluated_get(depsgraph).data
    return data.energy * np.array(data.color)


def read_strength(light: bpy.types.Object) -> dict[str, Any]:
    """All that set_strength changes, and how large a sun is."""
    data = light.data
    return {
        "energy": data.energy,
        "color": tuple(data.color),
        **{name: getattr(data, name) for name in KEPT if hasattr(data, name)},
    }


def write_strength(light: bpy.types.Object, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if hasattr(light.data, name):  # a light that is no sun any more has no angle
            setattr(light.data, name, value)


def read_known_lights(
    depsgraph: bpy.types.Depsgraph, world_from_camera: np.ndarray, left_out: Collection[str]
) -> list[KnownLight]:
    """All lights that renders show but those of some names, in the frame of a camera (4, 4)."""
    shown = rendered_objects(depsgraph.view_layer)
    lights = _visible_lights(depsgraph, shown, world_from_camera, left_out)
    seen = {instance.object.original for instance in depsgraph.object_instances if not instance.is_instance}
    hidden = [one for one in lights_of(depsgraph.scene) if one in shown - seen and one.name not in left_out]
    if hidden:
        with _shown_in_viewports(hidden, depsgraph.scene) as others:
            lights += _visible_lights(others, shown, world_from_camera, left_out)
    return lights


@contextlib.contextmanager
def _shown_in_viewports(things: list[bpy.types.Object], scene: bpy.types.Scene) -> Iterator[bpy.types.Depsgraph]:
    """Objects that viewports hide, at the frame of a scene, in one of their own."""
    stage = bpy.data.scenes.new("deep feedback hidden lights")
    hidden = [thing for thing in things if thing.hide_viewport]
    try:
        stage.frame_current, stage.frame_subframe = scene.frame_current, scene.frame_subframe
        for thing in things:
            stage.collection.objects.link(thing)
        for thing in hidden:
            thing.hide_viewport = False
        yield evaluate(stage)
    finally:
        for thing in hidden:
            thing.hide_viewport = True
        bpy.data.scenes.remove(stage)


def _visible_lights(
    depsgraph: bpy.types.Depsgraph,
    shown: Collection[bpy.types.Object],
    world_from_camera: np.ndarray,
    left_out: Collection[str],
) -> list[KnownLight]:
    lights = []
    for instance in depsgraph.object_instances:
        light = instance.object
        owner = (instance.parent if instance.is_instance else light).original
        if light.type != "LIGHT" or light.original.name in left_out or owner not in shown or light.original.hide_render:
            continue
        strength = _whole_strength(light.data)
        if strength.any():
            camera_from_light = np.linalg.solve(world_from_camera, float64(instance.matrix_world))
            place = _place(light.data, camera_from_light)
            if "sides" in place and not np.cross(*place["sides"]).any():
                continue  # Cycles leaves out areas that have none
            lights.append(
                KnownLight.checked({"kind": light.data.type.lower(), "strength": strength, "name": owner.name, **place})
            )
    return lights


def read_world(
    world: bpy.types.World | None, world_from_camera: np.ndarray, without_sky: bool = False
) -> Generator[Render, None, list[KnownLight]]:
    """The light of a world, nothing if it is black, in the frame of a camera (4, 4).

    Where nodes make it, such as a picture, Cycles renders it (see passes.py).  without_sky: leaves out the sky that an earlier
    solve set.  Raises SetupError if the light cannot be told.
    """
    if world is None:
        return []
    lighting = world.copy()
    try:
        if without_sky:
            take_sky_out(lighting)
        color = _even_color(lighting)
        if color is None:
            _light_surfaces(lighting)
            image = yield from world_panorama(lighting, world_from_camera)
            light = {"kind": "environment", "strength": 1.0, "image": image, "name": world.name}
            return [KnownLight.checked(light)] if image.any() else []
        return [KnownLight.checked({"kind": "sky", "strength": color, "name": world.name})] if color.any() else []
    finally:
        with contextlib.suppress(ReferenceError):  # another file was opened
            bpy.data.worlds.remove(lighting)


def _even_color(world: bpy.types.World) -> np.ndarray | None:
    """(3,) radiance of a world that is alike all around, None where nodes make it."""
    if not used_nodes(world):
        return np.array(world.color)
    output = world.node_tree.get_output_node("CYCLES")
    if output is None or not output.inputs["Surface"].is_linked:
        return np.zeros(3)
    background = output.inputs["Surface"].links[0].from_node
    if background.type != "BACKGROUND" or background.mute or any(socket.is_linked for socket in background.inputs):
        return None
    return np.array(background.inputs["Color"].default_value[:3]) * background.inputs["Strength"].default_value


def _light_surfaces(world: bpy.types.World) -> None:
    """Makes a world look as it lights surfaces, where its nodes tell what the camera sees from that.  Raises SetupError."""
    if any(_has_light_path(node.node_tree) for node in used_nodes(world) if node.type == "GROUP"):
        raise SetupError("A node group of the world has a Light Path, which is not read.")
    nodes, links = world.node_tree.nodes, world.node_tree.links
    for path in [node for node in nodes if node.type == "LIGHT_PATH"]:
        for name, is_so in (("Is Camera Ray", 0.0), ("Is Diffuse Ray", 1.0)):
            value = nodes.new("ShaderNodeValue").outputs[0]
            value.default_value = is_so
            for link in list(path.outputs[name].links):
                links.new(value, link.to_socket)


def _has_light_path(tree: bpy.types.NodeTree | None) -> bool:
    nodes = () if tree is None else tree.nodes
    return any(node.type == "LIGHT_PATH" or (node.type == "GROUP" and _has_light_path(node.node_tree)) for node in nodes)


def _whole_strength(data: bpy.types.Light) -> np.ndarray:
    """(3,) of evaluated light data, with all that changes it."""
    strength = data.energy * np.array(data.color) * 2.0 ** getattr(data, "exposure", 0.0)
    if getattr(data, "use_temperature", False):
        strength = strength * np.array(data.temperature_color)
    return strength


def _place(data: bpy.types.Light, camera_from_light: np.ndarray) -> dict[str, Any]:
    """Where a light is and shines, as KnownLight has it."""
    axes, position = camera_from_light[:3, :3], camera_from_light[:3, 3]
    if data.type == "SUN":
        return {"direction": axes[:, 2], "angle_deg": math.degrees(data.angle)}
    if data.type == "SPOT":
        cone = {"cone_deg": math.degrees(data.spot_size), "blend": data.spot_blend}
        return {"position": position, "aim": -axes[:, 2], **cone}
    if data.type == "AREA":
        height = data.size_y if data.shape in ("RECTANGLE", "ELLIPSE") else data.size
        sides = axes[:, :2].T * [[data.size], [height]]
        return {"position": position, "aim": -axes[:, 2], "sides": sides}
    return {"position": position}
