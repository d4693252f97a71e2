# SPDX-License-Identifier: Apache-2.0
"""Mask from Photo, and poses of photographs in batch jobs."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from addon import panels, results
from addon.schema import Invalid, read_record
from addon.solves.image_source import ImageSource
from addon.solves.photo_mask import ELSEWHERE, Drawn, PhotoMask, PhotoMaskTask, Stroke
from addon.solves.pose import PoseSolve, PoseTask, PoseTaskOptions
from addon.solves.solve import solve_all
from solver_core.problems.pose.photograph import PhotoSession
from solver_core.session import Session
from tests.blender.fake_layout import FakeLayout
from tests.blender.pose_scene import HEIGHT, WIDTH, make_pose_scene

OBJECT, WALL = np.array([0.8, 0.35, 0.2]), np.array([0.3, 0.45, 0.6])  # sRGB


@pytest.fixture
def photo(registered, rng, tmp_path):
    """(H, W) bool where the monkey is in the photograph, an opaque file, that is the silhouette of the scene."""
    make_pose_scene(registered)
    choice = registered.deep_feedback.pose.silhouette
    rgba = np.array(choice.image.pixels[:], np.float32).reshape(HEIGHT, WIDTH, 4)
    truth = rgba[::-1, :, 3] > 0.5
    rgba[..., :3] = np.where(rgba[..., 3:] > 0.5, OBJECT, WALL) + rng.normal(0, 0.03, (HEIGHT, WIDTH, 3))
    rgba[..., 3] = 1
    image = bpy.data.images.new("photo", WIDTH, HEIGHT)
    image.pixels.foreach_set(np.clip(rgba, 0, 1).astype(np.float32).ravel())
    image.filepath_raw, image.file_format = str(tmp_path / "photo.jpg"), "JPEG"
    image.save()
    choice.image = bpy.data.images.load(str(tmp_path / "photo.jpg"))
    choice.image.pixels[0]  # so that Blender has looked at it
    return truth


def box_of(truth, margin=3):
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    low, high = (columns[0] - margin, rows[0] - margin), (columns[-1] + 1 + margin, rows[-1] + 1 + margin)
    return dict(zip(("left", "top", "right", "bottom"), map(int, (*low, *high)), strict=True))


def alpha_of(image):
    return np.array(image.pixels[:], np.float32).reshape(HEIGHT, WIDTH, 4)[::-1, :, 3]


def overlap(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_box_makes_the_mask_that_the_pose_is_solved_with(registered, photo):
    assert not bpy.ops.deep_feedback.solve_pose.poll()

    bpy.ops.deep_feedback.mask_from_photo(**box_of(photo))

    settings = registered.deep_feedback.pose
    mask = settings.silhouette.image
    assert overlap(alpha_of(mask) >= 0.5, photo) > 0.95
    assert (mask.name, mask.packed_file is not None, settings.show_mask) == ("photo.jpg mask", True, True)
    bpy.ops.deep_feedback.solve_pose()
    assert results.find("pose", registered).report["iou"] > 0.95


def test_pose_of_a_photograph_is_solved_from_where_the_object_stands(registered, photo):
    registered.deep_feedback.pose.from_photo = True
    assert bpy.ops.deep_feedback.solve_pose.poll()

    bpy.ops.deep_feedback.solve_pose()

    result = results.find("pose", registered)
    assert result.report["iou"] > 0.95 > result.report["iou_before"]
    (observed,) = result.solve.observed.values()
    mask = np.zeros_like(photo)
    mask[observed.part] = observed.is_object
    assert overlap(mask, photo) > 0.95
    np.testing.assert_allclose(bpy.data.objects["Suzanne"].location, 0, atol=0.05)
    assert len(result.steps[-1].image_lines)


def test_mask_is_no_photograph(registered, photo):
    settings = registered.deep_feedback.pose
    settings.silhouette.source, settings.silhouette.mask = "MASK", bpy.data.masks.new("roto")
    assert bpy.ops.deep_feedback.solve_pose.poll()
    assert not bpy.ops.deep_feedback.mask_from_photo.poll()

    settings.from_photo = True

    assert not bpy.ops.deep_feedback.solve_pose.poll()


def test_frames_of_photographs_have_masks_of_their_own(registered, photo, tmp_path):
    task = PoseTask(
        "Suzanne",
        "Camera",
        ImageSource(file=str(tmp_path / "photo.jpg")),
        options=PoseTaskOptions(from_photo=True, restarts=0),
        frame_start=1,
        frame_end=2,
    )
    solve = PoseSolve.gather(registered, task)

    solve_all(solve)

    assert sorted(solve.observed) == [1, 2]
    assert min(solve.report()["iou"]) > 0.95


def test_photographs_of_a_shot_are_followed_and_solved_in_full_where_that_leads_nowhere(
    registered, photo, tmp_path, monkeypatch
):
    image = registered.deep_feedback.pose.silhouette.image
    shown = np.array(image.pixels[:], np.float32).reshape(HEIGHT, WIDTH, 4)
    gone = shown[:, :1].repeat(WIDTH, axis=1)
    for frame, seen in enumerate((shown, np.roll(shown, 5, axis=1), gone), start=1):
        image.pixels.foreach_set(seen.ravel())
        image.save(filepath=str(tmp_path / f"shot_{frame}.jpg"))
    solved_at = []
    monkeypatch.setattr(PhotoSession, "run", lambda session: solved_at.append(solve.view.picture) or Session.run(session))
    options = PoseTaskOptions(from_photo=True)
    source = ImageSource(file=str(tmp_path / "shot_1.jpg"))
    solve = PoseSolve.gather(registered, PoseTask("Suzanne", "Camera", source, options=options, frame_start=1, frame_end=3))
    phases = {}

    solve_all(solve, lambda step: phases.setdefault(step.part, []).append(step.phase))

    assert len(phases[1]) > 3
    assert phases[2] == phases[3] == ["follow"]
    assert solved_at == [solve.view.picture]  # which is the last one
    assert [verdict == "good" for verdict in solve.report()["verdicts"]] == [True, True, False]
    first, second = (np.array(pose.camera_from_object)[:3, 3] for pose in solve.found_poses[:2])
    assert solve.found_poses[0].intrinsics.fx * (first[0] / first[2] - second[0] / second[2]) == pytest.approx(5, abs=0.5)


def test_object_alone_tells_where_the_mask_is(registered, photo):
    bpy.ops.deep_feedback.mask_from_photo()

    assert overlap(alpha_of(registered.deep_feedback.pose.silhouette.image) >= 0.5, photo) > 0.9


def test_cutout_is_kept_in_the_file_with_the_colors_of_the_photograph(registered, photo, tmp_path):
    bpy.ops.deep_feedback.mask_from_photo(**box_of(photo))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    (tmp_path / "photo.jpg").unlink()

    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))

    mask = bpy.context.scene.deep_feedback.pose.silhouette.image
    assert overlap(alpha_of(mask) >= 0.5, photo) > 0.95
    shown = np.array(mask.pixels[:]).reshape(HEIGHT, WIDTH, 4)[::-1]
    np.testing.assert_allclose(shown[~photo][:, :3].mean(axis=0), WALL, atol=0.02)  # also where nothing is the object


def test_mask_made_anew_replaces_the_earlier_one(registered, photo):
    bpy.ops.deep_feedback.mask_from_photo(**box_of(photo))
    name = registered.deep_feedback.pose.silhouette.image.name
    user = bpy.data.objects.new("Card", None)
    user.empty_display_type, user.data = "IMAGE", registered.deep_feedback.pose.silhouette.image

    bpy.ops.deep_feedback.mask_from_photo(**box_of(photo, margin=8))  # of the cutout, whose colors are the photograph's

    second = registered.deep_feedback.pose.silhouette.image
    assert (second.name, user.data) == (name, second)
    assert [image.name for image in bpy.data.images if "mask" in image.name] == [name]
    assert overlap(alpha_of(second) >= 0.5, photo) > 0.95


def test_object_that_stands_elsewhere_is_left_out_and_said(registered, photo):
    box = tuple(box_of(photo).values())
    bpy.data.objects["Suzanne"].location.x = 1.6
    task = PhotoMaskTask(registered.deep_feedback.pose.silhouette.chosen, "Camera", "Suzanne", Drawn(box))

    found = PhotoMask.gather(registered, task).find()

    assert found.notes[0] == ELSEWHERE
    assert overlap(found.coverage >= 0.5, photo) > 0.9


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        ({}, "Mask from Photo: Nothing says where the object is"),
        ({"left": 500, "top": 1, "right": 600, "bottom": 50}, "lies outside of the image of 160 x 120 pixels"),
        ({"left": 50, "top": 1, "right": 20, "bottom": 50}, "with left < right"),
    ],
)
def test_box_that_says_nothing_gives_a_sentence(registered, photo, box, sentence):
    before = registered.deep_feedback.pose.silhouette.image

    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.deep_feedback.mask_from_photo(**box, use_object=False)

    assert registered.deep_feedback.pose.silhouette.image == before


def test_box_drawn_in_the_camera_view_is_in_pixels_of_the_photograph(registered, photo):
    registered.render.use_border = True  # only the right half counts
    registered.render.border_min_x, registered.render.border_max_x = 0.5, 1.0
    task = PhotoMaskTask(registered.deep_feedback.pose.silhouette.chosen, "Camera")
    photo_mask = PhotoMask.gather(registered, task)

    box = photo_mask.box_around(np.array([[0.6, 0.25], [0.9, 0.75]]))

    np.testing.assert_allclose(box, (0.6 * WIDTH, 0.25 * HEIGHT, 0.9 * WIDTH, 0.75 * HEIGHT), atol=0.5)
    assert photo_mask.box_around(np.array([[1.2, -1], [0.5, 0.5]])) == (WIDTH // 2, HEIGHT // 2, WIDTH, HEIGHT)


def outline(truth, margin=6):
    """Corners of a lasso around the object: its rows, each widened."""
    rows = np.flatnonzero(truth.any(axis=1))[::4]
    spans = [np.flatnonzero(truth[row])[[0, -1]] for row in rows]
    left = [(float(low - margin), float(row)) for row, (low, _) in zip(rows, spans, strict=True)]
    right = [(float(high + margin), float(row)) for row, (_, high) in zip(rows, spans, strict=True)]
    top, bottom = (rows[0] - margin, rows[-1] + 4 + margin)
    return (
        (left[0][0], float(top)),
        (right[0][0], float(top)),
        *right,
        (right[-1][0], float(bottom)),
        (left[-1][0], float(bottom)),
        *left[::-1],
    )


def test_lasso_makes_the_mask(registered, photo):
    bpy.ops.deep_feedback.mask_from_photo(marks=Drawn(lasso=outline(photo)).to_json(), use_object=False)

    assert overlap(alpha_of(registered.deep_feedback.pose.silhouette.image) >= 0.5, photo) > 0.95


def test_strokes_refine_a_mask_and_are_kept_with_it(registered, photo):
    box = tuple(map(float, box_of(photo).values()))
    bpy.ops.deep_feedback.mask_from_photo(**box_of(photo), use_object=False)
    first = registered.deep_feedback.pose.silhouette.image
    middle = np.argwhere(photo).mean(axis=0)[::-1]
    cut = Stroke(False, 6.0, ((middle[0] - 12, middle[1]), (middle[0] + 12, middle[1])))
    assert Drawn.of_image(first.name) == Drawn(box)

    refined = Drawn(box, strokes=(cut,))
    bpy.ops.deep_feedback.mask_from_photo(**box_of(photo), marks=Drawn(strokes=(cut,)).to_json(), use_object=False)

    second = registered.deep_feedback.pose.silhouette.image
    alpha = alpha_of(second)
    column, row = middle.astype(int)
    assert alpha[row, column - 10 : column + 10].max() == 0  # though it looks like the object
    assert overlap(alpha >= 0.5, photo) > 0.6
    assert Drawn.of_image(second.name) == refined
    assert Drawn.from_json(refined.to_json()) == refined


def test_later_strokes_paint_over_earlier_ones():
    first, second = Stroke(True, 2.0, ((3.0, 5.0), (9.0, 5.0))), Stroke(False, 1.5, ((6.0, 5.0),))

    inside, outside = Drawn(strokes=(first, second)).painted(12, 14)

    assert inside[4, 2]
    assert inside[4, 8]
    assert outside[4, 6]
    assert not (inside & outside).any()
    assert inside.sum() + outside.sum() == Drawn(strokes=(first,)).painted(12, 14)[0].sum()
    assert not Drawn(strokes=(Stroke(True, 3.0, ((-20.0, 4.0), (-9.0, 90.0))),)).painted(12, 14)[0].any()


def test_places_in_the_camera_view_and_pixels_are_inverse(registered, photo, rng):
    registered.render.use_border = True
    registered.render.border_min_x, registered.render.border_max_x = 0.5, 1.0
    task = PhotoMaskTask(registered.deep_feedback.pose.silhouette.chosen, "Camera")
    photo_mask, places = PhotoMask.gather(registered, task), rng.uniform(size=(5, 2))

    np.testing.assert_allclose(photo_mask.places_of(photo_mask.pixels_at(places)), places, atol=1e-9)


def test_marks_that_are_no_marks_give_a_sentence(registered, photo):
    with pytest.raises(RuntimeError, match="draw it anew"):
        bpy.ops.deep_feedback.mask_from_photo(marks='{"strokes": [1]}')


def test_render_region_bounds_the_mask(registered, photo):
    registered.render.use_border = True
    registered.render.border_min_x, registered.render.border_max_x = 0.5, 1.0

    bpy.ops.deep_feedback.mask_from_photo(**box_of(photo), use_object=False)

    coverage = alpha_of(registered.deep_feedback.pose.silhouette.image)
    assert coverage[:, : WIDTH // 2].max() == 0
    half = photo[:, WIDTH // 2 :]
    assert overlap(coverage[:, WIDTH // 2 :] >= 0.5, half) > 0.9


def test_button_stands_beside_the_sentence_where_a_photograph_has_no_alpha(registered, photo):
    layout = FakeLayout()

    panels.DEEP_FEEDBACK_PT_pose.draw(SimpleNamespace(layout=layout), bpy.context)

    assert any("no alpha" in text for kind, text in layout.drawn if kind == "label")
    assert ("operator", "deep_feedback.mask_from_photo") in layout.drawn
    registered.deep_feedback.pose.silhouette.image = None
    assert not bpy.ops.deep_feedback.mask_from_photo.poll()


def test_task_with_a_box_solves_the_pose_of_a_photograph(registered, photo, tmp_path):
    box = tuple(map(float, box_of(photo).values()))
    task = PoseTask("Suzanne", "Camera", ImageSource(file=str(tmp_path / "photo.jpg")), box=box)
    solve = PoseSolve.gather(registered, task)

    solve_all(solve)

    report = solve.report()
    assert report["verdict"] == "good"
    assert report["iou"] > 0.95 > report["iou_before"]


def test_box_of_a_job_has_four_numbers(tmp_path):
    entry = {"object": "Car", "camera": "Camera", "silhouette": {"file": "car.jpg"}, "box": [1, 2, 3]}

    with pytest.raises(Invalid) as caught:
        read_record(PoseTask, entry, "", tmp_path)

    assert caught.value.key == "box"
    assert read_record(PoseTask, entry | {"box": [1, 2, 3, 4]}, "", tmp_path).box == (1, 2, 3, 4)
