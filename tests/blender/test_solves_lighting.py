# SPDX-License-Identifier: Apache-2.0
"""Solve Lighting on scenes that Cycles lit."""

import json
from dataclasses import asdict, replace

import bpy
import numpy as np
import pytest

import solver_core as sc
from addon.bridge.camera import read_camera, read_camera_pose
from addon.bridge.light import FIRST_MARK, new_light, read_known_lights, read_world
from addon.bridge.mesh import read_surfaces
from addon.bridge.passes import world_panorama
from addon.bridge.scene import evaluate, uses_nodes
from addon.bridge.sky import remove_sky, write_sky
from addon.schema import schema_of
from addon.solves.image_source import ImageSource
from addon.solves.lighting import LightingSolve, LightingTask, LightingTaskOptions
from solver_core.errors import SolverError
from solver_core.problems.lighting.known import environment_directions
from solver_core.problems.lighting.sky import FoundSky, SkyShape

from .solve_scenes import add_camera, add_monkey, diffuse, drain, render, rendered

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


def add_light(scene, kind):
    light = bpy.data.objects.new("Light", bpy.data.lights.new("Light", kind))
    scene.collection.objects.link(light)
    if kind == "SUN":
        light.rotation_euler, light.data.energy, light.data.angle = (0.7, 0.3, 0.5), 3, 0
    else:
        light.location, light.data.energy, light.data.shadow_soft_size = (2, -1, 3), 600, 0
    light.data.color = (1, 0.8, 0.6)
    return light


def angle_deg(a, b) -> float:
    return np.degrees(np.arccos(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)))


