# SPDX-License-Identifier: Apache-2.0
import itertools

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from addon import overlay
from addon.solves.solve import Step
from tests.blender.fake_solve import FakeSolve, some_result


def test_view_projects_what_is_in_front_and_drops_what_is_behind():
    perspective = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, -1, 0]], float)
    view = overlay.View(perspective, np.array([200, 100]))

    points = view.points(np.array([[0, 0, -2], [1, 1, -1], [0, 0, 3]], float))

    np.testing.assert_allclose(points, [[100, 50], [200, 100]])


def test_view_cuts_lines_that_pass_the_viewer_and_drops_those_behind():
    view = overlay.View(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, -1, 0]], float), np.array([200, 100]))
    lines = np.array([[[0, 0, -1], [1, 0, -1]], [[1, 0, -1], [1, 0, 1]], [[0, 0, 1], [0, 0, 2]]], float)

    in_front, passing = view.lines(lines)

    np.testing.assert_allclose(in_front, [[100, 50], [200, 50]])
    np.testing.assert_allclose(passing[0], [200, 50])
    assert passing[1, 0] > 1e4  # on towards the right, as far as the cut is near


def test_frame_places_image_corners():
    frame = overlay.Frame(np.array([10.0, 20.0]), np.array([110.0, 70.0]))

    np.testing.assert_allclose(frame.place(np.array([[0, 0], [1, 1], [0.5, 0.5]])), [[10, 20], [110, 70], [60, 45]])


def test_mask_rectangles_cover_the_mask_and_nothing_else(rng):
    mask = rng.random((7, 9)) > 0.5

    area = np.prod(np.diff(overlay.mask_rectangles(mask), axis=1), axis=-1).sum()

    assert area == pytest.approx(mask.mean())


def test_mask_rectangles_have_row_0_on_top():
    mask = np.zeros((4, 4), bool)
    mask[0, 1:3] = True

    np.testing.assert_allclose(overlay.mask_rectangles(mask), [[[0.25, 0.75], [0.75, 1.0]]])


def test_mask_rectangles_of_a_large_mask_are_thinned():
    assert len(overlay.mask_rectangles(np.ones((4000, 20), bool))) <= overlay.MASK_ROWS


def test_mask_rectangles_of_an_empty_mask_are_none():
    assert overlay.mask_rectangles(np.zeros((5, 5), bool)).shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("energies", "count", "expected"),
    [
        ([0.5], 5, [[0, 1]]),
        ([0.4, 0.2], 5, [[0, 1], [0.25, 0.5]]),
        ([0.4, 0.2, 0.1], 2, [[0, 1], [0.5, 0.5], [1, 0.25]]),
        ([0.0, 0.0], 2, [[0, 0], [1, 0]]),
    ],
)
def test_curve_fills_its_box(energies, count, expected):
    np.testing.assert_allclose(overlay.curve_points(energies, count), expected)


@pytest.mark.parametrize(
    ("width", "shown"), [(99, "Good - Step 3 - Refine - IoU 1"), (20, "Good - Refine - IoU 1"), (5, "Good - IoU 1")]
)
def test_text_that_is_too_long_loses_its_middle(width, shown):
    words = ["Good", "Step 3", "Refine", "IoU 1"]

    assert overlay.fitting(words, lambda text: len(text) <= width + 1) == shown


def steps(count):
    return [
        Step(1, index, count, "move", 0.5, "", 0.0, 0.0, world_points=np.array([[index, 0, 0]], np.float32))
        for index in range(count)
    ]


@pytest.fixture
def result(registered):
    registered.collection.objects.link(bpy.data.objects.new("Thing", None))
    return some_result(FakeSolve("Thing"), steps(9))


def test_ghosts_are_the_last_steps_and_fade(result):
    shown = overlay.ghosts(result)

    assert [index for index, _ in shown] == [3, 4, 5, 6, 7]
    assert all(earlier < later < 1 for (_, earlier), (_, later) in itertools.pairwise(shown))


def test_light_path_ends_at_the_step_that_is_shown(result):
    result.current = 2

    np.testing.assert_allclose(overlay.light_path(result)[:, :, 0], [[0, 1], [1, 2]])


def test_camera_frame_is_where_blender_draws_it(registered):
    """Against world points projected by hand through a camera with shift, into a region that shows the frame exactly."""
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.shift_x = 0.1
    camera.matrix_world = Matrix.Translation((1, 2, 3)) @ Matrix.Rotation(0.3, 4, "X")
    registered.collection.objects.link(camera)
    registered.render.resolution_x, registered.render.resolution_y = 400, 200
    projection = camera.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=400, y=200)
    seen = projection @ camera.matrix_world.inverted()

    frame = overlay.camera_frame(camera, registered, overlay.View(np.array(seen), np.array([400, 200])))

    np.testing.assert_allclose(frame.low, [0, 0], atol=1e-3)  # pixels; matrices are float32
    np.testing.assert_allclose(frame.high, [400, 200], atol=1e-3)


def test_mask_preview_is_made_anew_when_the_key_changes(registered):
    from tests.blender.pose_scene import make_pose_scene

    make_pose_scene(registered)
    preview = overlay.MaskPreview()
    assert not preview.is_current(registered)
    preview.update()
    covered = len(preview.rectangles)
    assert covered
    assert preview.is_current(registered)

    registered.deep_feedback.pose.invert = True

    assert not preview.is_current(registered)
    preview.update()
    assert preview.is_current(registered)
    assert len(preview.rectangles) > covered


def test_mask_preview_is_not_that_of_another_file(registered, tmp_path):
    preview = overlay.MaskPreview()
    assert not preview.is_current(registered)
    preview.update()

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"))

    assert not preview.is_current(bpy.context.scene)


def test_mask_preview_says_why_there_is_none(registered):
    preview = overlay.MaskPreview()
    assert not preview.is_current(registered)

    preview.update()

    assert not len(preview.rectangles)
    assert preview.notice
