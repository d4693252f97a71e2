"""Table 5 on a few frames: every method on the same ones."""

import numpy as np
import pytest

pytest.importorskip("torch")

from solver_core.loop import LoopSettings
from solver_core.problems.inverse_kinematics.metrics import joint_angles_deg
from solver_core.solution import Iteration
from solver_core.training.evaluation import Run, evaluate
from solver_core.training.tables import table5

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
    assert by_row["ours + refine", table5.COMPARED]["ours_faster_by"] == 1
    assert {plot.name for plot in table.plots} == {"ik-error-against-time", "ik-error-against-step", "ik-success"}
    assert run.pictures["gallery-ik-steps"]().ndim == 3


def test_clocks_of_loops_after_each_other_are_joined():
    iteration = lambda index, seconds: Iteration(index, np.zeros(1), None, *[np.zeros(1)] * 4, seconds)
    loops = [(0, 0.1), (1, 0.3), (0, 0.4), (1, 0.45)]

    timed = table5._timed([iteration(*one) for one in loops], seconds=0.95)

    assert [seconds for seconds, _ in timed] == pytest.approx([0.3, 0.5, 0.9, 0.95])  # 0.2 of it outside the loops


def test_random_yaw_turns_the_root_only(rng):
    x = table5.human().mean_pose[None].repeat(3, axis=0)

    turned = table5._with_random_yaw(x, rng)

    angles = joint_angles_deg(turned, x)
    assert (angles[:, 1:] == 0).all()
    assert (angles[:, 0] > 0).all()
