# SPDX-License-Identifier: Apache-2.0
import json
import re

import numpy as np
import pytest

from solver_core.errors import ObservationError, SetupError, SolverError
from solver_core.problems.inverse_kinematics.files.bvh import write_bvh
from solver_core.problems.inverse_kinematics.files.maps import read_limits, read_map
from solver_core.problems.inverse_kinematics.files.targets import read_targets
from solver_core.problems.inverse_kinematics.names.mapping import match_by_map, targets_of_skeleton
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion

from .conftest import natural_poses, positions_of


def test_csv_targets_keep_gaps(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("hip_x,hip_y,hip_z,head_z,head_y,head_x\n0,1,2,5,4,3\n,,,5,4,3\n")

    targets = read_targets(path)

    assert targets.names == ("hip", "head")
    np.testing.assert_array_equal(targets.positions, [[[0, 1, 2], [3, 4, 5]], [[np.nan] * 3, [3, 4, 5]]])


def test_npz_targets_keep_names_and_frame_time(tmp_path, rng):
    positions = rng.normal(size=(4, 2, 3))
    np.savez(tmp_path / "points.npz", positions=positions, names=["hip", "head"], frame_time=0.02)

    targets = read_targets(tmp_path / "points.npz")

    assert (targets.names, targets.frame_time) == (("hip", "head"), 0.02)
    np.testing.assert_array_equal(targets.positions, positions)


def test_bvh_targets_are_the_positions_of_its_joints(body, rng, tmp_path):
    skeleton, count = body.skeleton, 3
    x = natural_poses(body, rng, count)
    every = np.tile([1.0, 0, 0, 0], (count, skeleton.num_nodes, 1))
    every[:, skeleton.joints] = x
    root = rng.normal(size=(count, 3))
    write_bvh(tmp_path / "m.bvh", Motion(skeleton, every, root, 0.01, ("ZXY",) * skeleton.num_nodes, 0.01))

    targets = read_targets(tmp_path / "m.bvh")

    assert targets.names == skeleton.names
    np.testing.assert_allclose(targets.positions, positions_of(skeleton, x) + root[:, None], atol=1e-6)


def test_targets_of_skeleton_take_the_middle_of_several(body, tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("a_x,a_y,a_z,b_x,b_y,b_z\n0,0,0,2,4,6\n")

    targets = read_targets(path)
    matching = match_by_map({"hip": ["a", "b"]}, targets.names, body.skeleton)
    positions = targets_of_skeleton(targets, matching, body.skeleton)

    np.testing.assert_array_equal(positions[0, 0], [1, 2, 3])
    assert np.isnan(positions[0, 1:]).all()


def test_limits_are_read_in_degrees(body, tmp_path):
    (tmp_path / "limits.json").write_text('{"lShin": {"x": [-10, 90]}}')

    limits = read_limits(tmp_path / "limits.json", body.skeleton)

    np.testing.assert_allclose(limits[body.skeleton.index("lShin"), 0], np.radians([-10, 90]))
    assert np.isinf(limits).sum() == limits.size - 2


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.xls", "", "must end in .bvh, .csv"),
        ("t.csv", "a,b,c\n1,2,3\n", "needs the columns name_x, name_y and name_z"),
        ("t.csv", "a_x,a_y,a_z\n", "the motion is empty"),
        ("t.csv", "a_x,a_y,a_z\n1,2,three\n", "cannot read the targets"),
        ("t.csv", "a_x,a_y,a_z\n1,2,3\n1,2\n", "line 3 does not have the 3 values"),
        ("t.csv", "", "it is empty"),
        ("t.npz", "no zip", "File is not a zip file"),
    ],
)
def test_read_targets_raises_a_sentence_for_files_it_cannot_use(name, content, sentence, tmp_path):
    (tmp_path / name).write_text(content)

    with pytest.raises(ObservationError, match=re.escape(sentence)):
        read_targets(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, 'must hold "body", "targets" or both'),
        ({"bodies": {}}, 'must hold "body", "targets" or both'),
        ({"body": {"hip": 3}}, "one joint of the skeleton for every joint"),
        ({"targets": {"hip": []}}, "one or several targets for every joint"),
    ],
)
def test_read_map_raises_a_sentence_for_maps_it_cannot_use(content, sentence, tmp_path):
    (tmp_path / "map.json").write_text(json.dumps(content))

    with pytest.raises(SetupError, match=re.escape(sentence)):
        read_map(tmp_path / "map.json")


@pytest.mark.parametrize("content", ['{"lShin": [0, 1]}', '{"lShin": {"w": [0, 1]}}', '{"lShinn": {}}', "[]"])
def test_read_limits_raises_a_sentence_for_limits_it_cannot_use(content, body, tmp_path):
    (tmp_path / "limits.json").write_text(content)

    with pytest.raises(SolverError, match=r"limits|lShin"):
        read_limits(tmp_path / "limits.json", body.skeleton)