def assert_valid(found) -> None:
    """By the schema of records, as JSON."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(json.dumps(asdict(found))), schema_of(type(found)))


def towards_sun(light) -> np.ndarray:
    bpy.context.view_layer.update()
    return np.array(light.matrix_world)[:3, 2]


@pytest.mark.parametrize("is_new", [True, False])
def test_a_sun_has_the_direction_strength_and_color_of_the_picture(is_new, lit, folder):
    light = add_light(lit, "SUN")
    expected = towards_sun(light)
    source = ImageSource(file=render(lit, folder / f"{light.data.type}.exr", "OPEN_EXR", samples=16))
    light.rotation_euler, light.data.energy, light.data.color = (0.2, 0.1, 0.2), 1, (1, 1, 1)

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", light="" if is_new else "Light"))
    steps = drain(solve)

    solved = lit.objects[solve.light]
    assert (solved.name == "Light") != is_new
    assert angle_deg(towards_sun(solved), expected) < 4
    assert solved.data.energy == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(solved.data.color, (1, 0.8, 0.6), atol=0.05)
    report = solve.report()
    assert report["lamp"] == solved.name
    assert report["angle_moved_deg"] > 4
    np.testing.assert_allclose(np.array(report["color"]) * report["energy"], report["strength"])
    found = solve.found()
    np.testing.assert_allclose(found.direction_world, towards_sun(solved), atol=1e-5)
    np.testing.assert_allclose(
        np.array(found.world_from_camera)[:3, :3] @ found.direction_camera, found.direction_world, atol=1e-5
    )
    np.testing.assert_allclose(found.strength, solved.data.energy * np.array(solved.data.color), rtol=1e-5)
    assert (found.light, found.kind, found.strength_unit, found.position_world) == (solved.name, "sun", "W/m2", None)
    assert_valid(found)
    assert steps[-1].phase == "result"


def test_a_point_light_has_the_place_and_power_of_the_picture(lit, folder):
    light = add_light(lit, "POINT")
    source = ImageSource(file=render(lit, folder / f"{light.data.type}.exr", "OPEN_EXR", samples=16))
    light.location, light.data.energy = (0, 0, 5), 1
    parent = bpy.data.objects.new("Parent", None)
    lit.collection.objects.link(parent)
    parent.location, parent.rotation_euler, parent.scale = (1, 2, 3), (0.3, 0.2, 0.1), (2, 2, 2)
    light.parent = parent

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", light="Light", options=LightingTaskOptions(kind="point")))
    drain(solve)

    bpy.context.view_layer.update()
    np.testing.assert_allclose(light.matrix_world.translation, (2, -1, 3), atol=0.2)
    assert light.data.energy == pytest.approx(600, rel=0.1)
    found = solve.found()
    np.testing.assert_allclose(found.position_world, light.matrix_world.translation, atol=1e-5)
    placed = np.array(found.world_from_camera) @ [*found.position_camera, 1]
    np.testing.assert_allclose(placed[:3], found.position_world, atol=1e-5)
    assert (found.strength_unit, found.direction_camera) == ("W", None)
    assert_valid(found)


def add_noise(material, darkest: float, brightest: float) -> None:
    """A colour that no reader of nodes knows."""
    nodes, links = material.node_tree.nodes, material.node_tree.links
    noise, ramp = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeValToRGB")
    for element, value in zip(ramp.color_ramp.elements, (darkest, brightest), strict=True):
        element.color = (value, value, value, 1)
    links.new(noise.outputs[0], ramp.inputs[0])
    links.new(ramp.outputs[0], next(node for node in nodes if node.type == "BSDF_DIFFUSE").inputs[0])


def test_colors_that_nodes_make_are_rendered(lit, folder):
    for thing in ("Plane", "Suzanne"):
        add_noise(lit.objects[thing].data.materials[0], 0.1, 0.9)
    light = add_light(lit, "SUN")
    expected = towards_sun(light)
    source = ImageSource(file=render(lit, folder / "noise.exr", "OPEN_EXR", samples=16))
    light.rotation_euler, light.data.energy = (0.2, 0.1, 0.2), 1

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", light="Light"))
    drain(solve)

    assert angle_deg(towards_sun(light), expected) < 4
    assert light.data.energy == pytest.approx(3, rel=0.1)
    assert "Colors and normals of the surfaces were rendered by Cycles." in solve.report()["sentences"]


def test_the_result_is_that_of_the_library(lit, folder):
    add_light(lit, "SUN")
    for polygon in lit.objects["Suzanne"].data.polygons:
        polygon.use_smooth = True
    source = ImageSource(file=render(lit, folder / "smooth.png"))
    depsgraph = evaluate(lit)
    picture = source.read(lit, lit.camera, 1, is_range=False)
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

    task = LightingTask(source, "Camera", objects=("Suzanne",), options=LightingTaskOptions(use_base_color=False, restarts=0))
    solve = LightingSolve.gather(lit, task)
    steps = drain(solve)

    assert solve.report()["strength"] == pytest.approx(expected.strength.tolist(), rel=1e-5)
    np.testing.assert_allclose(steps[-1].answer.light_world, world_from_camera[:3, :3] @ expected.direction, atol=1e-6)
    assert "includes the brightness of the surfaces" in solve.report()["sentences"][-1]


def add_area(scene):
    """A fill light from the side."""
    light = bpy.data.objects.new("Fill", bpy.data.lights.new("Fill", "AREA"))
    scene.collection.objects.link(light)
    light.data.energy, light.data.size, light.location = 500, 2, (-4, -3, 3)
    light.rotation_euler = (-light.location).to_track_quat("-Z", "Y").to_euler()


def test_other_lights_and_the_world_count_as_known(lit, folder):
    light = add_light(lit, "SUN")
    add_area(lit)
    lit.world = bpy.data.worlds.new("Sky")
    lit.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.2, 0.25, 0.4, 1)
    expected = towards_sun(light)
    source = ImageSource(file=render(lit, folder / "filled.exr", "OPEN_EXR", samples=64))
    light.rotation_euler, light.data.energy, light.data.color = (0.2, 0.1, 0.2), 1, (1, 1, 1)

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", light="Light"))
    drain(solve)

    report = solve.report()
    assert angle_deg(towards_sun(light), expected) < 3
    assert report["energy"] == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(report["color"], (1, 0.8, 0.6), atol=0.05)
    assert "2 other lights count as known: Fill, Sky." in report["sentences"]
    photograph, relit = (solve.compared(what) for what in ("PHOTO", "RELIT"))
    is_lit = relit[..., 3] == 255
    assert is_lit.mean() > 0.5
    gap = relit[is_lit].astype(int) - photograph[is_lit]  # known light is in both
    assert np.abs(gap).mean() < 8  # of 255; noise of 64 samples, and bounces that Cycles was not asked for


@pytest.mark.parametrize(
    ("choice", "said", "unsaid"),
    [
        ({"use_other_lights": False}, "not counted, though renders show them: Fill.", "as known"),
        ({"ignored": ("Fill",)}, "not counted, though renders show them: Fill.", "known: Fill"),
        ({"use_world": False}, "1 other light counts as known: Fill.", "not counted"),
        ({"hidden": True}, "hidden in renders were not counted: Fill.", "renders show"),
    ],
)
def test_lights_that_do_not_count_are_named(choice, said, unsaid, lit, folder):
    light = add_light(lit, "SUN")
    add_area(lit)
    lit.objects["Fill"].hide_render = choice.pop("hidden", False)
    lit.world = bpy.data.worlds.new("Sky")
    source = ImageSource(file=render(lit, folder / "filled.exr", "OPEN_EXR", samples=64))
    ignored = choice.pop("ignored", ())
    options = LightingTaskOptions(**choice, steps=1, restarts=0, refine=False)

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", light=light.name, ignored=ignored, options=options))
    drain(solve)

    sentences = " ".join(solve.report()["sentences"])
    assert said in sentences
    assert unsaid not in sentences


@pytest.mark.parametrize(
    ("how", "is_known"),
    [("eye", True), ("monitor", True), ("collection eye", True), ("collection in renders", False), ("excluded", False)],
)
def test_lights_are_known_as_renders_show_them(how, is_known, lit):
    add_area(lit)
    fill = lit.objects["Fill"]
    collection = bpy.data.collections.new("Lights")
    lit.collection.children.link(collection)
    lit.collection.objects.unlink(fill)
    collection.objects.link(fill)
    bpy.context.view_layer.update()
    (expected,) = read_known_lights(evaluate(lit), np.eye(4), ())
    layer = bpy.context.view_layer.layer_collection.children["Lights"]
    fill.location.x += 1
    if how == "eye":
        fill.hide_set(True)
    elif how == "monitor":
        fill.hide_viewport = True
    elif how == "collection eye":
        layer.hide_viewport = True
    elif how == "collection in renders":
        collection.hide_render = True
    else:
        layer.exclude = True

    known = read_known_lights(evaluate(lit), np.eye(4), ())

    assert len(known) == is_known
    for light in known:
        np.testing.assert_allclose(light.values["position"] - expected.values["position"], (1, 0, 0), atol=1e-6)
        np.testing.assert_allclose(light.strength, expected.strength)
    assert fill.hide_viewport == (how == "monitor")
    assert len(bpy.data.scenes) == 1


@pytest.mark.parametrize("how", ["object", "collection"])
def test_a_lamp_that_renders_do_not_show_is_named(how, lit, folder):
    light = add_light(lit, "SUN")
    source = ImageSource(file=render(lit, folder / "SUN.exr", "OPEN_EXR", samples=16))
    if how == "object":
        light.hide_render = True
    else:
        collection = bpy.data.collections.new("Lights")
        lit.collection.children.link(collection)
        lit.collection.objects.unlink(light)
        collection.objects.link(light)
        collection.hide_render = True

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", light="Light"))
    rendered(solve.read(1))

    assert any("'Light', which is solved, is hidden in renders" in sentence for sentence in solve.doubts)


def test_a_lamp_that_viewports_hide_is_refused_with_the_cause(lit):
    add_light(lit, "SUN").hide_viewport = True

    with pytest.raises(SolverError, match="'Light' is hidden in the viewport"):
        LightingSolve.gather(lit, LightingTask(ImageSource(file="a.png"), "Camera", light="Light"))


def test_a_task_names_lights_that_are_there(lit):
    with pytest.raises(SolverError, match="Choose a light: there is no object 'Lost'"):
        LightingSolve.gather(lit, LightingTask(ImageSource(file="a.png"), "Camera", ignored=("Lost",)))


def test_a_light_that_the_picture_does_not_show_is_not_counted(lit, folder):
    light = add_light(lit, "SUN")
    expected = towards_sun(light)
    source = ImageSource(file=render(lit, folder / "SUN.exr", "OPEN_EXR", samples=16))
    light.name, light.rotation_euler, light.data.energy = "Old", (0.2, 0.1, 0.2), 4

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera"))
    drain(solve)

    assert angle_deg(towards_sun(lit.objects[solve.light]), expected) < 4
    assert any("does not show the known light Old" in sentence for sentence in solve.report()["sentences"])


def add_picture_world(scene, rgba) -> None:
    """A world whose light is a picture (H, W, 4) all around."""
    scene.world = bpy.data.worlds.new("Studio")
    if bpy.app.version < (5, 0, 0):
        scene.world.use_nodes = True
    image = bpy.data.images.new("studio", rgba.shape[1], rgba.shape[0], float_buffer=True)
    image.pixels.foreach_set(rgba.astype(np.float32).ravel())
    nodes = scene.world.node_tree.nodes
    picture = nodes.new("ShaderNodeTexEnvironment")
    picture.image = image
    scene.world.node_tree.links.new(picture.outputs["Color"], nodes["Background"].inputs["Color"])


def test_the_light_of_a_world_of_nodes_is_known(lit, folder):
    light = add_light(lit, "SUN")
    light.data.color = (1, 1, 1)
    expected = towards_sun(light)
    studio = np.full((32, 64, 4), 0.1)
    studio[20:24, 10:14, :3] = 40  # a lamp, brighter than the sun on what faces it
    add_picture_world(lit, studio)
    source = ImageSource(file=render(lit, folder / "studio.exr", "OPEN_EXR", samples=64))
    light.rotation_euler, light.data.energy = (0.2, 0.1, 0.2), 1

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", light="Light"))
    drain(solve)

    assert angle_deg(towards_sun(light), expected) < 4
    assert light.data.energy == pytest.approx(3, rel=0.1)
    assert "1 other light counts as known: Studio." in solve.report()["sentences"]


def even_world(scene, rgb):
    """A world of one color; its nodes and its links."""
    scene.world = bpy.data.worlds.new("Even")
    if bpy.app.version < (5, 0, 0):
        scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (*rgb, 1)
    return scene.world.node_tree.nodes, scene.world.node_tree.links


def test_a_background_that_is_not_linked_does_not_shine(scene):
    _, links = even_world(scene, (1, 1, 1))
    links.remove(links[0])

    assert rendered(read_world(scene.world, np.eye(4))) == []
    assert len(bpy.data.worlds) == 1


def test_a_world_counts_as_it_lights_surfaces_and_not_as_the_camera_sees_it(scene):
    nodes, links = even_world(scene, (1, 1, 1))
    lights, mix, path = (nodes.new(f"ShaderNode{name}") for name in ("Background", "MixShader", "LightPath"))
    lights.inputs["Color"].default_value = (0.05, 0.1, 0.2, 1)
    links.new(path.outputs["Is Camera Ray"], mix.inputs[0])
    links.new(lights.outputs[0], mix.inputs[1])
    links.new(nodes["Background"].outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], nodes["World Output"].inputs["Surface"])

    (known,) = rendered(read_world(scene.world, np.eye(4)))

    np.testing.assert_allclose(known.values["image"] - (0.05, 0.1, 0.2), 0, atol=1e-3)
    assert path.outputs["Is Camera Ray"].is_linked
    assert len(bpy.data.worlds) == 1


def test_a_light_path_in_a_node_group_is_a_sentence(scene):
    nodes, links = even_world(scene, (1, 1, 1))
    group = nodes.new("ShaderNodeGroup")
    group.node_tree = bpy.data.node_groups.new("Studio", "ShaderNodeTree")
    group.node_tree.nodes.new("ShaderNodeLightPath")
    group.node_tree.interface.new_socket("Shader", in_out="OUTPUT", socket_type="NodeSocketShader")
    links.new(group.outputs[0], nodes["World Output"].inputs["Surface"])

    with pytest.raises(SolverError, match="A node group of the world has a Light Path"):
        rendered(read_world(scene.world, np.eye(4)))
    assert len(bpy.data.worlds) == 1


def test_the_sky_of_an_earlier_solve_counts_unless_it_is_replaced(scene):
    even_world(scene, (0.1, 0.1, 0.1))
    sky = FoundSky(SkyShape("uniform", False), np.array([[0.1, 0.2, 0.3]]), np.array([0.0, 0, 1]))
    write_sky(scene, sky, np.eye(4), True)

    (replaced,) = rendered(read_world(scene.world, np.eye(4), without_sky=True))
    (counted,) = rendered(read_world(scene.world, np.eye(4)))

    np.testing.assert_allclose(replaced.strength, 0.1, atol=1e-6)
    np.testing.assert_allclose(counted.values["image"][0, 0], (0.2, 0.3, 0.4), atol=1e-3)


def test_a_panorama_of_a_world_has_its_lamp_where_the_camera_sees_it(scene):
    """In front of a camera that looks along +x, whatever axes a picture of a world has."""
    studio = np.zeros((32, 64, 4))
    studio[15:17, :] = [1, 0, 0, 1]  # the horizon
    studio[24:, :] = [0, 0, 1, 1]  # high above
    add_picture_world(scene, studio)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.transpose([[0, -1, 0], [0, 0, 1], [-1, 0, 0]])

    panorama = rendered(world_panorama(scene.world, world_from_camera))

    height, width, _ = panorama.shape
    assert width == 2 * height
    middle = panorama[height // 2 - 1 : height // 2 + 1].mean(axis=(0, 1))
    assert middle[0] > 0.3
    assert middle[2] < 0.01
    np.testing.assert_allclose(panorama[height // 16].mean(axis=0), [0, 0, 1], atol=0.02)
    np.testing.assert_allclose(panorama[-height // 16].mean(axis=0), 0, atol=0.02)


def test_the_size_of_a_sun_is_set_and_put_back(lit, folder):
    light = add_light(lit, "SUN")
    light.data.angle = np.radians(15)
    source = ImageSource(file=render(lit, folder / "soft.exr", "OPEN_EXR", samples=64))
    light.data.angle = np.radians(1)

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", light="Light", options=LightingTaskOptions(size=True)))
    drain(solve)
    found = np.degrees(light.data.angle)
    solve.restore()

    assert found == pytest.approx(15, rel=0.3)
    assert np.degrees(light.data.angle) == pytest.approx(1)
    assert any("degrees across" in sentence for sentence in solve.report()["sentences"])


@pytest.mark.parametrize("transform", ["AgX", "Standard"])
def test_the_view_transform_of_a_render_is_taken_out_and_of_others_not(transform, lit, folder):
    light = add_light(lit, "SUN")
    expected = towards_sun(light)
    lit.view_settings.view_transform = transform
    source = ImageSource(file=render(lit, folder / f"{transform}.png", samples=16))
    lit.view_settings.view_transform = "AgX"

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", light="Light"))
    drain(solve)

    assert angle_deg(towards_sun(light), expected) < 4
    assert light.data.energy == pytest.approx(3, rel=0.1)
    was_taken_out = any("view transform, which was taken out" in sentence for sentence in solve.report()["sentences"])
    assert was_taken_out == (transform == "AgX")


@pytest.mark.parametrize("is_new", [True, False])
def test_restore_puts_back_the_lamp_or_removes_the_new_one(is_new, lit, folder):
    light = add_light(lit, "SUN")
    source = ImageSource(file=render(lit, folder / "picture.png"))
    before = (tuple(light.rotation_euler), light.data.energy, tuple(light.data.color))
    objects, lights = list(bpy.data.objects), list(bpy.data.lights)
    task = LightingTask(source, "Camera", light="" if is_new else "Light", options=LightingTaskOptions(steps=2, refine=False))
    solve = LightingSolve.gather(lit, task)
    for step in drain(solve):
        solve.apply(step)
    assert (len(bpy.data.lights) > len(lights)) == is_new

    solve.restore()

    assert (tuple(light.rotation_euler), light.data.energy, tuple(light.data.color)) == before
    assert (list(bpy.data.objects), list(bpy.data.lights)) == (objects, lights)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"light": "Suzanne"}, "'Suzanne' is not a Sun light"),
        ({"light": "Light", "options": LightingTaskOptions(kind="point")}, "'Light' is not a Point light"),
        ({"light": "Light", "options": LightingTaskOptions(kind="mixed")}, "'Light' stays what it is: choose its kind"),
        ({"objects": ("Camera",)}, "No visible object with faces"),
        ({"camera": ""}, "Choose a camera: none is given."),
    ],
)
def test_what_cannot_be_solved_is_a_sentence(changes, sentence, lit):
    add_light(lit, "SUN")
    image = bpy.data.images.new("white", 128, 96)
    task = {"image": ImageSource(image=image.name), "camera": "Camera"} | changes

    with pytest.raises(SolverError, match=sentence):
        drain(LightingSolve.gather(lit, LightingTask(**task)))


def two_suns(scene, folder):
    """A light, where it is to be found and another one, and their picture under a blue sky; the other one is not there."""
    light = add_light(scene, "SUN")
    light.data.color = (1, 1, 1)
    second = bpy.data.objects.new("Second", bpy.data.lights.new("Second", "SUN"))
    scene.collection.objects.link(second)
    second.rotation_euler, second.data.energy, second.data.angle = (-0.6, -0.9, 0), 2, 0
    scene.world = bpy.data.worlds.new("Blue")
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.05, 0.1, 0.2, 1)
    expected = [towards_sun(light), towards_sun(second)]
    source = ImageSource(file=render(scene, folder / "two.exr", "OPEN_EXR", samples=48))
    bpy.data.lights.remove(second.data)
    light.rotation_euler, light.data.energy = (0.2, 0.1, 0.2), 1
    return light, expected, source


def test_a_second_sun_and_its_sky_are_set_and_taken_out_again(lit, folder):
    _, expected, source = two_suns(lit, folder)
    nodes = len(lit.world.node_tree.nodes)
    options = LightingTaskOptions(lamps=2, sky="uniform", set_world=True, use_world=False)

    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", light="Light", options=options))
    drain(solve)

    assert [one.name for one in solve.further] == ["Light 2"]
    found = [lit.objects[name] for name in ("Light", "Light 2")]
    for thing, direction, energy in zip(found, expected, (3, 2), strict=True):
        assert angle_deg(towards_sun(thing), direction) < 4
        assert thing.data.energy == pytest.approx(energy, rel=0.15)
    assert solve.report()["further_lamps"] == ["Light 2"]
    assert solve.found().further[0].direction_world == pytest.approx(expected[1], abs=0.08)
    around = rendered(world_panorama(lit.world, np.eye(4)))
    np.testing.assert_allclose(around.mean(axis=(0, 1)), solve.solution.sky.mean, atol=1e-3)  # instead of what was there
    np.testing.assert_allclose(solve.solution.sky.mean, (0.05, 0.1, 0.2), atol=0.06)
    solve.reset()
    assert [thing.name for thing in lit.objects if thing.type == "LIGHT"] == ["Light"]
    assert len(lit.world.node_tree.nodes) == nodes
    assert "Solved Sky" not in bpy.data.node_groups


def drain_as_if_twice(solve, **changes):
    """Lets a solve find its lamp a second time, as a further one; changes: of the first."""
    assert not list(solve.read(1))
    for step in solve.steps():
        solve.apply(step)
    (lamp,) = solve.solution.lamps
    solve.solution = replace(solve.solution, lamps=[replace(lamp, **changes), lamp])
    solve.keep()
    list(solve.finish())


def test_lights_of_mixed_kinds_are_set_and_taken_out_again(lit, folder):
    light, _, source = two_suns(lit, folder)
    bpy.data.lights.remove(light.data)
    before = lights_and_worlds()
    options = LightingTaskOptions(kind="mixed", lamps=2, steps=1, restarts=0, refine=False)
    solve = LightingSolve.gather(lit, LightingTask(source, "Camera", options=options))

    drain_as_if_twice(solve, kind="point", position=np.array([0.2, 0.1, -2.0]))

    near, sun = (lit.objects[name] for name in ("Solved Point", "Solved Sun 2"))
    assert (near.data.type, sun.data.type, solve.light) == ("POINT", "SUN", "Solved Point")
    assert solve.found().position_world == pytest.approx(tuple(near.location), abs=1e-5)
    (further,) = solve.found().further
    assert (solve.found().strength_unit, further.kind, further.strength_unit) == ("W", "sun", "W/m2")
    assert further.direction_world == pytest.approx(towards_sun(sun), abs=1e-5)
    assert solve.compared("RELIT").any()
    solve.reset()
    assert lights_and_worlds() == before


def lights_and_worlds():
    lights = {thing.name: (*thing.rotation_euler, thing.data.energy) for thing in bpy.data.objects if thing.type == "LIGHT"}
    worlds = {world.name: len(world.node_tree.nodes) for world in bpy.data.worlds}
    return lights, worlds, list(bpy.data.node_groups.keys()), len(bpy.data.lights)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_solve_again_replaces_what_the_first_made_and_resets_to_what_was_before(is_new, lit, folder):
    light, _, source = two_suns(lit, folder)
    if is_new:
        bpy.data.lights.remove(light.data)
        bpy.data.worlds.remove(lit.world)
    before = lights_and_worlds()
    options = LightingTaskOptions(lamps=2, sky="uniform", set_world=True, use_world=is_new, steps=1, restarts=0, refine=False)
    task = LightingTask(source, "Camera", light="" if is_new else "Light", options=options)
    first = LightingSolve.gather(lit, task)
    drain_as_if_twice(first)
    once = lights_and_worlds()
    assert first.further

    ended, second = (LightingSolve.gather(lit, task) for _ in range(2))
    ended.go_on_from(first)
    list(ended.read(1))
    ended.apply(next(iter(ended.steps())))
    ended.restore()
    after_esc = lights_and_worlds()
    second.go_on_from(first)
    drain_as_if_twice(second)

    assert after_esc == once
    assert not second.solution.known
    assert [set(names) for names in lights_and_worlds()[:3]] == [set(names) for names in once[:3]]
    second.reset()
    assert lights_and_worlds() == before


def test_a_solve_of_another_light_leaves_what_the_first_made(lit, folder):
    light, _, source = two_suns(lit, folder)
    options = LightingTaskOptions(steps=1, restarts=0, refine=False)
    first = LightingSolve.gather(lit, LightingTask(source, "Camera", options=options))
    drain(first)

    second = LightingSolve.gather(lit, LightingTask(source, "Camera", light=light.name, options=options))
    second.go_on_from(first)
    drain(second)
    second.reset()

    assert first.light in lit.objects


@pytest.mark.parametrize(("kind", "has_fill"), [("uniform", True), ("gradient", False), ("gradient", True)])
def test_blender_shows_a_sky_as_it_was_found(kind, has_fill, scene, rng):
    shape = SkyShape(kind, has_fill)
    rotation = np.transpose([[0, -1, 0], [0, 0, 1], [-1, 0, 0]])
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = rotation
    up = rotation.T @ [0, 0, 1]
    sky = FoundSky(shape, rng.uniform(0.1, 0.6, (len(shape.profiles(up, up)), 3)), up)

    before = write_sky(scene, sky, world_from_camera, is_added=False)

    around = rendered(world_panorama(scene.world, world_from_camera))
    expected = sky.radiance(environment_directions(*around.shape[:2])[0])
    np.testing.assert_allclose(around, expected, atol=0.02)
    remove_sky(scene, before)
    assert scene.world is None


def test_a_sky_is_added_to_what_the_world_holds(scene):
    scene.world = bpy.data.worlds.new("Blue")
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.1, 0.2, 0.3, 1)
    sky = FoundSky(SkyShape(), np.array([[0.3, 0.2, 0.1]]), np.array([0.0, 1, 0]))

    for _ in range(2):  # the second takes the place of the first
        before = write_sky(scene, sky, np.eye(4), is_added=True)

    np.testing.assert_allclose(rendered(world_panorama(scene.world, np.eye(4))), 0.4, atol=1e-3)
    remove_sky(scene, before)
    np.testing.assert_allclose(rendered(world_panorama(scene.world, np.eye(4)))[0, 0], (0.1, 0.2, 0.3), atol=1e-3)


def test_reset_leaves_links_that_were_made_since(scene):
    scene.world = bpy.data.worlds.new("Blue")
    nodes, links = scene.world.node_tree.nodes, scene.world.node_tree.links
    before = write_sky(scene, FoundSky(SkyShape(), np.ones((1, 3)), np.array([0.0, 1, 0])), np.eye(4), is_added=True)
    own = nodes.new("ShaderNodeBackground")
    links.new(own.outputs[0], nodes["World Output"].inputs["Surface"])

    scene.world.name = "Renamed"
    remove_sky(scene, before)

    assert [link.from_node for link in links] == [own]
    assert len(nodes) == 3
    assert not bpy.data.node_groups


def test_a_world_without_nodes_has_none_after_reset(scene):
    scene.world = bpy.data.worlds.new("Empty")
    if bpy.app.version < (5, 0, 0):
        scene.world.use_nodes = True
    nodes = scene.world.node_tree.nodes
    nodes.clear()

    for _ in range(2):  # the second takes the place of the first
        before = write_sky(scene, FoundSky(SkyShape(), np.ones((1, 3)), np.array([0.0, 1, 0])), np.eye(4), is_added=True)
    assert [node.type for node in nodes].count("OUTPUT_WORLD") == 1
    remove_sky(scene, before)

    assert not nodes
    assert not bpy.data.node_groups
    assert uses_nodes(scene.world)


def test_reset_is_refused_where_what_a_chosen_lamp_got_before_a_reload_is_replaced(lit):
    add_light(lit, "SUN")
    second = new_light(lit, "sun")
    second[FIRST_MARK] = "Light"
    other = new_light(lit, "sun")  # of a solve of its own

    solve, new = (
        LightingSolve.gather(lit, LightingTask(ImageSource(file="a.png"), "Camera", light=one)) for one in ("Light", "")
    )

    assert [one.uid for one in solve.outdated] == [second.session_uid]
    assert (new.handle.uid, new.outdated) == (other.session_uid, ())
    with pytest.raises(SolverError, match="since the file was opened"):
        solve.reset()


def test_a_linked_world_cannot_be_set(lit, tmp_path):
    world = bpy.data.worlds.new("Blue")
    bpy.data.libraries.write(str(tmp_path / "worlds.blend"), {world}, fake_user=True)
    bpy.data.worlds.remove(world)
    with bpy.data.libraries.load(str(tmp_path / "worlds.blend"), link=True) as (_, linked):
        linked.worlds = ["Blue"]
    lit.world = linked.worlds[0]
    task = LightingTask(ImageSource(file="a.png"), "Camera", options=LightingTaskOptions(set_world=True))

    with pytest.raises(SolverError, match="'Blue' is linked from another file and cannot be changed"):
        LightingSolve.gather(lit, task)
