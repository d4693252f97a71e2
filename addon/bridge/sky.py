# SPDX-License-Identifier: GPL-3.0-or-later
"""The sky that was found as a node group in the world, beside what was there; taking it out leaves the world as it was."""

from __future__ import annotations

from typing import NamedTuple

import bpy
import numpy as np

from solver_core.problems.lighting.sky import HORIZON, FoundSky

from .scene import used_nodes

GROUP = "Solved Sky"  # of the node group, of its node in the world, and of the node that joins it to what was there
JOINED = f"{GROUP} Join"
NEW_WORLD = "Solved World"


class SkyBefore(NamedTuple):
    """What a scene had.  world: its name, "" if there was none.  had_nodes: whether it used them."""

    world: str
    had_nodes: bool


def write_sky(scene: bpy.types.Scene, sky: FoundSky, world_from_camera: np.ndarray, is_added: bool) -> SkyBefore:
    """Shows a sky in a scene's world.

    is_added: whether the light that the world has goes on to shine, too.
    """
    world = scene.world
    before = SkyBefore("" if world is None else world.name, bool(used_nodes(world)))
    if world is None:
        scene.world = world = bpy.data.worlds.new(NEW_WORLD)
    take_sky_out(world)
    if not used_nodes(world):
        world.use_nodes = True
        for node in world.node_tree.nodes:
            if node.type == "BACKGROUND":
                node.inputs["Color"].default_value = (*(world.color if before.world else (0, 0, 0)), 1)
    nodes, links = world.node_tree.nodes, world.node_tree.links
    output = _output(world) or nodes.new("ShaderNodeOutputWorld")
    ours = nodes.new("ShaderNodeGroup")
    ours.name = ours.label = GROUP
    ours.node_tree = _group(sky, world_from_camera[:3, :3])
    joined = nodes.new("ShaderNodeAddShader" if is_added and before.world else "ShaderNodeMixShader")
    joined.name = JOINED
    if joined.type == "MIX_SHADER":
        joined.inputs["Fac"].default_value = 1.0
    there, added = joined.inputs[-2:]
    if output.inputs["Surface"].is_linked:
        links.new(output.inputs["Surface"].links[0].from_socket, there)
    links.new(ours.outputs[0], added)
    links.new(joined.outputs[0], output.inputs["Surface"])
    return before


def remove_sky(scene: bpy.types.Scene, before: SkyBefore) -> None:
    """Leaves a scene as it was before write_sky."""
    if not before.world:
        world, scene.world = scene.world, None
        if world is not None and world.users == 0:
            bpy.data.worlds.remove(world)
    elif (world := bpy.data.worlds.get(before.world)) is not None:
        take_sky_out(world)
        if not before.had_nodes:
            world.use_nodes = False
    group = bpy.data.node_groups.get(GROUP)
    if group is not None and group.users == 0:
        bpy.data.node_groups.remove(group)


def take_sky_out(world: bpy.types.World) -> None:
    """Links what was there before straight to the world's output again."""
    nodes = used_nodes(world)
    joined = next((node for node in nodes if node.name == JOINED), None)
    if joined is not None:
        there, output = joined.inputs[-2], _output(world)
        if there.is_linked and output is not None:
            world.node_tree.links.new(there.links[0].from_socket, output.inputs["Surface"])
    for node in nodes:
        if node.name in (GROUP, JOINED):
            world.node_tree.nodes.remove(node)


def _output(world: bpy.types.World) -> bpy.types.Node | None:
    outputs = [node for node in world.node_tree.nodes if node.type == "OUTPUT_WORLD"]
    return next((node for node in outputs if node.is_active_output), None)


def _group(sky: FoundSky, rotation: np.ndarray) -> bpy.types.NodeTree:
    """A group whose output shines like a sky; rotation: (3, 3) world from camera."""
    old = bpy.data.node_groups.get(GROUP)
    if old is not None and old.users == 0:
        bpy.data.node_groups.remove(old)
    group = bpy.data.node_groups.new(GROUP, "ShaderNodeTree")
    group.interface.new_socket("Background", in_out="OUTPUT", socket_type="NodeSocketShader")
    nodes, links = group.nodes, group.links
    towards = nodes.new("ShaderNodeTexCoord").outputs["Generated"]  # of a world, the direction that is looked in

    def vector_node(operation: str, *inputs: object) -> bpy.types.NodeSocket:
        node = nodes.new("ShaderNodeVectorMath")
        node.operation = operation
        for socket, value in zip((node.inputs[0], node.inputs["Scale" if operation == "SCALE" else 1]), inputs, strict=True):
            if isinstance(value, bpy.types.NodeSocket):
                links.new(value, socket)
            else:
                socket.default_value = value
        return node.outputs["Value" if operation == "DOT_PRODUCT" else "Vector"]

    constant, slope = sky.evenly
    colour = nodes.new("ShaderNodeCombineXYZ")
    for channel, along in enumerate(slope @ rotation.T):
        links.new(vector_node("DOT_PRODUCT", towards, tuple(along)), colour.inputs[channel])
    radiance = vector_node("ADD", colour.outputs[0], tuple(constant))
    if sky.fill is not None:
        above = nodes.new("ShaderNodeMath")  # how far above the horizon, from 0 to 1
        above.operation, above.use_clamp = "MULTIPLY_ADD", True
        links.new(vector_node("DOT_PRODUCT", towards, tuple(rotation @ sky.up)), above.inputs[0])
        above.inputs[1].default_value, above.inputs[2].default_value = 0.5 / HORIZON, 0.5
        over_fill = vector_node("SUBTRACT", radiance, tuple(sky.fill))
        radiance = vector_node("ADD", vector_node("SCALE", over_fill, above.outputs[0]), tuple(sky.fill))
    background = nodes.new("ShaderNodeBackground")
    links.new(radiance, background.inputs["Color"])
    links.new(background.outputs[0], nodes.new("NodeGroupOutput").inputs[0])
    return group
