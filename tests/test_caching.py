# SPDX-License-Identifier: Apache-2.0
import logging
from pathlib import Path

import numpy as np
import pytest

from solver_core.caching import cache_folder, cached_arrays


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_arrays_are_made_once():
    made = []
    for _ in range(2):
        arrays = cached_arrays("name", lambda: made.append(1) or {"a": np.arange(3)})

    assert made == [1]
    np.testing.assert_array_equal(arrays["a"], np.arange(3))


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short", b"no archive"])
def test_a_damaged_cache_is_made_anew(damage):
    cached_arrays("name", lambda: {"a": np.zeros(3)})
    (cache_folder() / "name.npz").write_bytes(damage)

    arrays = cached_arrays("name", lambda: {"a": np.ones(3)})

    np.testing.assert_array_equal(arrays["a"], np.ones(3))
    np.testing.assert_array_equal(cached_arrays("name", dict)["a"], np.ones(3))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, caplog):
    (tmp_path / "solver_core").write_text("no folder")

    with caplog.at_level(logging.WARNING):
        arrays = cached_arrays("name", lambda: {"a": np.ones(3)})

    np.testing.assert_array_equal(arrays["a"], np.ones(3))
    assert "cannot make the folder" in caplog.text


def test_a_user_without_a_home_has_a_cache(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)

    assert cache_folder().is_absolute()
