# SPDX-License-Identifier: Apache-2.0
"""Feet that are planted: they neither slide nor sink in, and the body hardly moves for it."""

import json
from pathlib import Path

import numpy as np
import pytest

import solver_core as sc
from solver_core.command.cli import main
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.feet import Feet

UP = np.array([0.0, 1, 0])


@pytest.fixture(scope="module")
def sliding() -> tuple[Skeleton, sc.NamedTargets]:
    """Two seconds on ice that rises and sinks: the body sways, and its right foot takes a step; skeleton and targets."""
    skeleton = read_bvh(Path(__file__).parents[3] / "assets/demo/ik_rest.bvh").skeleton
    rest, times = skeleton.rest_positions(), np.arange(60) / 30
    path = np.tile(rest, (60, 1, 1))
    body = [n for n, name in enumerate(skeleton.names) if name in ("Hips", "Head", "LeftHand", "RightHand")]
    path[:, body] += np.stack([0.03 * np.sin(4 * times), -0.06 + 0 * times, 0.1 * times], axis=1)[:, None]
    step = np.clip((times - 0.7) / 0.6, 0, 1)
    feet = [n for n, name in enumerate(skeleton.names) if name in ("LeftFoot", "LeftToeBase", "RightFoot", "RightToeBase")]
    for node in feet[-2:]:
        path[:, node] += np.stack([0 * step, 0.15 * np.sin(np.pi * step), 0.3 * step], axis=1)
    is_given = np.zeros(skeleton.num_nodes)
    is_given[body + feet] = 1
    solved = sc.solve_inverse_kinematics(path, skeleton, is_given)
    drift = np.stack([0.05 * times, 0.005 * np.sin(3 * times), 0 * times], axis=1)
    every = np.tile([1.0, 0, 0, 0], (60, skeleton.num_nodes, 1))
    every[:, skeleton.joints] = solved.rotations[:, skeleton.joints]
    motion = Motion(skeleton, every, solved.root + drift, 1 / 30, ("ZXY",) * skeleton.num_nodes, 0.01)
    return skeleton, sc.NamedTargets(skeleton.names, motion.positions(), motion.frame_time)


def test_planted_feet_neither_slide_nor_sink_in(sliding):
    skeleton, targets = sliding

    free = sc.solve_inverse_kinematics(targets, skeleton)
    result = sc.solve_inverse_kinematics(targets, skeleton, feet="plant")

    assert result.footing is not None
    before, now = result.footing
    assert before.slide > 0.0008
    assert now.slide < 0.0003
    assert now.penetration < 0.0005
    assert np.nanmean(result.position_error) < np.nanmean(free.position_error) + 0.005
    assert free.footing is None
    assert "feet were planted" in result.notices[-1]


def test_planted_motions_do_not_jump(sliding):
    skeleton, targets = sliding

    free = sc.solve_inverse_kinematics(targets, skeleton)
    result = sc.solve_inverse_kinematics(targets, skeleton, feet="plant")

    assert np.abs(np.diff(result.root - free.root, axis=0)).max() < 0.003


def test_no_foot_goes_below_a_floor_that_is_given(sliding):
    skeleton, targets = sliding
    foot = skeleton.index("LeftFoot")
    lowest = float(targets.positions[:, np.flatnonzero(skeleton.parents == foot)].min(axis=(0, 1))[1])

    result = sc.solve_inverse_kinematics(targets, skeleton, feet="plant", floor=lowest + 0.02)

    assert result.footing is not None
    before, now = result.footing
    assert before.penetration > 0.005
    assert now.penetration < 0.001


def test_contacts_are_where_feet_are_low_and_slow():
    skeleton = Skeleton(["hip", "foot", "toe"], [-1, 0, 1], np.array([[0, 0, 0], [0, -0.9, 0], [0, -0.1, 0.1]]))
    positions = np.zeros((60, 3, 3))
    positions[:, 1, 1], positions[:, 2, 1] = 0.1, 0.0
    positions[20:40, 1:, 1] += 0.1  # a step
    positions[20:40, 1:, 2] += np.linspace(0, 0.5, 20)[:, None]
    positions[40:, 1:, 2] += 0.5
    positions[10, 1:, 1] += 0.05  # a frame that is off is no step

    feet = Feet.found(positions, skeleton, [1], UP, 1 / 30, None)

    assert feet.nodes.tolist() == [1, 2]
    assert feet.is_standing[:18].all()
    assert not feet.is_standing[21:39].any()
    assert feet.is_standing[42:].all()
    assert feet.floor == pytest.approx(0, abs=1e-9)
    assert feet.footing(positions).slide == pytest.approx(0, abs=0.003)


def test_what_has_no_feet_is_said(arm):
    skeleton, limits = arm

    result = sc.solve_inverse_kinematics(skeleton.rest_positions(), skeleton, limits=limits, feet="plant")

    assert result.notices[-1] == "no feet were found in the skeleton, so none were planted"
    assert result.footing is None


def test_the_command_reports_feet(demo_dir, capsys):
    files = ["--skeleton", str(demo_dir / "ik_rest.bvh"), "--targets", str(demo_dir / "ik_truth.bvh")]

    main(["solve", "ik", *files, "--feet", "plant", "--floor", "0.05"])

    said = json.loads(capsys.readouterr().out)["feet"]
    assert said["penetration_mm"] < 0.5 < said["penetration_before_mm"]
    assert said["slide_mm"] <= said["slide_before_mm"]
