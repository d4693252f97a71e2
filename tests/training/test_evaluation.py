"""Tables: from the command to rows, JSON and Markdown."""

import numpy as np
import pytest

pytest.importorskip("trimesh")

from solver_core.errors import ConfigError
from solver_core.training import evaluation
from solver_core.training.evaluation import Table, evaluate

TABLE = Table(
    "table9", "A table", [{"method": "ours", "error_deg": 0.123456, "steps": 5}], "the command", 10, 3, "a machine", 1, "abc"
)


def test_markdown_holds_numbers_and_what_repeats_them():
    text = TABLE.to_markdown()

    assert "| method | error deg | steps |" in text
    assert "| ours | 0.1235 | 5 |" in text
    assert "`the command`" in text
    assert "N = 10, seed 3, commit abc, a machine, 1 thread(s)" in text


def test_unknown_table_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"known: .*table1"):
        evaluate("table99", tmp_path)


@pytest.mark.data
@pytest.mark.egl
def test_table1_measures_every_method_on_the_same_masks(data_dir, monkeypatch):
    pytest.importorskip("pyrender", exc_type=ImportError)
    from solver_core.training.tables import table1

    monkeypatch.setattr(table1, "VIEWS", {"canonical": table1.VIEWS["canonical"]})

    table = evaluate("table1", data_dir, num_samples=4, seed=2)

    assert [row["method"] for row in table.rows] == list(table1.METHODS) * 2
    assert {row["categories"] for row in table.rows} == {"nine", "other"}
    refined = next(row for row in table.rows if row["method"] == "ours + refine + restarts")
    assert refined["rotation_median_deg"] < 2
    assert refined["num_samples"] == 4


@pytest.mark.data
@pytest.mark.egl
def test_cases_are_the_same_for_the_same_seed(data_dir):
    pytest.importorskip("pyrender", exc_type=ImportError)
    from solver_core.mesh_library import load_library
    from solver_core.training.tables.table1 import VIEWS, draw_cases

    meshes = [entry.mesh for entry in load_library(data_dir, "test")]

    first, second = (draw_cases(meshes, VIEWS["any"], np.random.default_rng(1), 3) for _ in range(2))

    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.truth, other.truth)


def test_every_table_has_a_title_and_a_size():
    import importlib

    for module in map(importlib.import_module, evaluation.TABLES.values()):
        assert module.TITLE
        assert module.NUM_SAMPLES > 0
