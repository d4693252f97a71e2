# SPDX-License-Identifier: Apache-2.0
"""Solve Pose on silhouettes that Cycles rendered."""

import bpy
import numpy as np
import pytest
from mathutils import Quaternion

import solver_core as sc
from addon.bridge.camera import read_camera, read_camera_pose
from addon.bridge.mesh import read_rigid_mesh
from addon.bridge.scene import evaluate
from addon.solves.image_source import ImageSource, MaskKey
from addon.solves.pose import PoseSolve, PoseTask, PoseTaskOptions, preview_mask
from solver_core.errors import SolverError

from .solve_scenes import add_camera, add_monkey, drain, points_in_world, render


@pytest.fixture
def camera(scene):
    return add_camera(scene)


@pytest.fixture
def monkey(scene, camera):
    monkey = add_monkey(scene)
    monkey.scale = (1.2, -0.9, 1)  # what a silhouette determines, but for the mirrored one's scale
    monkey.rotation_euler = (0.2, 0.1, 0.4)
    return monkey


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of pictures that several tests share."""
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture
def silhouette(scene, monkey, folder) -> ImageSource:
    return ImageSource(file=render(scene, folder / "mask.png"))


def move_away(thing):
    thing.rotation_euler = (0.35, -0.1, 0.25)
    thing.location = (0.3, 0.2, -0.2)


def test_the_object_returns_to_where_it_was_rendered(scene, monkey, silhouette):
    expected = points_in_world(monkey)
    move_away(monkey)

    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", silhouette))
    steps = drain(solve)

    np.testing.assert_allclose(points_in_world(monkey), expected, atol=0.03)  # about half a pixel of 128
    report = solve.report()
    assert report["iou"] > 0.98 > report["iou_before"]
    assert report["alternatives"][0]["iou"] == pytest.approx(report["iou"], abs=2e-3)  # Blender's float32
    np.testing.assert_allclose(report["alternatives"][0]["location"], monkey.location, atol=1e-5)
    assert float(steps[-1].quality.removeprefix("IoU ")) == pytest.approx(report["iou"], abs=0.03)  # of soft edges
    assert [step.index for step in steps] == list(range(len(steps)))
    assert all(((step.image_lines >= 0) & (step.image_lines <= 1)).all() for step in steps)
    assert len(steps[-1].observed_lines) > 50


def test_result_that_keyframes_take_back_is_doubtful_and_says_so(scene, monkey, silhouette):
    move_away(monkey)
    monkey.keyframe_insert("location", frame=1)
    monkey.keyframe_insert("rotation_euler", frame=1)

    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", silhouette, options=PoseTaskOptions(restarts=0)))
    drain(solve)

    report = solve.report()
    assert report["verdict"] != "good"
    assert "'Suzanne' is animated" in report["explanation"]
    assert report["iou"] == pytest.approx(report["iou_before"], abs=1e-3)
    assert tuple(monkey.location) != pytest.approx((0.3, 0.2, -0.2))  # the answer can still be looked at


def test_the_camera_returns_to_where_it_rendered(scene, camera, monkey, silhouette):
    expected = np.array(camera.matrix_world)
    camera.location.x += 0.3
    camera.rotation_euler.z += 0.02
    before = points_in_world(monkey)

    drain(PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", silhouette, options=PoseTaskOptions(move="CAMERA"))))

    bpy.context.view_layer.update()
    np.testing.assert_allclose(np.array(camera.matrix_world), expected, atol=0.1)  # far away, along its own view
    assert (points_in_world(monkey) == before).all()


def test_the_result_is_that_of_the_library(scene, camera, monkey, silhouette):
    move_away(monkey)
    depsgraph = evaluate(scene)
    mesh, world_from_camera = read_rigid_mesh(depsgraph, monkey), read_camera_pose(depsgraph, camera)
    task = PoseTask("Suzanne", "Camera", silhouette, options=PoseTaskOptions(restarts=2, seed=3))
    mask = preview_mask(scene, silhouette, task.mask)
    start = np.linalg.solve(world_from_camera, mesh.world_from_object)
    expected = sc.solve_pose(
        mask,
        mesh.vertices,
        mesh.faces,
        read_camera(scene, depsgraph, camera),
        start,
        restarts=2,
        rng=np.random.default_rng(3),
    )

    solve = PoseSolve.gather(scene, task)
    steps = drain(solve)

    np.testing.assert_allclose(steps[-1].answer.motion, solve.view.motion(expected.camera_from_object), atol=1e-6)
    assert solve.report()["iou"] == pytest.approx(expected.iou, abs=0.03)  # which counts soft edges by what they cover
    world_from_object = read_rigid_mesh(evaluate(scene), monkey).world_from_object
    np.testing.assert_allclose(world_from_object, world_from_camera @ expected.camera_from_object, atol=1e-5)


def test_restore_puts_back_what_was_there_to_the_bit(scene, monkey, silhouette):
    move_away(monkey)
    before = (tuple(monkey.location), tuple(monkey.rotation_euler), tuple(monkey.scale))
    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", silhouette, options=PoseTaskOptions(restarts=0)))
    solve.read(solve.parts[0])
    steps = list(solve.steps())
    solve.apply(steps[3])
    assert tuple(monkey.location) != before[0]

    solve.restore()

    assert (tuple(monkey.location), tuple(monkey.rotation_euler), tuple(monkey.scale)) == before


def test_restore_skips_what_is_gone(scene, monkey, silhouette):
    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", silhouette))
    bpy.data.objects.remove(monkey)

    solve.restore()

    with pytest.raises(SolverError, match="'Suzanne' is no longer in the scene"):
        solve.read(solve.parts[0])


@pytest.mark.parametrize("mode", ["QUATERNION", "ZYX"])
def test_a_range_gets_a_keyframe_a_frame_and_nothing_else(mode, scene, monkey, folder):
    angles = {1: 0.4, 2: 0.5, 3: 0.6}
    expected = {}
    for frame, angle in angles.items():
        monkey.rotation_euler.z = angle
        render(scene, folder / f"mask_{frame:02d}.png")
        expected[frame] = points_in_world(monkey)
    monkey.rotation_mode = mode
    monkey.rotation_quaternion = Quaternion((0, 0, 1), 0.3)
    monkey.rotation_euler = (0.2, 0, 0.3)
    scene.frame_set(7)
    source = ImageSource(file=str(folder / "mask_01.png"))

    solve = PoseSolve.gather(
        scene, PoseTask("Suzanne", "Camera", source, options=PoseTaskOptions(restarts=0), frame_start=1, frame_end=3)
    )
    steps = drain(solve)

    assert scene.frame_current == 7
    assert solve.parts == (1, 2, 3)
    assert {step.part for step in steps} == {1, 2, 3}
    for frame, points in expected.items():
        scene.frame_set(frame)
        np.testing.assert_allclose(points_in_world(monkey), points, atol=0.04)
    assert monkey.animation_data is not None
    report = solve.report()
    assert len(report["iou"]) == len(report["iou_before"]) == 3
    assert report["iou_before"][1] > report["iou_before"][0]  # a warm start


def test_cancelling_a_range_sets_no_keyframe(scene, monkey, folder):
    for frame in (1, 2):
        render(scene, folder / f"mask_{frame:02d}.png")
    source = ImageSource(file=str(folder / "mask_01.png"))
    solve = PoseSolve.gather(
        scene, PoseTask("Suzanne", "Camera", source, options=PoseTaskOptions(restarts=0), frame_start=1, frame_end=2)
    )
    solve.read(1)
    list(solve.steps())
    solve.keep()

    solve.restore()

    assert monkey.animation_data is None


def test_a_background_of_half_the_size_serves(scene, camera, monkey, tmp_path):
    scene.render.resolution_percentage = 50
    path = render(scene, tmp_path / "mask.png")
    scene.render.resolution_percentage = 100
    camera.data.background_images.new().image = bpy.data.images.load(path)
    expected = points_in_world(monkey)
    move_away(monkey)

    drain(PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", ImageSource(use_background=True))))

    np.testing.assert_allclose(points_in_world(monkey), expected, atol=0.08)  # 64 x 48 pixels


def expect_solved(scene, monkey, source, atol=0.04, **options):
    """Solves from a little away and expects the monkey where it was."""
    expected = points_in_world(monkey)
    move_away(monkey)

    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", source, options=PoseTaskOptions(**options)))
    steps = drain(solve)

    np.testing.assert_allclose(points_in_world(monkey), expected, atol=atol)
    assert all(((step.image_lines > -1) & (step.image_lines < 2)).all() for step in steps)
    return solve


def test_an_orthographic_camera_gives_the_pose_but_for_the_distance(scene, camera, monkey, tmp_path):
    camera.data.type, camera.data.ortho_scale, camera.data.shift_x = "ORTHO", 4, 0.05
    source = ImageSource(file=render(scene, tmp_path / "mask.png"))
    expected = points_in_world(monkey)
    move_away(monkey)
    depth = camera_depth(camera, monkey)

    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", source))
    drain(solve)

    assert solve.report()["verdict"] == "good"
    assert camera_depth(camera, monkey) == pytest.approx(depth, abs=0.3)  # it cannot be known
    across = np.array(camera.matrix_world.to_3x3())[:, :2]
    np.testing.assert_allclose(points_in_world(monkey) @ across, expected @ across, atol=0.03)


def camera_depth(camera, thing):
    bpy.context.view_layer.update()
    return (camera.matrix_world.inverted() @ thing.matrix_world.translation).z


@pytest.mark.parametrize("is_cropped", [True, False])
def test_the_render_region_counts(is_cropped, scene, monkey, tmp_path):
    settings = scene.render
    settings.use_border, settings.use_crop_to_border = True, is_cropped
    settings.border_min_x, settings.border_max_x, settings.border_min_y, settings.border_max_y = 0.3, 0.95, 0.2, 0.85
    source = ImageSource(file=render(scene, tmp_path / "mask.png"))

    solve = expect_solved(scene, monkey, source)

    assert solve.report()["verdict"] == "good"
    assert bool(solve.report()["notices"]) == (not is_cropped)


def test_a_whole_picture_is_taken_for_whole_although_renders_are_cropped(scene, monkey, silhouette):
    scene.render.use_border = scene.render.use_crop_to_border = True
    scene.render.border_min_x, scene.render.border_min_y = 0.5, 0.5  # of the same aspect

    assert expect_solved(scene, monkey, silhouette).report()["verdict"] == "good"


@pytest.mark.parametrize("size", [(128, 128), (96, 128)])
def test_a_picture_of_another_aspect_is_seen_as_if_renders_had_its_size(size, scene, monkey, tmp_path):
    scene.render.resolution_x, scene.render.resolution_y = size
    source = ImageSource(file=render(scene, tmp_path / "mask.png"))
    scene.render.resolution_x, scene.render.resolution_y = 192, 108

    report = expect_solved(scene, monkey, source).report()

    assert report["verdict"] == "good"
    assert f"The image has {size[0]} x {size[1]} pixels and the render 192 x 108" in report["notices"][0]


def test_modifiers_are_those_that_renders_show(scene, monkey, tmp_path):
    modifier = monkey.modifiers.new("Array", "ARRAY")
    modifier.relative_offset_displace, modifier.show_viewport = (0, 0, 0.5), False
    source = ImageSource(file=render(scene, tmp_path / "mask.png"))

    assert expect_solved(scene, monkey, source, atol=0.05).report()["verdict"] == "good"
    assert not modifier.show_viewport


@pytest.mark.parametrize("hide", ["hide_viewport", "hide_set"])
def test_an_object_that_is_hidden_is_refused_in_a_sentence(hide, scene, monkey, silhouette):
    if hide == "hide_set":
        monkey.hide_set(True)
    else:
        monkey.hide_viewport = True

    assert "'Suzanne' has no faces that are visible" in refused(scene, monkey, silhouette)


def test_a_locked_channel_stays_and_is_named_as_the_cause(scene, monkey, silhouette):
    move_away(monkey)
    monkey.lock_location[0] = True
    x = monkey.location.x

    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", silhouette, options=PoseTaskOptions(restarts=0)))
    drain(solve)

    assert monkey.location.x == x
    report = solve.report()
    assert report["verdict"] != "good"
    assert "The location X of 'Suzanne' is locked" in report["explanation"]
    assert f"overlap by {report['iou']:.1%}" in report["explanation"]


def test_a_modifier_that_depends_on_another_object_is_solved_from_the_scene_s_answers(scene, monkey, folder):
    lattice = bpy.data.objects.new("Lattice", bpy.data.lattices.new("Lattice"))
    scene.collection.objects.link(lattice)
    lattice.scale = (6, 6, 6)
    lattice.data.points[7].co_deform.z += 0.3
    monkey.modifiers.new("Lattice", "LATTICE").object = lattice
    source = ImageSource(file=render(scene, folder / "bent.png"))
    move_away(monkey)

    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", source, options=PoseTaskOptions(restarts=0)))
    drain(solve)

    report = solve.report()
    assert report["iou"] > 0.97
    assert report["steps"] > len(solve.solutions[-1].history)  # more than one round


def test_a_scene_that_answers_otherwise_than_was_solved_is_measured(scene, monkey, silhouette):
    move_away(monkey)
    before = monkey.location.copy()
    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", silhouette, options=PoseTaskOptions(restarts=0)))
    solve.read(1)
    list(solve.steps())
    solve.keep()
    monkey.constraints.new("LIMIT_LOCATION").use_max_x = True  # since the solve began
    monkey.constraints[0].max_x = -1

    list(solve.finish())

    report = solve.report()
    assert report["verdict"] == "bad"
    assert "'Suzanne' is held by its constraint 'Limit Location'" in report["explanation"]
    assert report["iou"] < 0.9
    assert before != monkey.location


def test_frames_around_a_missing_picture_are_kept_and_counted(scene, monkey, folder, tmp_path):
    for frame in (1, 2, 4):
        render(scene, tmp_path / f"mask_{frame:02d}.png")
    move_away(monkey)
    source = ImageSource(file=str(tmp_path / "mask_01.png"))

    solve = PoseSolve.gather(
        scene, PoseTask("Suzanne", "Camera", source, options=PoseTaskOptions(restarts=0), frame_start=1, frame_end=4)
    )
    drain(solve)

    report = solve.report()
    assert report["frames"] == [1, 2, 4]
    assert report["verdict"] == "doubtful"
    missing = f"The image file '{tmp_path / 'mask_03.png'}' does not exist."
    assert report["explanation"] == f"3 of 4 frames were solved and are kept. Frame 3: {missing}"
    assert report["unsolved"] == {"3": missing}
    for frame in (2, 4):
        scene.frame_set(frame)
        np.testing.assert_allclose(monkey.location, 0, atol=0.05)


def test_a_range_keeps_locked_channels_and_keys_the_others(scene, monkey, tmp_path):
    for frame in (1, 2):
        render(scene, tmp_path / f"mask_{frame:02d}.png")
    monkey.lock_location[2] = True
    source = ImageSource(file=str(tmp_path / "mask_01.png"))

    task = PoseTask("Suzanne", "Camera", source, options=PoseTaskOptions(restarts=0), frame_start=1, frame_end=2)
    drain(PoseSolve.gather(scene, task))

    action = monkey.animation_data.action
    curves = action.layers[0].strips[0].channelbags[0].fcurves if hasattr(action, "layers") else action.fcurves
    assert {(curve.data_path, curve.array_index) for curve in curves} == {
        ("location", 0),
        ("location", 1),
        *(("rotation_euler", index) for index in range(3)),
    }


def test_auto_keying_keys_the_current_frame(scene, monkey, silhouette):
    move_away(monkey)
    monkey.keyframe_insert("location", frame=1)
    scene.tool_settings.use_keyframe_insert_auto = True

    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", silhouette, options=PoseTaskOptions(restarts=0)))
    drain(solve)

    scene.frame_set(1)
    np.testing.assert_allclose(monkey.location, 0, atol=0.05)
    assert solve.report()["verdict"] == "good"


def test_an_object_that_was_renamed_meanwhile_is_solved_and_restored(scene, monkey, silhouette):
    move_away(monkey)
    before = tuple(monkey.location)
    solve = PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", silhouette, options=PoseTaskOptions(restarts=0)))
    solve.read(1)
    monkey.name = "Renamed"
    step = list(solve.steps())[-1]

    solve.apply(step)
    assert tuple(monkey.location) != before
    solve.restore()

    assert tuple(monkey.location) == before


def refused(scene, monkey, silhouette, **changes) -> str:
    task = {"object": "Suzanne", "camera": "Camera", "silhouette": silhouette} | changes
    with pytest.raises(SolverError) as caught:
        drain(PoseSolve.gather(scene, PoseTask(**task)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"object": ""}, "Choose an object: none is given."),
        ({"object": "Nobody"}, "there is no object 'Nobody'"),
        ({"object": "Camera"}, "'Camera' has no faces"),
        ({"camera": "Suzanne"}, "'Suzanne' is not a camera"),
        ({"mask": MaskKey("LUMINANCE", threshold=1.0)}, "silhouette is empty"),
        ({"mask": MaskKey("LUMINANCE", threshold=0.0)}, "fills the whole image"),
        ({"frame_start": 9, "frame_end": 3}, "ends before it begins: 9 to 3"),
    ],
)
def test_what_cannot_be_solved_is_a_sentence(changes, sentence, scene, monkey, silhouette):
    assert sentence in refused(scene, monkey, silhouette, **changes)


def test_an_object_behind_the_camera_is_a_sentence(scene, monkey, silhouette):
    monkey.location = (6, -14, 6)

    assert "is not in front of the camera" in refused(scene, monkey, silhouette)


def test_a_range_is_refused_where_the_action_is_linked(scene, monkey, silhouette, tmp_path):
    monkey.keyframe_insert("location", frame=1)
    action = monkey.animation_data.action
    bpy.data.libraries.write(str(tmp_path / "actions.blend"), {action}, fake_user=True)
    with bpy.data.libraries.load(str(tmp_path / "actions.blend"), link=True) as (_, linked):
        linked.actions = [action.name]
    monkey.animation_data.action = linked.actions[0]

    with pytest.raises(SolverError, match="linked from another file"):
        PoseSolve.gather(scene, PoseTask("Suzanne", "Camera", silhouette, frame_start=1, frame_end=2))
