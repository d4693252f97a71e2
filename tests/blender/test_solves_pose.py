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
    assert report["alternatives"][0]["iou"] == report["iou"]
    np.testing.assert_allclose(report["alternatives"][0]["location"], monkey.location, atol=1e-5)
    assert steps[-1].quality == f"IoU {report['iou']:.3f}"
    assert [step.index for step in steps] == list(range(len(steps)))
    assert all(((step.image_lines >= 0) & (step.image_lines <= 1)).all() for step in steps)
    assert len(solve.observed_image_lines) > 50


def test_result_that_keyframes_will_take_back_comes_with_a_notice(scene, monkey, silhouette):
    monkey.keyframe_insert("location", frame=1)

    solve = PoseSolve.gather(
        scene, PoseTask("Suzanne", "Camera", silhouette, options=PoseTaskOptions(refine=False, restarts=0))
    )
    drain(solve)

    assert "'Suzanne' is animated" in solve.report()["notices"][0]


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

    assert (steps[-1].answer == expected.camera_from_object).all()
    assert solve.report()["iou"] == expected.iou
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

    with pytest.raises(SolverError, match="no object 'Suzanne'"):
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
