# SPDX-License-Identifier: Apache-2.0
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Vector

from addon import panels, results
from addon.bridge.keyframes import every_curve
from addon.solves.image_source import ImageSource
from addon.solves.lighting import LightingSolve, LightingTask, LightingTaskOptions
from tests.blender.fake_layout import FakeLayout

SUN = Vector((0.4, -0.5, 0.77)).normalized()  # direction towards it
QUICK = {"restarts": 0, "steps": 3}


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """What Cycles makes of the scene below."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    build(scene)
    light = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    light.data.energy = 3.0
    light.matrix_world = SUN.to_track_quat("Z", "Y").to_matrix().to_4x4()
    scene.collection.objects.link(light)
    path = tmp_path_factory.mktemp("lighting") / "photograph.png"
    scene.render.engine, scene.cycles.samples, scene.cycles.max_bounces = "CYCLES", 16, 0
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return path


def build(scene):
    """A ball on a floor, seen from above."""
    bpy.ops.mesh.primitive_plane_add(size=8)
    bpy.ops.mesh.primitive_uv_sphere_add(location=(0, 0, 1))
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.matrix_world = Matrix.Translation((0, -7, 5)) @ Matrix.Rotation(0.98, 4, "X")
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y = 96, 72


@pytest.fixture
def lit(photograph, registered):
    build(registered)
    registered.deep_feedback.lighting.image.image = bpy.data.images.load(str(photograph))
    return registered


def towards(light):
    bpy.context.view_layer.update()
    return light.matrix_world.to_3x3() @ Vector((0, 0, 1))


def test_button_adds_the_sun_of_the_photograph(lit):
    answer = bpy.ops.deep_feedback.solve_lighting()

    assert answer == {"FINISHED"}
    report = results.find("lighting", lit).report
    light = bpy.data.objects[report["lamp"]]
    assert np.degrees(towards(light).angle(SUN)) < 3  # 96 x 72 pixels, 16 samples
    assert light.data.energy == pytest.approx(3.0, rel=0.1)


def test_button_gives_the_result_of_the_solve_in_a_script(lit):
    task = LightingTask(ImageSource(image="photograph.png"), "Camera", options=LightingTaskOptions(**QUICK))
    solve = LightingSolve.gather(lit, task)
    assert list(solve.read(1)) == []  # nothing that needs Cycles
    last = list(solve.steps())[-1]

    bpy.ops.deep_feedback.solve_lighting(**QUICK)

    light = bpy.data.objects[results.find("lighting", lit).report["lamp"]]
    np.testing.assert_allclose(towards(light), last.answer.light_world, atol=1e-5)  # float32 Euler angles


def test_button_turns_the_lamp_that_is_chosen(lit):
    light = bpy.data.objects.new("Key", bpy.data.lights.new("Key", "SUN"))
    lit.collection.objects.link(light)
    lit.deep_feedback.lighting.lamp = light

    bpy.ops.deep_feedback.solve_lighting(**QUICK)

    assert results.find("lighting", lit).report["lamp"] == "Key"
    assert len([thing for thing in lit.objects if thing.type == "LIGHT"]) == 1
    assert np.degrees(towards(light).angle(SUN)) < 10


def test_button_looks_at_the_selected_objects_only_when_told(lit):
    lit.deep_feedback.lighting.geometry = "SELECTED"  # the ball, which was added last

    bpy.ops.deep_feedback.solve_lighting(**QUICK)

    assert results.find("lighting", lit).solve.task.objects == ("Sphere",)


def test_button_takes_the_new_lamp_away_when_the_mask_is_empty(lit):
    lit.deep_feedback.lighting.use_mask = True
    lit.deep_feedback.lighting.mask.image = bpy.data.images.new("Black", 96, 72)

    with pytest.raises(RuntimeError, match="Solve Lighting: "):
        bpy.ops.deep_feedback.solve_lighting(**QUICK)

    assert not [thing for thing in lit.objects if thing.type == "LIGHT"]


def test_slider_moves_the_lamp_through_its_path(lit):
    bpy.ops.deep_feedback.solve_lighting(**QUICK)
    result = results.find("lighting", lit)
    light = bpy.data.objects[result.report["lamp"]]

    lit.deep_feedback.lighting.step = 1

    np.testing.assert_allclose(towards(light), result.steps[0].answer.light_world, atol=1e-5)


def test_reset_takes_a_new_lamp_away(lit):
    bpy.ops.deep_feedback.solve_lighting(**QUICK)
    assert [thing for thing in lit.objects if thing.type == "LIGHT"]

    bpy.ops.deep_feedback.reset_result(problem="lighting")

    assert not [thing for thing in lit.objects if thing.type == "LIGHT"]
    assert results.report_of("lighting", lit) is None


def test_reset_leaves_a_lamp_that_was_renamed_and_those_of_the_user(lit, capfd):
    bpy.ops.deep_feedback.solve_lighting(**QUICK)
    solved = bpy.data.objects[results.find("lighting", lit).report["lamp"]]
    name, solved.name = solved.name, "Key"
    own, copied = bpy.data.objects.new(name, bpy.data.lights.new("Own", "SUN")), solved.copy()
    for thing in (own, copied):
        lit.collection.objects.link(thing)

    bpy.ops.deep_feedback.reset_result(problem="lighting")

    assert {thing for thing in lit.objects if thing.type == "LIGHT"} == {solved, own, copied}
    assert "'Key' stayed, because of what was changed there" in capfd.readouterr().out


def test_reset_puts_back_the_lamp_that_was_chosen_under_another_name(lit):
    key = bpy.data.objects.new("Key", bpy.data.lights.new("Key", "SUN"))
    lit.collection.objects.link(key)
    key.data.energy, lit.deep_feedback.lighting.lamp = 2, key
    bpy.ops.deep_feedback.solve_lighting(**QUICK)
    key.name = "Renamed"
    own = bpy.data.objects.new("Key", bpy.data.lights.new("Own", "SUN"))
    lit.collection.objects.link(own)
    own.data.energy = 77

    bpy.ops.deep_feedback.reset_result(problem="lighting")

    assert (key.data.energy, own.data.energy, own.name) == (2, 77, "Key")


def test_reset_leaves_a_world_that_the_scene_was_given_since(lit):
    bpy.ops.deep_feedback.solve_lighting(**QUICK, sky="uniform", set_world=True)
    assert lit.world.name == "Solved World"
    lit.world = own = bpy.data.worlds.new("Own")

    bpy.ops.deep_feedback.reset_result(problem="lighting")

    assert list(bpy.data.worlds) == [own] == [lit.world]
    assert not bpy.data.node_groups


def shown_nodes(world):
    """The nodes in front of the output of a world, the nearest first."""
    names, socket = [], next(node for node in world.node_tree.nodes if node.type == "OUTPUT_WORLD").inputs["Surface"]
    while socket is not None and socket.is_linked:
        node = socket.links[0].from_node
        names.append(node.name)
        socket = next((one for one in node.inputs if one.is_linked), None)
    return names


def test_reset_leaves_a_new_world_in_which_the_user_worked(lit):
    bpy.ops.deep_feedback.solve_lighting(**QUICK, sky="uniform", set_world=True)
    world = lit.world
    nodes, links = world.node_tree.nodes, world.node_tree.links
    picture, shader = nodes.new("ShaderNodeTexEnvironment"), nodes.new("ShaderNodeBackground")
    nodes.new("ShaderNodeTexVoronoi")  # whose inputs are of other types
    picture.name, shader.name, world.name = "Own Picture", "Own Background", "Studio"
    links.new(picture.outputs["Color"], shader.inputs["Color"])
    links.new(shader.outputs[0], nodes["World Output"].inputs["Surface"])

    bpy.ops.deep_feedback.reset_result(problem="lighting")

    assert list(bpy.data.worlds) == [world] == [lit.world]
    assert shown_nodes(world) == ["Own Background", "Own Picture"]
    assert not bpy.data.node_groups


def rename(world):
    world.name = "Studio"


def brighten(world):
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.5


@pytest.mark.parametrize("change", [rename, brighten])
def test_reset_leaves_a_new_world_that_the_user_changed_by_a_little(change, lit):
    bpy.ops.deep_feedback.solve_lighting(**QUICK, sky="uniform", set_world=True)
    change(lit.world)

    bpy.ops.deep_feedback.reset_result(problem="lighting")

    assert shown_nodes(lit.world) == ["Background"]
    assert not bpy.data.node_groups


def test_nodes_of_the_user_stay_though_they_are_named_as_ours(lit):
    lit.world = world = bpy.data.worlds.new("Own")
    nodes, links = world.node_tree.nodes, world.node_tree.links
    group, mix = nodes.new("ShaderNodeGroup"), nodes.new("ShaderNodeMixShader")
    group.node_tree = bpy.data.node_groups.new("Solved Sky", "ShaderNodeTree")
    group.name, mix.name = "Solved Sky", "Solved Sky Join"
    links.new(nodes["Background"].outputs[0], mix.inputs[1])
    links.new(mix.outputs[0], nodes["World Output"].inputs["Surface"])

    for _ in range(2):
        bpy.ops.deep_feedback.solve_lighting(**QUICK, sky="uniform", set_world=True)
    assert len(bpy.data.node_groups) == 2
    bpy.ops.deep_feedback.reset_result(problem="lighting")

    assert list(bpy.data.node_groups.keys()) == ["Solved Sky"]
    assert {"Solved Sky", "Solved Sky Join", "Background", "World Output"} == set(nodes.keys())
    assert shown_nodes(world) == ["Solved Sky Join", "Background"]


def test_a_lamp_that_shares_its_light_gets_its_own_until_reset(lit):
    shared = bpy.data.lights.new("Shared", "SUN")
    shared.energy = 1.5
    solved, other = (bpy.data.objects.new(name, shared) for name in ("Solved", "Other"))
    for thing in (solved, other):
        lit.collection.objects.link(thing)
    lit.deep_feedback.lighting.lamp = solved

    for is_said in (True, False):
        bpy.ops.deep_feedback.solve_lighting(**QUICK)
        sentences = results.report_of("lighting", lit)["sentences"]
        assert (other.data, shared.energy) == (shared, 1.5)
        assert solved.data.energy > 2  # 3 in the picture
        sentence = "'Solved' has a light of its own now, so that what shared it stays as it was: Other."
        assert (sentence in sentences) == is_said

    bpy.ops.deep_feedback.reset_result(problem="lighting")

    assert list(bpy.data.lights) == [shared] == [solved.data]
    assert shared.energy == 1.5


def test_button_uses_its_new_lamp_again(lit):
    for _ in range(2):
        bpy.ops.deep_feedback.solve_lighting(**QUICK)

    assert [thing.name for thing in lit.objects if thing.type == "LIGHT"] == ["Solved Sun"]
    assert results.find("lighting", lit).solve.solution.known == ()


def turn_into_a_point_lamp(lamp):
    lamp.name, lamp.data.type = "Own", "POINT"
    lamp.data.energy = 500


def rename_lamp(lamp):
    lamp.name = "Own"


@pytest.mark.parametrize(
    ("change", "kind", "left"),
    [
        (turn_into_a_point_lamp, "sun", {"Own": "POINT", "Solved Sun": "SUN"}),
        (rename_lamp, "sun", {"Own": "SUN", "Solved Sun": "SUN"}),
        (rename_lamp, "point", {"Own": "SUN", "Solved Point": "POINT"}),
        (None, "point", {"Solved Point": "POINT"}),
    ],
)
def test_a_solve_again_leaves_a_lamp_that_the_user_made_his_own(change, kind, left, lit):
    bpy.ops.deep_feedback.solve_lighting(**QUICK)
    if change is not None:
        change(lit.objects["Solved Sun"])
    own = lit.objects.get("Own")
    energy = own and own.data.energy

    bpy.ops.deep_feedback.solve_lighting(**QUICK, kind=kind)

    assert {thing.name: thing.data.type for thing in lit.objects if thing.type == "LIGHT"} == left
    assert own is None or own.data.energy == energy
    bpy.ops.deep_feedback.reset_result(problem="lighting")
    assert [thing.name for thing in lit.objects if thing.type == "LIGHT"] == ([] if own is None else ["Own"])


def test_a_solve_after_a_reload_replaces_its_lamp_until_the_user_makes_it_his_own(lit, tmp_path):
    bpy.ops.deep_feedback.solve_lighting(**QUICK, sky="uniform", set_world=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "solved.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "solved.blend"))
    scene = bpy.context.scene

    bpy.ops.deep_feedback.solve_lighting(**QUICK)

    assert [thing.name for thing in scene.objects if thing.type == "LIGHT"] == ["Solved Sun"]
    assert results.find("lighting", scene).solve.solution.known == ()
    scene.objects["Solved Sun"].name = "Own"
    bpy.ops.deep_feedback.solve_lighting(**QUICK)
    assert [light.name for light in results.find("lighting", scene).solve.solution.known] == ["Own"]
    assert any(
        "earlier solves that stayed count as known: Own." in one for one in results.report_of("lighting", scene)["sentences"]
    )
    bpy.ops.deep_feedback.reset_result(problem="lighting")
    assert [thing.name for thing in scene.objects if thing.type == "LIGHT"] == ["Own"]
    assert (scene.world, list(bpy.data.worlds), list(bpy.data.node_groups)) == (None, [], [])


def test_reset_takes_a_new_lamp_away_that_was_chosen_and_solved_again(lit):
    bpy.ops.deep_feedback.solve_lighting(**QUICK)
    lit.deep_feedback.lighting.lamp = lit.objects["Solved Sun"]
    for _ in range(2):
        bpy.ops.deep_feedback.solve_lighting(**QUICK)

    bpy.ops.deep_feedback.reset_result(problem="lighting")

    assert not [thing for thing in lit.objects if thing.type == "LIGHT"]
    assert not bpy.data.lights


def test_first_result_stands_where_the_second_solve_fails(lit):
    bpy.ops.deep_feedback.solve_lighting(**QUICK)
    first = results.find("lighting", lit)
    lit.deep_feedback.lighting.use_mask = True
    lit.deep_feedback.lighting.mask.image = bpy.data.images.new("Black", 96, 72)

    with pytest.raises(RuntimeError, match="Solve Lighting: "):
        bpy.ops.deep_feedback.solve_lighting(**QUICK)

    assert results.find("lighting", lit) is first
    bpy.ops.deep_feedback.reset_result(problem="lighting")
    assert not [thing for thing in lit.objects if thing.type == "LIGHT"]


def test_result_is_sent_to_keyframes_of_the_lamp_and_its_light(lit):
    bpy.ops.deep_feedback.solve_lighting(**QUICK)

    bpy.ops.deep_feedback.key_result(problem="lighting")

    light = bpy.data.objects[results.report_of("lighting", lit)["lamp"]]
    assert {curve.data_path for curve in every_curve(light)} == {"location", "rotation_euler"}
    assert {curve.data_path for curve in every_curve(light.data)} == {"energy", "color"}


def test_undo_of_a_second_solve_leaves_the_first_with_its_lamps_and_the_users_own(lit):
    own = bpy.data.objects.new("Own", bpy.data.lights.new("Own", "SUN"))
    own.data.energy, own.hide_render = 0.5, True
    lit.collection.objects.link(own)
    lit.world = world = bpy.data.worlds.new("Own World")
    names = [lit.name, own.name, world.name]
    bpy.ops.ed.undo_push(message="before")
    for _ in range(2):
        bpy.ops.deep_feedback.solve_lighting(**QUICK, sky="uniform", set_world=True)
        bpy.ops.ed.undo_push(message="Solve Lighting")  # as Blender does after an operator in a window
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    scene.name = "Renamed"

    bpy.ops.deep_feedback.solve_lighting(**QUICK, sky="uniform", set_world=True)

    assert [light.name for light in results.find("lighting", scene).solve.solution.known] == names[2:]  # the world alone
    assert sorted(thing.name for thing in scene.objects if thing.type == "LIGHT") == ["Own", "Solved Sun"]
    bpy.ops.ed.undo_push(message="Solve Lighting")
    bpy.ops.deep_feedback.reset_result(problem="lighting")
    bpy.ops.ed.undo_push(message="Reset to Before")
    assert [thing.name for thing in scene.objects if thing.type == "LIGHT"] == names[1:2]
    assert ([one.name for one in bpy.data.worlds], scene.world.name) == (names[2:], names[2])
    assert not any(node.type == "GROUP" for node in scene.world.node_tree.nodes)
    bpy.ops.ed.undo()  # of Reset
    bpy.ops.deep_feedback.reset_result(problem="lighting")
    scene = bpy.context.scene
    assert [thing.name for thing in scene.objects if thing.type == "LIGHT"] == names[1:2]
    assert scene.world.name == names[2]


def test_lamp_is_keyed_under_another_name_and_no_other_one(lit, tmp_path):
    bpy.ops.deep_feedback.solve_lighting(**QUICK)
    solved = bpy.data.objects[results.report_of("lighting", lit)["lamp"]]
    name, solved.name = solved.name, "Key"
    own = bpy.data.objects.new(name, bpy.data.lights.new("Own", "SUN"))
    for thing in (own, solved.copy()):
        lit.collection.objects.link(thing)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "solved.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "solved.blend"))

    bpy.ops.deep_feedback.key_result(problem="lighting")

    assert [thing.name for thing in bpy.context.scene.objects if thing.animation_data is not None] == ["Key"]
    bpy.data.objects.remove(bpy.data.objects["Key"])
    with pytest.raises(RuntimeError, match=f"'{name}' is no longer in the scene"):
        bpy.ops.deep_feedback.key_result(problem="lighting")


def test_light_that_is_unticked_does_not_count_as_known(lit):
    fill, solved = (bpy.data.objects.new(name, bpy.data.lights.new(name, "SUN")) for name in ("Fill", "Key"))
    lit.collection.objects.link(fill)
    lit.collection.objects.link(solved)
    lit.deep_feedback.lighting.lamp = solved
    assert lit.deep_feedback.lighting.ignored == ()

    fill.deep_feedback.is_known_light = solved.deep_feedback.is_known_light = False
    bpy.ops.deep_feedback.solve_lighting(**QUICK)

    assert results.find("lighting", lit).solve.task.ignored == ("Fill",)  # the solved light is no other one


def test_list_shows_the_other_lights_only(lit):
    fill, solved = (bpy.data.objects.new(name, bpy.data.lights.new(name, "POINT")) for name in ("Fill", "Key"))
    lit.collection.objects.link(fill)
    lit.collection.objects.link(solved)
    lit.deep_feedback.lighting.lamp = solved
    shown_list = SimpleNamespace(bitflag_filter_item=1, filter_name="")

    flags, _ = panels.DEEP_FEEDBACK_UL_lights.filter_items(shown_list, bpy.context, lit, "objects")

    assert [thing.name for thing, flag in zip(lit.objects, flags, strict=True) if flag] == ["Fill"]
    layout = FakeLayout()
    panels.DEEP_FEEDBACK_UL_lights.draw_item(None, bpy.context, layout, lit, fill, 0, None, "active_light", 0)
    assert layout.drawn == [("label", "Fill"), ("prop", "is_known_light")]
