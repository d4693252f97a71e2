# SPDX-License-Identifier: Apache-2.0
"""Ranges of Solve Pose: directions, keyframes, and frames that are not sure."""

import bpy
import numpy as np
import pytest

from addon import results
from addon.bridge.keyframes import key_frames
from tests.blender.pose_scene import make_pose_scene

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


def test_good_frames_are_not_marked(registered, monkey):
    bpy.ops.deep_feedback.solve_pose(use_range=True, frame_start=5, frame_end=6)
    assert results.find("pose", registered).report["verdicts"] == ["good", "good"]

    bpy.ops.deep_feedback.mark_doubtful_frames()

    assert len(registered.timeline_markers) == 0
    assert bpy.ops.deep_feedback.next_doubtful_frame() == {"CANCELLED"}
    assert np.isfinite(results.find("pose", registered).report["iou"]).all()
