# SPDX-License-Identifier: GPL-3.0-or-later
"""The sky that was found as a node group in the world, beside what was there; taking it out leaves the world as it was."""

from __future__ import annotations

import bpy
import numpy as np

from solver_core.problems.lighting.sky import HORIZON, FoundSky

from .scene import find_by_uid, used_nodes, uses_nodes

GROUP = "Solved Sky"  # of the node group, of its node in the world, and of the node that joins it to what was there
JOINED = f"{GROUP} Join"
NEW_WORLD = "Solved World"
MARK = "deep_feedback_sky"  # the custom property by which our nodes are known: names may be the user's as well
WORLD_MARK = "deep_feedback_world"  # of a world that was made for the sky: what it holds beside it


def write_sky(scene: bpy.types.Scene, sky: FoundSky, world_from_camera: np.ndarray, is_added: bool) -> int:
    """Shows a sky in a scene's world; the uid of that.

    is_added: whether the light that the world has goes on to shine, too.
    """
    world, is_new = scene.world, scene.world is None
    if world is None:
        scene.world = world = bpy.data.worlds.new(NEW_WORLD)
    take_sky_out(world)
    had_nodes = uses_nodes(world)
    if not had_nodes:
        world.use_nodes = True
    if is_new or not had_nodes:
        for node in world.node_tree.nodes:
            if node.type == "BACKGROUND":
                node.inputs["Color"].default_value = (*((0, 0, 0) if is_new else world.color), 1)
    nodes, links = world.node_tree.nodes, world.node_tree.links
    if is_new:
        world[WORLD_MARK] = _content(world)
    output = _output(world)
    if output is None:
        output = nodes.new("ShaderNodeOutputWorld")
        output[MARK] = True
    ours = nodes.new("ShaderNodeGroup")
    ours.name = ours.label = GROUP
    ours.node_tree = _group(sky, world_from_camera[:3, :3])
    joined = nodes.new("ShaderNodeAddShader" if is_added and not is_new else "ShaderNodeMixShader")
    joined.name = JOINED
    ours[MARK], joined[MARK] = had_nodes, True
    if joined.type == "MIX_SHADER":
        joined.inputs["Fac"].default_value = 1.0
    there, added = joined.inputs[-2:]
    if output.inputs["Surface"].is_linked:
        links.new(output.inputs["Surface"].links[0].from_socket, there)
    links.new(ours.outputs[0], added)
    links.new(joined.outputs[0], output.inputs["Surface"])
    return world.session_uid


def find_sky(scene: bpy.types.Scene) -> int | None:
    """The uid of a scene's world if a solve shows a sky in it."""
    return scene.world.session_uid if any(MARK in node for node in used_nodes(scene.world)) else None


def remove_sky(scene: bpy.types.Scene, uid: int) -> str:
    """Leaves a scene as it was before write_sky, which gave uid; a world that the user gave it since then stays.

    So does one that was made for the sky, if the user changed it; its name, else "".
    """
    world = find_by_uid(bpy.data.worlds, uid)
    if world is None:
        return ""
    take_sky_out(world)
    if WORLD_MARK not in world:
        return ""
    if _content(world) != world[WORLD_MARK]:
        return world.name
    if scene.world == world:
        scene.world = None
    if world.users == 0:
        bpy.data.worlds.remove(world)
    return ""


def take_sky_out(world: bpy.types.World) -> None:
    """Links what was there before straight to where the sky was linked, and nothing else."""
    ours = [node for node in used_nodes(world) if MARK in node]
    groups, outputs = ([node for node in ours if node.type == kind] for kind in ("GROUP", "OUTPUT_WORLD"))
    for joined in [node for node in ours if node not in (*groups, *outputs)]:
        there = joined.inputs[-2]
        for link in list(joined.outputs[0].links) if there.is_linked else ():
            world.node_tree.links.new(there.links[0].from_socket, link.to_socket)
        world.node_tree.nodes.remove(joined)
    for output in outputs:
        if not any(socket.is_linked for socket in output.inputs):
            world.node_tree.nodes.remove(output)
    for node in groups:
        group, had_nodes = node.node_tree, node[MARK]
        world.node_tree.nodes.remove(node)
        if group is not None and group.users == 0:
            bpy.data.node_groups.remove(group)
        if not had_nodes:
            world.use_nodes = False


def _content(world: bpy.types.World) -> str:
    """What tells whether a user changed a world: its name and color, whether it is to be kept, its nodes and their links."""
    nodes = [
        (node.name, node.bl_idname, node.mute, *(_value(socket) for socket in node.inputs)) for node in world.node_tree.nodes
    ]
    ends = [
        (link.from_node.name, link.from_socket.name, link.to_node.name, link.to_socket.name) for link in world.node_tree.links
    ]
    return str((world.name, tuple(world.color), world.use_fake_user, sorted(nodes), sorted(ends)))


def _value(socket: bpy.types.NodeSocket) -> str:
    """What an input has where it is not linked."""
    value = getattr(socket, "default_value", None)
    return str(tuple(value) if hasattr(value, "__len__") else value)


def _output(world: bpy.types.World) -> bpy.types.Node | None:
    outputs = [node for node in world.node_tree.nodes if node.type == "OUTPUT_WORLD"]
    return next((node for node in outputs if node.is_active_output), None)


def _group(sky: FoundSky, rotation: np.ndarray) -> bpy.types.NodeTree:
    """A group whose output shines like a sky; rotation: (3, 3) world from camera."""
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
