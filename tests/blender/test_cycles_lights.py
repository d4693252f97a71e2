# SPDX-License-Identifier: Apache-2.0
"""Known lights of Blender as Cycles has them, on a plane that leans."""

import math

import bpy
import numpy as np
import pytest
from mathutils import Vector

from addon.bridge.light import read_known_lights
from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.problems.lighting.setup import LightingSetup

pytest.importorskip("trimesh")

from training.cycles import scene as cycles

pytestmark = pytest.mark.filterwarnings("ignore:'Material.use_nodes'")

CAMERA = Camera.from_fov(64, 64, math.radians(40))
PLANE = Mesh.checked(np.array([[-2, -2, -4.0], [2, -2, -4], [2, 2, -5], [-2, 2, -5]]), np.array([[0, 1, 2], [0, 2, 3]]))
ALBEDO = 0.8


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("SUN", {"energy": 2, "angle": 0.3}),
        ("POINT", {"energy": 100}),
        ("SPOT", {"energy": 100, "spot_size": math.radians(50), "spot_blend": 0.3}),
        ("AREA", {"energy": 50, "size": 0.8}),
        ("AREA", {"energy": 50, "size": 0.8, "size_y": 1.6, "shape": "RECTANGLE"}),
        ("AREA", {"energy": 50, "size": 0.8, "shape": "DISK"}),
    ],
)
def test_a_known_light_is_as_bright_as_in_cycles(kind, values):
    scene = cycles.new_scene(CAMERA, bounces=0, samples=32)
    cycles.add_mesh(PLANE, np.eye(4), cycles.matt(ALBEDO))
    data = bpy.data.lights.new("Lamp", kind)
    for name, value in values.items():
        setattr(data, name, value)
    lamp = bpy.data.objects.new("Lamp", data)
    scene.collection.objects.link(lamp)
    lamp.location = (0.6, 0.5, -2.5)
    lamp.rotation_euler = (Vector((0.2, 0, -4.3)) - lamp.location).to_track_quat("-Z", "Y").to_euler()
    image = cycles.render_linear()

    known = read_known_lights(bpy.context.evaluated_depsgraph_get(), np.eye(4), ())

    setup = LightingSetup.checked(image, PLANE.vertices, PLANE.faces, CAMERA, np.eye(4), albedo=np.full(3, ALBEDO))
    problem = setup.problem(64, 192)
    seen = problem.observation.image[0, :, 0] * problem.observation.level[0]
    ours = ALBEDO * known[0].radiance(problem.scene, 192)[:, 0]
    bright = seen > 0.1 * seen.max()
    assert np.median(seen[bright] / ours[bright]) == pytest.approx(1, abs=0.01)
    assert np.sqrt(np.mean((seen - ours) ** 2)) < 0.02 * seen.max()
