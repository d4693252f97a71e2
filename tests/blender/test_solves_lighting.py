"""Solve Lighting on scenes that Cycles lit."""

import bpy
import numpy as np
import pytest

import solver_core as sc
from addon.bridge.camera import read_camera, read_camera_pose
from addon.bridge.mesh import read_surfaces
from addon.bridge.scene import evaluate
from addon.solves.image_source import ImageSource
from addon.solves.lighting import LightingSolve, LightingTask
from solver_core.errors import SolverError

from .solve_scenes import add_camera, add_monkey, diffuse, drain, render

GROUND, SKIN = (0.6, 0.6, 0.6), (0.7, 0.3, 0.2)


# Blender 5.0 says so itself while it registers its node editor.
pytestmark = pytest.mark.filterwarnings("ignore:'Material.use_nodes'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of pictures that several tests share."""
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture
def lit(scene):
    """A monkey above the ground."""
    add_camera(scene, (4, -6, 4))
    bpy.ops.mesh.primitive_plane_add(size=8, location=(0, 0, -1))
    bpy.context.object.data.materials.append(diffuse(GROUND))
    add_monkey(scene).data.materials.append(diffuse(SKIN))
    return scene


def add_lamp(scene, kind):
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", kind))
    scene.collection.objects.link(lamp)
    if kind == "SUN":
        lamp.rotation_euler, lamp.data.energy, lamp.data.angle = (0.7, 0.3, 0.5), 3, 0
    else:
        lamp.location, lamp.data.energy, lamp.data.shadow_soft_size = (2, -1, 3), 600, 0
    lamp.data.color = (1, 0.8, 0.6)
    return lamp


def angle_deg(a, b) -> float:
    return np.degrees(np.arccos(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)))


def towards_sun(lamp) -> np.ndarray:
    bpy.context.view_layer.update()
    return np.array(lamp.matrix_world)[:3, 2]


@pytest.mark.parametrize("is_new", [True, False])
def test_a_sun_has_the_direction_strength_and_color_of_the_picture(is_new, lit, folder):
    lamp = add_lamp(lit, "SUN")
    expected = towards_sun(lamp)
    source = ImageSource(file=render(lit, folder / f"{lamp.data.type}.exr", "OPEN_EXR", samples=16))
    lamp.rotation_euler, lamp.data.energy, lamp.data.color = (0.2, 0.1, 0.2), 1, (1, 1, 1)

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", kind="SUN", lamp="" if is_new else "Lamp"))
    steps = drain(solve)

    solved = lit.objects[solve.lamp]
    assert (solved.name == "Lamp") != is_new
    assert angle_deg(towards_sun(solved), expected) < 4
    assert solved.data.energy == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(solved.data.color, (1, 0.8, 0.6), atol=0.05)
    report = solve.report()
    assert report["lamp"] == solved.name
    assert report["angle_moved_deg"] > 4
    np.testing.assert_allclose(np.array(report["color"]) * report["energy"], report["strength"])
    assert steps[-1].phase == "result"


def test_a_point_lamp_has_the_place_and_power_of_the_picture(lit, folder):
    lamp = add_lamp(lit, "POINT")
    source = ImageSource(file=render(lit, folder / f"{lamp.data.type}.exr", "OPEN_EXR", samples=16))
    lamp.location, lamp.data.energy = (0, 0, 5), 1
    parent = bpy.data.objects.new("Parent", None)
    lit.collection.objects.link(parent)
    parent.location, parent.rotation_euler, parent.scale = (1, 2, 3), (0.3, 0.2, 0.1), (2, 2, 2)
    lamp.parent = parent

    drain(LightingSolve.gather(lit, LightingTask(source, "Camera", kind="POINT", lamp="Lamp")))

    bpy.context.view_layer.update()
    np.testing.assert_allclose(lamp.matrix_world.translation, (2, -1, 3), atol=0.2)
    assert lamp.data.energy == pytest.approx(600, rel=0.1)


def test_the_result_is_that_of_the_library(lit, folder):
    add_lamp(lit, "SUN")
    for polygon in lit.objects["Suzanne"].data.polygons:
        polygon.use_smooth = True
    source = ImageSource(file=render(lit, folder / "smooth.png"))
    depsgraph = evaluate(lit)
    picture = source.read(lit.camera, 1, is_range=False)
    world_from_camera = read_camera_pose(depsgraph, lit.camera)
    surfaces = [surface for name, surface in read_surfaces(depsgraph, with_shading=True) if name == "Suzanne"]
    expected = sc.solve_lighting(
        picture.linear_rgb(),
        [(s.vertices_world - world_from_camera[:3, 3]) @ world_from_camera[:3, :3] for s in surfaces],
        [s.faces for s in surfaces],
        read_camera(lit, depsgraph, lit.camera),
        [np.eye(4)],
        mask=picture.alpha >= 0.99,
        restarts=0,
        normals=[s.shading.corner_normal_world @ world_from_camera[:3, :3] for s in surfaces],
    )

    task = LightingTask(source, "Camera", objects=("Suzanne",), use_base_color=False, restarts=0)
    solve = LightingSolve.gather(lit, task)
    steps = drain(solve)

    assert solve.report()["strength"] == expected.strength.tolist()
    np.testing.assert_allclose(steps[-1].answer.light_world, world_from_camera[:3, :3] @ expected.direction, atol=1e-6)
    assert "includes the brightness of the surfaces" in solve.report()["sentences"][-1]


@pytest.mark.parametrize("is_new", [True, False])
def test_restore_puts_back_the_lamp_or_removes_the_new_one(is_new, lit, folder):
    lamp = add_lamp(lit, "SUN")
    source = ImageSource(file=render(lit, folder / "picture.png"))
    before = (tuple(lamp.rotation_euler), lamp.data.energy, tuple(lamp.data.color))
    objects, lights = list(bpy.data.objects), list(bpy.data.lights)
    task = LightingTask(source, "Camera", lamp="" if is_new else "Lamp", steps=2, refine=False)
    solve = LightingSolve.gather(lit, task)
    for step in drain(solve):
        solve.apply(step)
    assert (len(bpy.data.lights) > len(lights)) == is_new

    solve.restore()

    assert (tuple(lamp.rotation_euler), lamp.data.energy, tuple(lamp.data.color)) == before
    assert (list(bpy.data.objects), list(bpy.data.lights)) == (objects, lights)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lamp": "Suzanne"}, "'Suzanne' is not a Sun lamp"),
        ({"lamp": "Lamp", "kind": "POINT"}, "'Lamp' is not a Point lamp"),
        ({"objects": ("Camera",)}, "No visible object with faces"),
        ({"kind": "AREA"}, "must be SUN or POINT, not 'AREA'"),
        ({"camera": ""}, "Choose a camera: none is given."),
    ],
)
def test_what_cannot_be_solved_is_a_sentence(changes, sentence, lit):
    add_lamp(lit, "SUN")
    image = bpy.data.images.new("white", 128, 96)
    task = {"image": ImageSource(image=image.name), "camera": "Camera"} | changes

    with pytest.raises(SolverError, match=sentence):
        drain(LightingSolve.gather(lit, LightingTask(**task)))
