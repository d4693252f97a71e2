# SPDX-License-Identifier: Apache-2.0
"""Recipes that ship: listed, copied, changed and trained with."""

import json
import shutil

import pytest

from solver_core.command import cli
from solver_core.config import TrainSettings, train_settings, with_changes
from solver_core.errors import ConfigError
from solver_core.problems import PROBLEMS, find_problem
from solver_core.recipes import read_recipe, shipped_recipes
from solver_core.training import read_settings

TABLES = {"training": {"problem": "pose", "name": "pose", "iterations": [1]}, "sampling": {"up": "z"}}


def test_recipes_are_listed_with_what_they_are_for(capsys):
    assert cli.main(["recipes"]) == 0

    listed = json.loads(capsys.readouterr().out)
    assert {"pose", "lighting_sun", "lighting_point", "inverse_kinematics"} <= set(listed)
    assert all(len(words) > 20 for words in listed.values())


def test_a_recipe_is_copied_and_never_over_another(tmp_path, capsys):
    assert cli.main(["recipes", "pose", "--out", str(tmp_path)]) == 0

    assert (tmp_path / "pose.toml").read_bytes() == shipped_recipes()["pose"].read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["pose.toml"]
    assert cli.main(["recipes", "pose", "--out", str(tmp_path)]) == 2
    assert "pose.toml exists" in capsys.readouterr().err


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_valid_and_claim_no_origin(name):
    settings = train_settings(read_recipe(shipped_recipes()[name]), name)

    assert (settings.data, settings.licence, settings.commit) == ("", "", "")
    find_problem(settings.problem).network_spec(settings.network)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_problem_has_a_recipe_without_one_of_the_users_own(problem):
    settings = read_settings(find_problem(problem), None, [])

    assert settings.name == find_problem(problem).weights_task({})
    assert sum(settings.iterations) > 1000


def test_a_recipe_is_changed_value_by_value():
    changed = with_changes(TABLES, ["iterations=[3, 2]", "licence=MIT", "sampling.up = y", "sampling.damage.hole=0.5"])

    assert changed["training"] == {"problem": "pose", "name": "pose", "iterations": [3, 2], "licence": "MIT"}
    assert changed["sampling"] == {"up": "y", "damage": {"hole": 0.5}}
    assert TABLES["sampling"] == {"up": "z"}
    assert train_settings(changed, "x") == TrainSettings(
        "pose", "pose", (3, 2), licence="MIT", sampling={"up": "y", "damage": {"hole": 0.5}}
    )


@pytest.mark.parametrize("change", ["iterations", "=3", "sampling.=3", "training.name.first=x"])
def test_a_change_of_another_form_is_refused(change):
    with pytest.raises(ConfigError, match="a change of the recipe"):
        with_changes(TABLES, [change])


def test_train_says_what_it_does_not_know(tmp_path, capsys):
    code = cli.main(["train", "pose", "--set", "iteration=[3]", "--data", str(tmp_path), "--out", str(tmp_path / "run")])

    assert code == 2
    assert "unknown key 'iteration' in [training] of the recipe of pose" in capsys.readouterr().err


@pytest.mark.torch
def test_networks_of_one_object_are_trained_and_used_as_the_page_says(demo_dir, tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("trimesh")
    (tmp_path / "own").mkdir()
    shutil.copy(demo_dir / "pose_model.ply", tmp_path / "own")
    few = ["iterations=[1, 1]", "batch_size=8", "validation_samples=4", "sampling.tumbled=1", "sampling.wrong_mesh=0.15"]
    changes = [word for change in few for word in ("--set", change)]
    run = tmp_path / "run"

    trained = cli.main(
        ["train", "pose", "--data", str(tmp_path / "own"), "--config", "pose_object", "--out", str(run), *changes]
    )
    files = {"mesh": "pose_model.ply", "mask": "pose_mask.png", "camera": "camera.json", "start": "start.json"}
    known = [word for flag, name in files.items() for word in (f"--{flag}", str(demo_dir / name))]
    solved = cli.main(["solve", "pose", *known, "--weights", str(run / "pose.safetensors"), "--out", str(tmp_path / "a.json")])

    assert (trained, solved) == (0, 0)
    assert (tmp_path / "a.json").exists()
