# SPDX-License-Identifier: Apache-2.0
"""Ranges of Solve Pose: directions, keyframes, and frames that are not sure."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from addon import panels, results
from addon.bridge.keyframes import key_frames
from addon.solves.image_source import ImageSource
from addon.solves.pose import PoseSolve, PoseTask, PoseTaskOptions
from addon.solves.solve import solve_all
from solver_core.errors import ObservationError
from tests.blender.fake_layout import FakeLayout
from tests.blender.pose_scene import HEIGHT, WIDTH, make_pose_scene

QUICK = {"steps": 2, "restarts": 0, "refine": False}  # for tests that are not about the fit


@pytest.fixture
def monkey(registered):
    monkey = make_pose_scene(registered)
    monkey.keyframe_insert("location", frame=2)
    monkey.keyframe_insert("rotation_euler", frame=9)
    registered.frame_set(5)
    return monkey


@pytest.mark.parametrize(("backwards", "ends"), [(False, (5, 8)), (True, (3, 5))])
def test_range_goes_from_the_current_frame_to_a_keyframe(registered, monkey, backwards, ends):
    bpy.ops.deep_feedback.range_to_keyframe(backwards=backwards)

    settings = registered.deep_feedback.pose
    assert (settings.use_range, settings.backwards) == (True, backwards)
    assert (settings.frame_start, settings.frame_end) == ends


def test_frames_between_keyframes_start_where_their_animation_has_them(registered, monkey):
    monkey.location.x = 0.3
    monkey.keyframe_insert("location", frame=9)
    registered.frame_set(8)
    bpy.ops.deep_feedback.range_between_keyframes()
    settings = registered.deep_feedback.pose
    assert (settings.use_range, settings.frame_start, settings.frame_end, settings.as_animated) == (True, 3, 8, True)
    settings.frame_start = 7

    bpy.ops.deep_feedback.solve_pose(**QUICK)

    before = results.find("pose", registered).report["iou_before"]
    assert before[0] > before[1] + 0.01  # frame 8 starts farther off than 7, though 7 was solved
    bpy.ops.deep_feedback.solve_pose(**QUICK, as_animated=False, frame_start=7, frame_end=8)
    again = results.find("pose", registered).report["iou_before"]
    assert again[1] > before[1]
    assert {2, 7, 8, 9} <= key_frames(monkey, "location")


def test_frames_between_keyframes_start_after_the_current_one(registered, monkey):
    monkey.keyframe_insert("location", frame=4)
    settings = registered.deep_feedback.pose
    registered.frame_set(4)
    bpy.ops.deep_feedback.range_between_keyframes()
    assert (settings.frame_start, settings.frame_end) == (5, 8)
    registered.frame_set(2)
    bpy.ops.deep_feedback.range_between_keyframes()
    assert (settings.frame_start, settings.frame_end) == (3, 3)

    monkey.keyframe_insert("location", frame=3)
    with pytest.raises(RuntimeError, match="There is no frame between the keyframes 2 and 3"):
        bpy.ops.deep_feedback.range_between_keyframes()


def test_range_says_where_no_keyframe_follows(registered, monkey):
    registered.frame_set(9)

    with pytest.raises(RuntimeError, match="To Next Keyframe: There is no keyframe after frame 9"):
        bpy.ops.deep_feedback.range_to_keyframe()


def test_range_is_solved_backwards_and_kept_in_order(registered, monkey):
    bpy.ops.deep_feedback.solve_pose(**QUICK, use_range=True, frame_start=4, frame_end=6, backwards=True)

    result = results.find("pose", registered)
    assert result.solve.parts == (6, 5, 4)
    assert list(result.steps_of) == [6, 5, 4]
    assert result.report["frames"] == [4, 5, 6]
    before = result.report["iou_before"]
    assert before[0] > before[2]  # it started from the frame after it
    assert {4, 5, 6} <= key_frames(monkey, "location")
    assert [pose.frame for pose in result.solve.found_poses] == [4, 5, 6]


def test_clear_range_removes_keys_in_it_and_no_others(registered, monkey):
    monkey.keyframe_insert("location", frame=4)
    settings = registered.deep_feedback.pose
    settings.frame_start, settings.frame_end = 3, 9

    bpy.ops.deep_feedback.clear_range()

    assert key_frames(monkey, "location") == {2}
    assert key_frames(monkey, "rotation_euler") == set()


def test_doubtful_frames_are_marked_and_jumped_to(registered, monkey):
    bpy.ops.deep_feedback.solve_pose(**QUICK, use_range=True, frame_start=4, frame_end=6)
    result = results.find("pose", registered)
    results.conclude(result, result.report | {"verdicts": ["bad", "good", "doubtful"]})
    registered.timeline_markers.new("mine", frame=4)

    for _ in range(2):  # the second time in place of the first
        bpy.ops.deep_feedback.mark_doubtful_frames()

    markers = {(marker.name, marker.frame) for marker in registered.timeline_markers}
    assert markers == {("mine", 4), ("Bad pose", 4), ("Doubtful pose", 6)}
    assert len(registered.timeline_markers) == 3
    seen = []
    for _ in range(2):
        bpy.ops.deep_feedback.next_doubtful_frame()
        seen.append(registered.frame_current)
    assert seen == [6, 4]
    bpy.ops.deep_feedback.look_at_frame(frame=6)
    assert registered.frame_current == 6
    layout = FakeLayout()
    panels.DEEP_FEEDBACK_PT_pose.draw(SimpleNamespace(layout=layout), bpy.context)
    assert layout.drawn.count(("operator", "deep_feedback.look_at_frame")) == 2
    assert {("text", "4"), ("text", "6")} <= set(layout.drawn)


def test_doubtful_frames_lose_their_keyframes(registered, monkey):
    bpy.ops.deep_feedback.solve_pose(**QUICK, use_range=True, frame_start=4, frame_end=6)
    result = results.find("pose", registered)
    results.conclude(result, result.report | {"verdicts": ["good", "bad", "good"]})

    bpy.ops.deep_feedback.clear_doubtful_frames()

    assert key_frames(monkey, "location") == {2, 4, 6}
    assert key_frames(monkey, "rotation_euler") == {4, 6, 9}


def test_good_frames_are_not_marked(registered, monkey):
    bpy.ops.deep_feedback.solve_pose(use_range=True, frame_start=5, frame_end=6)
    assert results.find("pose", registered).report["verdicts"] == ["good", "good"]

    bpy.ops.deep_feedback.mark_doubtful_frames()

    assert len(registered.timeline_markers) == 0
    bpy.ops.deep_feedback.next_doubtful_frame()
    assert registered.frame_current == 5  # as before the solve
    assert np.isfinite(results.find("pose", registered).report["iou"]).all()


def test_a_shot_is_followed_and_solved_in_full_where_that_is_not_sure(registered, monkey):
    """The object is elsewhere from frame 6 on, and half of it is hidden in frame 7."""
    task = PoseTask("Suzanne", "Camera", ImageSource(image="Silhouette"), frame_start=4, frame_end=8)
    solve = PoseSolve.gather(registered, task)
    phases, image = [], bpy.data.images["Silhouette"]
    there = np.array(image.pixels[:], np.float32).reshape(HEIGHT, WIDTH, 4)
    elsewhere = np.roll(there, 40, axis=1)
    half = elsewhere.copy()
    half[:, : int(np.nonzero(elsewhere[..., 3])[1].mean()), 3] = 0
    after = {5: elsewhere, 6: half, 7: elsewhere}

    def show(step):
        phases.append((step.part, step.phase))
        if step.part in after:  # what the next frame shows
            image.pixels.foreach_set(after[step.part].ravel())

    solve_all(solve, show)

    followed = {part for part, phase in phases if phase == "follow"}
    assert {5, 6} <= followed
    assert 7 not in followed
    iou = dict(zip(solve.report()["frames"], solve.report()["iou"], strict=True))
    assert min(iou[frame] for frame in (4, 5, 6, 8)) > 0.95
    assert solve.report()["verdicts"][3] != "good"


def test_a_range_goes_on_after_frames_without_a_silhouette(registered, monkey, monkeypatch):
    read = ImageSource.read

    def read_some(source, scene, camera, frame, is_range):
        if frame == 5:
            raise ObservationError("the picture is torn")
        picture = read(source, scene, camera, frame, is_range)
        return picture._replace(pixels=np.zeros_like(picture.pixels)) if frame in (3, 7) else picture

    monkeypatch.setattr(ImageSource, "read", read_some)

    bpy.ops.deep_feedback.solve_pose(restarts=0, use_range=True, frame_start=3, frame_end=8)

    report = results.report_of("pose", registered)
    assert (report["frames"], set(report["verdicts"]), report["verdict"]) == ([4, 6, 8], {"good"}, "doubtful")
    assert list(report["unsolved"]) == ["3", "5", "7"]
    assert report["explanation"].startswith("3 of 6 frames were solved and are kept. Frame 3: ")
    assert " Frame 5: The picture is torn. Frame 7: " in report["explanation"]
    assert report["explanation"].count("Frame") == 3  # nothing of a good one
    assert min(one["iou"] for one in report["alternatives"]) > 0.9  # of the last that was solved


@pytest.mark.parametrize(
    ("last", "said"),
    [(8, "Frame 8 was not solved either."), (10, "3 other frames, from 8 to 10, were not solved either.")],
)
def test_no_more_than_four_frames_are_named_with_their_reason(last, said, registered, monkey, monkeypatch):
    read = ImageSource.read

    def read_first(source, scene, camera, frame, is_range):
        if frame > 3:
            raise ObservationError("There is no picture.")
        return read(source, scene, camera, frame, is_range)

    monkeypatch.setattr(ImageSource, "read", read_first)

    bpy.ops.deep_feedback.solve_pose(**QUICK, use_range=True, frame_start=3, frame_end=last)

    report = results.report_of("pose", registered)
    assert report["explanation"].count("There is no picture.") == 4
    assert f"Frame 7: There is no picture. {said}" in report["explanation"]
    assert len(report["unsolved"]) == last - 3


def test_a_range_without_any_silhouette_says_why_and_leaves_no_keyframe(registered, monkey, monkeypatch):
    def read_none(source, scene, camera, frame, is_range):
        raise ObservationError(f"There is no picture {frame}.")

    monkeypatch.setattr(ImageSource, "read", read_none)

    with pytest.raises(RuntimeError, match="There is no picture 3"):
        bpy.ops.deep_feedback.solve_pose(**QUICK, use_range=True, frame_start=3, frame_end=8)

    assert key_frames(monkey, "location") == {2}
    assert results.report_of("pose", registered) is None


def test_a_shot_is_solved_frame_by_frame_if_so_chosen(registered, monkey):
    options = PoseTaskOptions(**QUICK, follow=False)
    task = PoseTask("Suzanne", "Camera", ImageSource(image="Silhouette"), options=options, frame_start=4, frame_end=5)
    phases = []

    solve_all(PoseSolve.gather(registered, task), lambda step: phases.append(step.phase))

    assert "follow" not in phases
