# SPDX-License-Identifier: Apache-2.0
"""What is read of a surface beside its triangles: smooth normals, UV maps and the texture of a material."""

import bpy
import numpy as np
import pytest

from addon.bridge.material import surface_albedo
from addon.bridge.mesh import read_surfaces
from addon.bridge.scene import evaluate
from solver_core.render.gbuffer import Texture

pytestmark = pytest.mark.filterwarnings("ignore:'Material.use_nodes'")  # Blender's own, see test_solves_lighting.py


def read(scene):
    return next(surface for _, surface in read_surfaces(evaluate(scene), with_shading=True))


def face_normals(surface) -> np.ndarray:
    corners = surface.vertices_world[surface.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def textured(image) -> bpy.types.Material:
    material = bpy.data.materials.new("Painted")
    material.use_nodes = True
    nodes = material.node_tree.nodes
    source = nodes.new("ShaderNodeTexImage")
    source.image = image
    material.node_tree.links.new(source.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    return material


def test_flat_faces_have_no_corner_normals(scene):
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.shade_smooth()
    bpy.context.object.data.polygons[0].use_smooth = False

    assert np.all(read(scene).shading.corner_normal_world == 0, axis=(1, 2)).sum() == 2


@pytest.mark.parametrize("scale", [(1, 1, 1), (2, 0.5, 1), (-1, 1, 1)])
def test_corner_normals_of_a_smooth_plane_are_across_it_whatever_its_scale(scene, scale):
    bpy.ops.mesh.primitive_plane_add(rotation=(0.3, 0.5, 0.7))
    bpy.ops.object.shade_smooth()
    bpy.context.object.scale = scale

    surface = read(scene)

    along = np.einsum("fck,fk->fc", surface.shading.corner_normal_world, face_normals(surface))
    np.testing.assert_allclose(np.abs(along), 1, atol=1e-5)


def test_corner_normals_of_a_smooth_ellipsoid_are_those_of_its_equation(scene):
    bpy.ops.mesh.primitive_uv_sphere_add(segments=64, ring_count=32)
    bpy.ops.object.shade_smooth()
    bpy.context.object.scale = (2, 1, 0.5)

    surface = read(scene)

    expected = surface.vertices_world[surface.faces] / np.array([2, 1, 0.5]) ** 2
    expected /= np.linalg.norm(expected, axis=2, keepdims=True)
    np.testing.assert_allclose(surface.shading.corner_normal_world, expected, atol=0.03)  # of 64 segments


def test_texture_of_a_material_stays_on_its_uv_map(scene):
    image = bpy.data.images.new("Paint", 2, 2)
    image.colorspace_settings.name = "Non-Color"
    image.pixels[:] = [1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 1]  # red, green below; blue, white above
    bpy.ops.mesh.primitive_plane_add()
    bpy.context.object.data.materials.append(textured(image))

    albedo = surface_albedo(read(scene).shading, 1)

    assert isinstance(albedo, Texture)
    np.testing.assert_allclose(albedo.image[1, 0], (1, 0, 0), atol=0.01)
    assert albedo.corner_uv.shape == (2, 3, 2)
    assert albedo.corner_uv.min() == 0
    assert albedo.corner_uv.max() == 1


def test_colour_of_each_face_is_taken_where_there_are_several_materials(scene):
    image = bpy.data.images.new("Paint", 2, 2)
    bpy.ops.mesh.primitive_cube_add()
    plain = bpy.data.materials.new("Plain")
    plain.use_nodes = True
    plain.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.2, 0.4, 0.6, 1)
    for material in (textured(image), plain):
        bpy.context.object.data.materials.append(material)
    bpy.context.object.data.polygons[0].material_index = 1

    albedo = surface_albedo(read(scene).shading, 1)

    assert albedo.shape == (12, 3)
    assert np.isclose(albedo, (0.2, 0.4, 0.6)).all(axis=1).sum() == 2


@pytest.mark.parametrize("primitive", ["cube", "ico_sphere"])
def test_faces_are_the_triangles_that_blender_makes(primitive, scene):
    getattr(bpy.ops.mesh, f"primitive_{primitive}_add")()
    mesh = bpy.context.object.data
    mesh.calc_loop_triangles()
    (surface,) = (surface for _, surface in read_surfaces(evaluate(scene)))

    np.testing.assert_array_equal(surface.faces, [triangle.vertices for triangle in mesh.loop_triangles])
