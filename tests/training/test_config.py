# SPDX-License-Identifier: Apache-2.0
"""Training settings from TOML."""

import pytest

from solver_core.config import load_train_settings, train_settings
from solver_core.errors import ConfigError

GOOD = {"training": {"problem": "pose", "name": "pose", "iterations": [10, 5]}, "network": {"hidden": [8]}}


def test_settings_hold_what_the_file_says():
    settings = train_settings(GOOD, "file")

    assert settings.iterations == (10, 5)
    assert settings.network == {"hidden": [8]}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"trainning": {}}, "unknown table 'trainning'"),
        ({"training": {**GOOD["training"], "lr": 1.0}}, "unknown key 'lr'"),
        ({"training": {"problem": "pose", "name": "pose"}}, "must give 'iterations'"),
        ({"training": {**GOOD["training"], "iterations": [0]}}, "positive number"),
        ({"training": {**GOOD["training"], "iterations": 5}}, "must be a list, each a whole number"),
        ({"training": {**GOOD["training"], "batch_size": "big"}}, "must be a whole number"),
        ({"training": {**GOOD["training"], "batch_size": True}}, "must be a whole number"),
        ({"training": {**GOOD["training"], "batch_size": 0}}, "must be from 1 to 1e\\+06"),
        ({"training": {**GOOD["training"], "learning_rate": float("nan")}}, "must be a number"),
        ({"training": {**GOOD["training"], "name": "../pose"}}, "fit for a file name"),
    ],
)
def test_wrong_settings_are_refused_by_name(table, words):
    with pytest.raises(ConfigError, match=words):
        train_settings(table, "file")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_train_settings(tmp_path / "no.toml")


def test_file_that_is_no_toml_is_refused(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("[training")

    with pytest.raises(ConfigError, match="not valid TOML"):
        load_train_settings(path)
