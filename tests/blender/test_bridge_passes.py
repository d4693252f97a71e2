# SPDX-License-Identifier: Apache-2.0
"""Colours and normals that Cycles renders for a solve."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from addon.bridge.camera import read_camera_pose
from addon.bridge.exr import read_layers
from addon.bridge.passes import cycles_passes, world_panorama
from addon.bridge.scene import evaluate
from solver_core.command.files import write_radiance
from solver_core.problems.lighting.environment import found_environment
from solver_core.problems.lighting.known import environment_suns

from .solve_scenes import add_camera, diffuse, rendered

pytestmark = pytest.mark.filterwarnings("ignore:'Material.use_nodes'")

PAINT = (0.6, 0.3, 0.1)
SIZE = (64, 48)


@pytest.fixture
def ground(scene):
    """A camera above a painted plane."""
    add_camera(scene, (0, -4, 4))
    bpy.ops.mesh.primitive_plane_add(size=3)
    bpy.context.object.data.materials.append(diffuse(PAINT))
    return scene


def passes_of(scene, size=SIZE):
    return rendered(cycles_passes(scene, evaluate(scene), scene.camera, size))


@pytest.mark.parametrize("size", [SIZE, (1200, 900)])
def test_passes_hold_color_normal_and_depth_of_what_is_seen(size, ground):
    albedo, normal, depth = passes_of(ground, size)

    height, width = size[1], size[0]
    assert albedo.shape == normal.shape == (height, width, 3)
    middle = height // 2, width // 2
    np.testing.assert_allclose(albedo[middle], PAINT, rtol=1e-3)
    assert np.isnan(albedo[0, 0]).all()  # beside the plane
    assert depth[middle] == pytest.approx(np.sqrt(32), rel=0.02)
    upwards = read_camera_pose(evaluate(ground), ground.camera)[:3, :3].T @ [0, 0, 1]
    np.testing.assert_allclose(normal[middle], upwards, atol=1e-3)


def test_a_mirror_is_left_out(ground):
    nodes = ground.objects["Plane"].data.materials[0].node_tree
    mirror = nodes.nodes.new("ShaderNodeBsdfAnisotropic")  # Blender's name for it, also without a grain
    output = next(node for node in nodes.nodes if node.type == "OUTPUT_MATERIAL")
    nodes.links.new(mirror.outputs[0], output.inputs[0])

    albedo, _, _ = passes_of(ground)

    assert np.isnan(albedo).all()


def test_nothing_of_the_users_is_changed_or_left(ground):
    ground.render.engine, ground.render.resolution_x = "BLENDER_WORKBENCH", 99
    ground.camera.data.dof.use_dof = True
    before = [len(kind) for kind in (bpy.data.scenes, bpy.data.objects, bpy.data.cameras)]
    active = bpy.context.scene

    passes_of(ground)

    assert [len(kind) for kind in (bpy.data.scenes, bpy.data.objects, bpy.data.cameras)] == before
    assert bpy.context.scene == active
    assert (ground.render.engine, ground.render.resolution_x) == ("BLENDER_WORKBENCH", 99)
    assert ground.camera.data.dof.use_dof
    assert ground.camera.name == "Camera"


def test_handlers_of_renders_are_not_called(ground):
    called = []
    handlers = [getattr(bpy.app.handlers, f"render_{name}") for name in ("init", "pre", "post", "write", "complete")]
    for one in handlers:
        one.append(called.append)

    passes_of(ground)

    assert called == []
    assert all(one[:] == [called.append] for one in handlers)
    for one in handlers:
        one.remove(called.append)


@pytest.mark.parametrize("codec", ["NONE", "ZIP"])
@pytest.mark.parametrize("depth", ["16", "32"])
def test_layers_of_a_file_are_the_picture_that_was_saved(codec, depth, scene, tmp_path):
    rgba = np.random.default_rng(0).uniform(0, 1, (21, 13, 4)).astype(np.float32)
    rgba[..., 3] = 1
    image = bpy.data.images.new("random", 13, 21, float_buffer=True, alpha=True)
    image.pixels.foreach_set(rgba.ravel())
    settings = scene.render.image_settings
    settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR", depth, codec
    settings.color_mode = "RGBA"
    image.save_render(str(tmp_path / "one.exr"), scene=scene)

    layers = read_layers((tmp_path / "one.exr").read_bytes())

    assert list(layers) == [""]
    np.testing.assert_allclose(layers[""], rgba[::-1], rtol=1e-3, atol=1e-4)


def test_blender_shows_the_sun_of_an_environment_file_where_it_was_found(scene, tmp_path):
    towards = np.array([0.5, -0.3, 0.8]) / np.linalg.norm([0.5, -0.3, 0.8])
    lamp = SimpleNamespace(direction=towards, position=None, strength=np.full(3, 3.0), size=SimpleNamespace(angle_deg=8.0))
    found = SimpleNamespace(lamps=[lamp], sky=None)
    write_radiance(tmp_path / "around.hdr", found_environment(found, np.eye(4)))
    world = bpy.data.worlds.new("Found")
    nodes = world.node_tree.nodes
    picture = nodes.new("ShaderNodeTexEnvironment")
    picture.image = bpy.data.images.load(str(tmp_path / "around.hdr"))
    world.node_tree.links.new(picture.outputs["Color"], nodes["Background"].inputs["Color"])

    suns = environment_suns(rendered(world_panorama(world, np.eye(4))))

    light = suns.irradiance.mean(axis=1) @ suns.directions
    assert light / np.linalg.norm(light) @ towards > np.cos(np.radians(0.5))
    assert suns.irradiance.sum(axis=0) == pytest.approx([3, 3, 3], rel=0.03)
