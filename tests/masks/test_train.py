# SPDX-License-Identifier: Apache-2.0
"""Training of the network of masks on a few scenes."""

import json
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")
from solver_core.network.hourglass import HourglassSpec  # noqa: E402
from solver_core.network.weights import load_weights_of  # noqa: E402
from solver_core.segmentation.prior import CHANNELS, INPUT_LAYOUT, SIZE  # noqa: E402
from training.masks import train  # noqa: E402
from training.masks.scenes import OBJECT_PX  # noqa: E402
from training.masks.scenes import SIZE as SCENE_SIZE  # noqa: E402


@pytest.fixture
def folder(tmp_path, rng):
    """Red discs on grey grounds."""
    rows, columns = np.mgrid[:SCENE_SIZE, :SCENE_SIZE] - (SCENE_SIZE - 1) / 2
    is_disc = rows**2 + columns**2 < (OBJECT_PX / 2) ** 2
    image = np.where(is_disc[..., None], [200, 60, 50], [120, 120, 125]) + rng.integers(-5, 6, (6, SCENE_SIZE, SCENE_SIZE, 3))
    coverage = np.tile(255 * is_disc, (6, 1, 1)).astype(np.uint8)
    for split in ("train", "val"):
        silhouettes = np.stack([coverage, coverage], axis=1)
        np.savez(tmp_path / f"{split}-0000.npz", image=image.astype(np.uint8), coverage=coverage, silhouettes=silhouettes)
    return tmp_path


def run(monkeypatch, folder, out, iterations):
    monkeypatch.setattr(train, "SPEC", HourglassSpec(CHANNELS, (4, 4), 2))
    for name in ("BATCH", "VALIDATED", "VALIDATE_EVERY", "SAVE_EVERY"):
        monkeypatch.setattr(train, name, 4)
    arguments = ["--scenes", str(folder), "--out", str(out), "--iterations", str(iterations)]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    train.main()
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_training_learns_and_writes_weights(monkeypatch, folder):
    monkeypatch.setattr(train, "WARM_UP", 2)

    log = run(monkeypatch, folder, folder / "run", 16)

    assert [line["iteration"] for line in log] == [4, 8, 12, 16]
    assert log[-1]["validation_loss"] < log[0]["validation_loss"]
    _, info = load_weights_of(HourglassSpec, folder / "run" / "mask.safetensors", "mask", INPUT_LAYOUT)
    assert info.spec == HourglassSpec(CHANNELS, (4, 4), 2)


def test_a_run_that_was_ended_goes_on(monkeypatch, folder):
    run(monkeypatch, folder, folder / "run", 4)

    log = run(monkeypatch, folder, folder / "run", 8)

    assert [line["iteration"] for line in log] == [4, 8]


def test_examples_ask_for_what_is_not_known(folder, rng):
    scenes = dict(np.load(folder / "train-0000.npz"))

    inputs, wanted = train.draw_examples(scenes, rng, 12)

    assert inputs.shape == (12, SIZE, SIZE, CHANNELS)
    assert np.isfinite(inputs).all()
    marks = inputs[..., 3]
    assert (np.isnan(wanted) == (marks != 0)).all()
    share = np.nanmean(wanted, axis=(1, 2))
    assert share.min() > 0.3  # a disc in a box that is up to a fifth of it larger on each side
    assert share.max() < 0.95
