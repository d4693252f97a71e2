# SPDX-License-Identifier: Apache-2.0
import logging
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from solver_core.config import TrainSettings  # noqa: E402
from solver_core.errors import ConfigError  # noqa: E402
from solver_core.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint  # noqa: E402
from solver_core.training.files import checkpoint_paths  # noqa: E402

pytestmark = pytest.mark.torch

SETTINGS = TrainSettings("pose", "small", (4, 2))


def save(folder, iteration):
    network = {"linear0.weight": torch.full((3, 2), float(iteration))}
    frozen = [{"linear0.weight": np.full((2, 3), iteration, np.float32)}]
    save_checkpoint(folder, Checkpoint(SETTINGS, frozen, iteration, network, {"state": {}, "param_groups": []}, 1.5))


def test_a_checkpoint_is_read_back(tmp_path):
    save(tmp_path, 3)

    found = load_checkpoint(tmp_path, SETTINGS)

    assert (found.iteration, found.seconds, found.settings) == (3, 1.5, SETTINGS)
    np.testing.assert_array_equal(found.frozen[0]["linear0.weight"], np.full((2, 3), 3))
    assert found.network["linear0.weight"].tolist() == [[3.0, 3.0]] * 3


def test_any_damaged_byte_of_the_content_leads_to_the_checkpoint_before(tmp_path, caplog):
    save(tmp_path, 1)
    save(tmp_path, 2)
    _, last, _ = checkpoint_paths(tmp_path)
    whole = last.read_bytes()
    value = whole.index(np.float32(2).tobytes() * 6)

    for place in (0, value, value + 23, len(whole) - 30):
        last.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with caplog.at_level(logging.WARNING):
            found = load_checkpoint(tmp_path, SETTINGS)
        assert found.iteration == 1
        assert "cannot read the checkpoint" in caplog.text
    last.write_bytes(whole[:-100])
    assert load_checkpoint(tmp_path, SETTINGS).iteration == 1


def test_a_kill_between_the_files_leaves_a_whole_one(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    new, last, before = checkpoint_paths(tmp_path)

    before.unlink()
    last.rename(before)
    assert load_checkpoint(tmp_path, SETTINGS).iteration == 2
    save(tmp_path, 3)
    last.rename(new)
    assert load_checkpoint(tmp_path, SETTINGS).iteration == 3


def test_damaged_checkpoints_alone_are_a_sentence(tmp_path):
    for path in checkpoint_paths(tmp_path):
        path.write_bytes(b"PK\x03\x04 no archive")

    with pytest.raises(ConfigError, match=r"no checkpoint in .* is whole; start anew"):
        load_checkpoint(tmp_path, SETTINGS)


def test_a_checkpoint_of_other_settings_is_refused_not_passed_over(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)

    with pytest.raises(ConfigError, match=r"other settings \(seed\)"):
        load_checkpoint(tmp_path, replace(SETTINGS, seed=5))


def test_a_checkpoint_that_holds_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("trapped").touch, ())

    torch.save({"settings": Trap()}, checkpoint_paths(tmp_path)[1])

    with pytest.raises(ConfigError, match="no checkpoint"):
        load_checkpoint(tmp_path, SETTINGS)
    assert not (tmp_path / "trapped").exists()
