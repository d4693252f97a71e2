# SPDX-License-Identifier: Apache-2.0
"""Table 5 on a few frames: every method on the same ones."""

import numpy as np
import pytest

pytest.importorskip("torch")

from solver_core.loop import LoopSettings
from solver_core.problems.inverse_kinematics.metrics import joint_angles_deg
from solver_core.solution import Iteration
from training.paper.evaluation import Run, evaluate
from training.paper.tables import table5

pytestmark = [pytest.mark.torch, pytest.mark.data]


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Few steps, and no weights that are not shipped."""
    few = LoopSettings(steps=15, halvings=10, patience=2)
    monkeypatch.setattr(table5.kinematics.lbfgs, "__defaults__", (few,))
    monkeypatch.setattr(table5.kinematics.adam, "__defaults__", (few,))
    monkeypatch.setattr(table5, "HELD_OUT_WEIGHTS", tmp_path / "missing")
    monkeypatch.setattr(table5, "DEEP6D_WEIGHTS", tmp_path / "missing")


def test_methods_are_compared_on_the_same_frames(data_dir, quick):
    run = Run("table5", data_dir, 20)

    table = evaluate(run)

    by_row = {(row["method"], row["condition"]): row for row in table.rows}
    compared = [row for row in table.rows if row["condition"] == table5.COMPARED]
    assert {row["num_samples"] for row in compared} == {2}
    assert {"L-BFGS", "Adam", "ours + refine", "ours, 4 steps, then L-BFGS"} <= {row["method"] for row in compared}
    refined = by_row["ours + refine", "as recorded"]
    assert refined["position_mean_cm"] < 1e-3
    assert refined["rotation_mean_deg"] < 1
    assert by_row["ours + refine", table5.COMPARED]["speed_up_at_equal_accuracy"] == 1
    assert {plot.name for plot in table.plots} == {"ik-error-against-time", "ik-error-against-step", "ik-success"}
    assert run.pictures["gallery-ik-steps"]().ndim == 3


def test_time_outside_the_steps_counts_before_the_first():
    step = lambda seconds: Iteration(0, np.zeros(1), None, *[np.zeros(1)] * 4, seconds)

    timed = table5._timed([step(0.1), step(0.3)], seconds=0.95)

    assert [seconds for seconds, _ in timed] == pytest.approx([0.75, 0.95])


def test_random_yaw_turns_the_root_only(rng):
    x = table5.human().mean_pose[None].repeat(3, axis=0)

    turned = table5._with_random_yaw(x, rng)

    angles = joint_angles_deg(turned, x)
    np.testing.assert_allclose(angles[:, 1:], 0, atol=1e-6)  # degrees; float64, one product of quaternions
    assert (angles[:, 0] > 0.1).all()
