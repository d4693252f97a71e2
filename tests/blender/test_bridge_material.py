# SPDX-License-Identifier: Apache-2.0
"""Base colours of materials, as their nodes make them."""

import bpy
import numpy as np
import pytest

from addon.bridge.material import base_color, shining_materials, surface_albedo, unread_materials
from addon.bridge.mesh import Shading
from solver_core.render.gbuffer import Texture

pytestmark = pytest.mark.filterwarnings("ignore:'Material.use_nodes'")

VIEWPORT = (0.8, 0.1, 0.2)


@pytest.fixture
def material(scene):
    """A material whose base colour a test links."""
    made = bpy.data.materials.new("Paint")
    if bpy.app.version < (5, 0, 0):
        made.use_nodes = True
    made.diffuse_color = (*VIEWPORT, 1)
    return made


def link_color(material, node, output: str = "Color") -> None:
    socket = material.node_tree.nodes["Principled BSDF"].inputs["Base Color"]
    material.node_tree.links.new(node.outputs[output], socket)


def rgb(tree, color) -> bpy.types.Node:
    node = tree.nodes.new("ShaderNodeRGB")
    node.outputs[0].default_value = (*color, 1)
    return node


def mix(material, blend: str, factor: float, first, second) -> bpy.types.Node:
    """A node that mixes two colors, or the color of a node and another."""
    node = material.node_tree.nodes.new("ShaderNodeMix")
    node.data_type, node.blend_type = "RGBA", blend
    node.inputs[0].default_value = factor
    for socket, color in zip([one for one in node.inputs if one.type == "RGBA"], (first, second), strict=True):
        if isinstance(color, bpy.types.Node):
            material.node_tree.links.new(color.outputs["Color"], socket)
        else:
            socket.default_value = (*color, 1)
    socket = material.node_tree.nodes["Principled BSDF"].inputs["Base Color"]
    material.node_tree.links.new(next(one for one in node.outputs if one.type == "RGBA"), socket)
    return node


def shading_of(material, has_uv: bool = False) -> Shading:
    uv = np.zeros((1, 3, 2)) if has_uv else None
    return Shading(np.zeros((1, 3, 3)), uv, np.zeros(1, int), (material.name,))


def test_a_color_node_is_followed_through_a_reroute(material):
    tree = material.node_tree
    reroute = tree.nodes.new("NodeReroute")
    tree.links.new(rgb(tree, (0.1, 0.2, 0.3)).outputs[0], reroute.inputs[0])
    link_color(material, reroute, reroute.outputs[0].name)

    assert base_color(material, 1) == pytest.approx((0.1, 0.2, 0.3))
    assert unread_materials([shading_of(material)]) == []


@pytest.mark.parametrize(
    ("blend", "factor", "expected"),
    [("MIX", 0.25, (0.25, 0.35, 0.4)), ("MULTIPLY", 1.0, (0.08, 0.12, 0.08)), ("ADD", 0.5, (0.4, 0.5, 0.5))],
)
def test_mixed_colors_are_mixed(material, blend, factor, expected):
    mix(material, blend, factor, (0.2, 0.3, 0.4), (0.4, 0.4, 0.2) if blend != "MIX" else (0.4, 0.5, 0.4))

    assert base_color(material, 1) == pytest.approx(expected, abs=1e-6)


def test_a_tinted_texture_keeps_its_picture_and_its_tint(material):
    image = bpy.data.images.new("Paint", 2, 2)
    image.colorspace_settings.name = "Non-Color"
    image.pixels[:] = [0.5, 0.5, 0.5, 1] * 4
    texture = material.node_tree.nodes.new("ShaderNodeTexImage")
    texture.image = image
    mix(material, "MULTIPLY", 1.0, texture, (1, 0.5, 0.2))

    albedo = surface_albedo(shading_of(material, has_uv=True), 1)

    assert isinstance(albedo, Texture)
    np.testing.assert_allclose(albedo.image[0, 0], (0.5, 0.25, 0.1), atol=0.01)
    assert base_color(material, 1) == pytest.approx((0.5, 0.25, 0.1), abs=0.01)


def test_a_color_is_found_in_a_group_and_out_of_it_again(material):
    group = bpy.data.node_groups.new("Group", "ShaderNodeTree")
    group.interface.new_socket("In", in_out="INPUT", socket_type="NodeSocketColor")
    group.interface.new_socket("Out", in_out="OUTPUT", socket_type="NodeSocketColor")
    ends = group.nodes.new("NodeGroupInput"), group.nodes.new("NodeGroupOutput")
    group.links.new(ends[0].outputs[0], ends[1].inputs[0])
    node = material.node_tree.nodes.new("ShaderNodeGroup")
    node.node_tree = group
    node.inputs[0].default_value = (0.3, 0.2, 0.1, 1)
    link_color(material, node, "Out")

    assert base_color(material, 1) == pytest.approx((0.3, 0.2, 0.1))


def test_a_noise_is_not_read_and_named(material):
    link_color(material, material.node_tree.nodes.new("ShaderNodeTexNoise"))

    assert base_color(material, 1) == pytest.approx(VIEWPORT)
    assert unread_materials([shading_of(material)]) == ["Paint"]


@pytest.mark.parametrize(("strength", "expected"), [(0.0, []), (2.0, ["Paint"])])
def test_a_material_that_shines_is_named(material, strength, expected):
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Emission Color"].default_value = (1, 0.5, 0.2, 1)
    shader.inputs["Emission Strength"].default_value = strength

    assert shining_materials([shading_of(material)]) == expected
