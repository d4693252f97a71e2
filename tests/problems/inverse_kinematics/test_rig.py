# SPDX-License-Identifier: Apache-2.0
"""Networks for a rig of the user's own: `solver_core train ik --rig`, then `solver_core solve ik --weights`."""

import json
import tomllib

import numpy as np
import pytest

from solver_core import rotations
from solver_core.command.cli import main
from solver_core.errors import ConfigError, WeightsError
from solver_core.manifolds import SO3Power
from solver_core.network.weights import load_weights, save_weights, shipped_weights
from solver_core.problems.inverse_kinematics.features import INPUT_LAYOUT
from solver_core.problems.inverse_kinematics.files.bodies import body_path, read_body
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.skeleton.limits import JointLimits, LimitedRotations
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.solve import solve_inverse_kinematics
from solver_core.problems.inverse_kinematics.solver.guide import Trained
from solver_core.problems.inverse_kinematics.training import rig as rig_module
from solver_core.problems.inverse_kinematics.training.rig import prepare_rig


def write_motion(path, skeleton, x):
    every = np.tile([1.0, 0, 0, 0], (len(x), skeleton.num_nodes, 1))
    every[:, skeleton.joints] = x
    write_bvh(path, Motion(skeleton, every, np.zeros((len(x), 3)), 0.04, ("ZYX",) * skeleton.num_nodes, 1.0))


@pytest.fixture
def rig(arm, tmp_path):
    """The robot arm at rest, in rig.bvh, and its limits in limits.json."""
    skeleton, limits = arm
    write_motion(tmp_path / "rig.bvh", skeleton, np.tile([1.0, 0, 0, 0], (1, skeleton.num_joints, 1)))
    ranges = {
        skeleton.names[joint]: {axis: np.degrees(limits[joint, number]).tolist() for number, axis in enumerate("xyz")}
        for joint in skeleton.joints
    }
    (tmp_path / "limits.json").write_text(json.dumps(ranges))
    return tmp_path / "rig.bvh"


@pytest.fixture
def motion(arm, rig, rng):
    """A motion of the arm within its limits, and its joint rotations (F, J, 4)."""
    skeleton, ranges = arm
    limits = JointLimits.from_ranges(skeleton, ranges)
    x = LimitedRotations(SO3Power(skeleton.num_joints), limits).random(rng, 5)
    path = rig.with_name("my motion.bvh")
    write_motion(path, skeleton, x)
    return path, x


@pytest.mark.torch
def test_a_rig_is_trained_and_solved_with_its_networks_from_the_command_line(rig, arm, motion, tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch")
    smaller = {"[1500, 800, 500]": "[3, 2]", "[256, 256, 256]": "[8]", "= 256": "= 16", "= 500": "= 20"}
    recipe = rig_module.RECIPE.replace("seed = 1", "seed = 1\nworkers = 1")
    for usual, small in smaller.items():
        recipe = recipe.replace(usual, small)
    monkeypatch.setattr(rig_module, "RECIPE", recipe)
    run, weights = tmp_path / "run", tmp_path / "run" / "rig.safetensors"

    trained = main(["train", "ik", "--rig", str(rig), "--limits", str(tmp_path / "limits.json"), "--out", str(run)])
    capsys.readouterr()
    files = ["--skeleton", str(rig), "--targets", str(motion[0]), "--weights", str(weights), "--out", str(tmp_path / "out.bvh")]
    solved = main(["solve", "ik", *files])

    assert (trained, solved) == (0, 0)
    assert len(Trained.load(weights).networks) == 2
    result = json.loads(capsys.readouterr().out)
    assert result["worst_frame_cm"] < 0.1
    assert result["steps"][0]["active"] == 5
    turned = rotations.rotvec_from_wxyz(read_bvh(tmp_path / "out.bvh").rotations[:, arm[0].joints])
    assert np.abs(turned * (arm[1][:6, :, 1] == 0)).max() < 1e-5  # the limits it was trained within hold


def test_prepare_rig_takes_its_axes_from_the_limits(rig, tmp_path):
    recipe = prepare_rig(rig, [], tmp_path / "limits.json", tmp_path / "run")

    content = tomllib.loads(recipe.read_text())
    axes = read_body(tmp_path / "run" / "rig.body.bvh").axes
    assert content["sampling"]["wandering"] == 0
    np.testing.assert_allclose(np.linalg.norm(axes, axis=2)[:, 2], 2.8 / np.sqrt(3), rtol=0.02)  # uniform within +-2.8
    np.testing.assert_allclose(np.abs(axes[0, 2] / np.linalg.norm(axes[0, 2])), [0, 0, 1], atol=1e-3)


def test_prepare_rig_takes_its_poses_from_motions_whatever_their_names(rig, motion, tmp_path):
    recipe = prepare_rig(rig, [motion[0]], None, tmp_path / 'run "é"')

    content = tomllib.loads(recipe.read_text(encoding="utf-8"))
    assert content["sampling"]["motions"] == [str(motion[0])]
    assert content["sampling"]["wandering"] > 0
    assert (tmp_path / 'run "é"' / "rig.body.bvh").exists()


def test_prepare_rig_raises_a_sentence_without_poses(rig, tmp_path):
    with pytest.raises(ConfigError, match="has a single frame; give --motion"):
        prepare_rig(rig, [], None, tmp_path)


def test_prepare_rig_raises_a_sentence_for_the_motion_of_another_rig(rig, demo_dir, tmp_path):
    with pytest.raises(ConfigError, match="has other joints than the rig"):
        prepare_rig(rig, [demo_dir / "ik_truth.bvh"], None, tmp_path)


def test_weights_without_their_body_are_refused(rig, motion, tmp_path):
    prepare_rig(rig, [motion[0]], None, tmp_path)
    weights = tmp_path / "rig.safetensors"
    weights.write_bytes(shipped_weights("inverse_kinematics").read_bytes())

    with pytest.raises(WeightsError, match=r"are for another body; keep theirs beside them, as rig\.body\.bvh"):
        Trained.load(weights)
    body_path(weights).unlink()
    assert len(Trained.load(weights).networks) == 4  # the human's


def test_own_weights_take_the_steps(demo_dir, tmp_path):
    stages, info = load_weights(shipped_weights("inverse_kinematics"), "inverse_kinematics", INPUT_LAYOUT)
    still = {name: np.zeros_like(array) for name, array in stages[0].items()}  # a network that proposes no step
    save_weights(tmp_path / "still.safetensors", [still], info)
    skeleton, targets = read_bvh(demo_dir / "ik_rest.bvh").skeleton, read_bvh(demo_dir / "ik_truth.bvh").positions()[:3]

    shipped, own = (
        solve_inverse_kinematics(targets, skeleton, refine=False, weights=path)
        for path in (None, tmp_path / "still.safetensors")
    )

    assert shipped.history[-1].energy < 0.5 * shipped.history[0].energy
    assert own.history[-1].energy == own.history[0].energy


def test_weights_for_another_problem_are_refused(demo_dir):
    skeleton, targets = read_bvh(demo_dir / "ik_rest.bvh").skeleton, read_bvh(demo_dir / "ik_truth.bvh").positions()[:1]

    with pytest.raises(WeightsError, match="is for lighting_sun, but inverse_kinematics is needed"):
        solve_inverse_kinematics(targets, skeleton, weights=shipped_weights("lighting_sun"))


def test_limits_without_a_rig_are_refused_with_one_sentence(capsys, tmp_path):
    code = main(["train", "inverse_kinematics", "--config", str(tmp_path / "ik.toml"), "--limits", "limits.json"])

    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert "belong to --rig" in captured.err
