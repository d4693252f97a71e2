# SPDX-License-Identifier: Apache-2.0
"""The tables of pose, at a few samples."""

import numpy as np
import pytest

pytest.importorskip("trimesh")
pytest.importorskip("pyrender", exc_type=ImportError)

from solver_core.loop import LoopSettings
from solver_core.network.weights import load_networks
from solver_core.problems.pose.features import INPUT_LAYOUT
from solver_core.problems.pose.sampler import PoseSampling
from solver_core.problems.pose.solve import PoseOptions
from training.paper.baselines.pose_descent import PoseDescent
from training.paper.evaluation import Run, evaluate
from training.paper.histories import TIMES_MS
from training.paper.tables import figure5, pose_cases, table1, table2, table3
from training.paper.tables.pose_cases import PoseTrace, chained, draw_cases, draw_from, load_test_meshes

pytestmark = [pytest.mark.data, pytest.mark.egl]


@pytest.fixture
def quick_descent(monkeypatch):
    """Baselines that give up after three steps."""
    for module in (table1, table3):
        monkeypatch.setattr(module, "PoseDescent", lambda: PoseDescent(steps=3))


@pytest.fixture
def cases(data_dir):
    meshes = load_test_meshes(data_dir)
    return draw_cases(meshes, draw_from(PoseSampling(canonical=1.0)), np.random.default_rng(1), 3)


def test_cases_are_the_same_for_the_same_seed(data_dir, cases):
    again = draw_cases(load_test_meshes(data_dir), draw_from(PoseSampling(canonical=1.0)), np.random.default_rng(1), 3)

    for one, other in zip(cases, again, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_allclose(one.truth, other.truth, atol=1e-12)


def test_networks_alone_are_the_networks_of_the_public_solve(cases):
    networks = load_networks(None, "pose", INPUT_LAYOUT)
    alone = pose_cases.networks_alone(networks, LoopSettings(steps=5))
    public = pose_cases.ours(PoseOptions(steps=5, refine=False, restarts=0))

    for case in cases:
        np.testing.assert_allclose(alone(case, 0).poses[-1], public(case, 0).poses[-1], atol=1e-6)


def test_chained_methods_go_on_where_the_first_ends(cases):
    moves = lambda case, index: PoseTrace(np.stack([case.start, case.start + 1]), np.array([0.0, 2.0]), 1)

    trace = chained(moves, moves)(cases[0], 0)

    np.testing.assert_array_equal(trace.poses[-1], cases[0].start + 2)
    np.testing.assert_array_equal(trace.seconds, [0, 2, 2, 4])
    assert trace.steps == 2


def test_curves_hold_the_error_at_each_time(cases):
    late = lambda case, index: PoseTrace(np.stack([case.start, case.truth]), np.array([0.0, 1.0]), 1)

    errors = pose_cases.measure(Run("table1", None, 3), "late", cases, late, None)

    is_before = TIMES_MS < 1000
    np.testing.assert_allclose(errors["by_time"][:, is_before], np.tile(errors["start_deg"], (sum(is_before), 1)).T)
    np.testing.assert_allclose(errors["by_time"][:, ~is_before], 0, atol=1e-5)
    assert pose_cases.summary(errors)["outliers_percent"] == 0


def test_table1_measures_every_method_on_the_same_samples(data_dir, monkeypatch, quick_descent):
    monkeypatch.setattr(table1, "VIEWS", {"canonical": table1.VIEWS["canonical"]})
    run = Run("table1", data_dir, num_samples=3, seed=2)

    table = evaluate(run)

    nine, beside = (
        {row["method"]: row for row in table.rows if row["categories"] == categories}
        for categories in ("nine", "nine, first 2")
    )
    assert set(table1.OURS) <= set(nine)
    assert nine["ours + refine + restarts"]["rotation_median_deg"] < 2
    assert {*table1.OURS, "soft rasteriser", "neural mesh renderer"} <= set(beside)
    assert {row["num_samples"] for row in beside.values()} == {2}
    assert beside["ours + refine"]["speed_up_at_equal_accuracy"] == 1
    assert run.pictures["gallery-pose-canonical"]().ndim == 3
    assert "pose-time-canonical" in {plot.name for plot in run.plots}


def test_table2_compares_costs_with_ours(data_dir):
    table = evaluate(Run("table2", data_dir, num_samples=1))

    assert [row["method"] for row in table.rows] == list(table2.IMAGES)
    assert table.rows[0]["step_over_ours"] == 1
    assert all(row["forward_ms"] > 0 for row in table.rows)


def test_table3_turns_the_start_by_angles_of_the_band(data_dir, monkeypatch, quick_descent):
    monkeypatch.setattr(table3, "BANDS_DEG", ((40, 45),))
    monkeypatch.setattr(table3, "OURS", {"ours, 5 steps": table3.OURS["ours, 5 steps"]})
    start, truth = table3.draw_in_band(40, 45)(np.random.default_rng(0))

    table = evaluate(Run("table3", data_dir, num_samples=2))

    assert 40 < pose_cases.pose_errors(start, truth)[0][0] < 45
    assert {row["method"] for row in table.rows} == {"ours, 5 steps", "soft rasteriser", "neural mesh renderer"}


def test_figure5_has_a_row_for_every_method_and_size(data_dir, monkeypatch):
    monkeypatch.setattr(figure5, "NUM_FACES", (100, 1000))

    table = evaluate(Run("figure5", data_dir, num_samples=1))

    assert len(table.rows) == 2 * len(table2.IMAGES)
    assert min(row.get("update_over_its_least", 1) for row in table.rows) == 1


@pytest.mark.parametrize("num_faces", figure5.NUM_FACES)
def test_wavy_spheres_are_closed_and_have_about_as_many_faces_as_asked(num_faces):
    mesh = figure5.wavy_sphere(num_faces)

    assert len(mesh.faces) == pytest.approx(num_faces, rel=0.2)
    edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    _, count = np.unique(edges[:, 0] * np.int64(len(mesh.vertices)) + edges[:, 1], return_counts=True)
    assert (count == 2).all()


def test_ablations_measure_every_number_of_steps(data_dir):
    table = evaluate(Run("ablations", data_dir, num_samples=2))

    assert {f"T = {steps}" for steps in range(1, 9)} <= {row["what"] for row in table.rows}
    assert {row["view"] for row in table.rows} == {"canonical", "any"}
