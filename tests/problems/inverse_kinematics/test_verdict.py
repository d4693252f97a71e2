# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from solver_core.problems.inverse_kinematics.verdict import judge
from solver_core.solution import Verdict


def errors(body, *centimetres: float) -> np.ndarray:
    """(F, N) metres: the same for all nodes of a frame."""
    return np.tile(np.array(centimetres)[:, None] / 100, (1, body.skeleton.num_nodes))


@pytest.mark.parametrize(
    ("centimetres", "verdict"),
    [
        ([0.0, 0.001], Verdict.GOOD),
        ([2.0, 2.0], Verdict.GOOD),  # markers on skin
        ([4.0, 4.0], Verdict.DOUBTFUL),
        ([32.8, 32.8], Verdict.BAD),
        ([87.0, 87.0], Verdict.BAD),
        ([0.1] * 10 + [5.0], Verdict.DOUBTFUL),  # one frame of eleven
        ([0.1] * 3 + [20.0], Verdict.BAD),  # a quarter of the frames
    ],
)
def test_the_distance_from_the_targets_decides(centimetres, verdict, body):
    assert judge(errors(body, *centimetres), body.skeleton).verdict is verdict


def test_a_node_that_is_always_off_is_named(body):
    error = errors(body, 0.1, 0.1, 0.1)
    error[:, body.skeleton.index("lHand")] = 0.2

    verdict, explanation = judge(error, body.skeleton)

    assert verdict is Verdict.DOUBTFUL
    assert "but for lHand, which is 20.0 cm off" in explanation


def test_nodes_without_a_target_do_not_count(body):
    error = np.full((2, body.skeleton.num_nodes), np.nan)
    error[:, 0] = 0.01

    assert judge(error, body.skeleton).verdict is Verdict.GOOD


def test_the_same_motion_in_another_size_has_the_same_verdict(body):
    error = errors(body, 4.0, 5.0)

    assert judge(error / 10, body.skeleton.scaled(0.1)).verdict is judge(error, body.skeleton).verdict


@pytest.mark.parametrize("centimetres", [0.0, 1.0, 4.0, 50.0])
def test_the_explanation_has_the_numbers_and_agrees_with_the_verdict(centimetres, body):
    verdict, explanation = judge(errors(body, centimetres), body.skeleton)

    words = {Verdict.GOOD: "meet their targets:", Verdict.DOUBTFUL: "only roughly", Verdict.BAD: "do not meet"}
    assert words[verdict] in explanation
    assert f"{centimetres:.1f}" in explanation
