# SPDX-License-Identifier: Apache-2.0
"""A small training run from a folder of meshes to a weights file."""

import json
import os
import re
import shutil
import signal
from dataclasses import replace
from unittest.mock import ANY

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
trimesh = pytest.importorskip("trimesh")

import solver_core as sc  # noqa: E402
from solver_core.config import load_train_settings  # noqa: E402
from solver_core.errors import ConfigError, ResourceError  # noqa: E402
from solver_core.locking import sole_writer  # noqa: E402
from solver_core.network.torch_modules import TorchNetwork  # noqa: E402
from solver_core.network.weights import load_networks, load_weights, shipped_weights  # noqa: E402
from solver_core.problems import find_problem  # noqa: E402
from solver_core.problems.pose.features import INPUT_LAYOUT  # noqa: E402
from solver_core.training import trainer  # noqa: E402
from solver_core.training.blocks import Block  # noqa: E402
from solver_core.training.board import scalars  # noqa: E402
from solver_core.training.examples import PREFETCH_PER_WORKER, StageSource, Workers, make_examples  # noqa: E402
from solver_core.training.preview import preview  # noqa: E402
from solver_core.writing import UNFINISHED  # noqa: E402

pytestmark = pytest.mark.torch

CONFIG = """
[training]
problem = "pose"
name = "small"
iterations = [4, 2]
batch_size = 8
workers = 1
validation_samples = 4
validate_every = 2
[network]
convolutions = [[4, 2], [4, 2], [4, 2], [4, 2]]
hidden = [8]
[sampling]
resolutions = [64]
"""


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Twenty boxes, enough for every split to have some."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "shapes" / "box"
    folder.mkdir(parents=True)
    for index in range(20):
        trimesh.creation.box((1, 1 + 0.1 * index, 2)).export(folder / f"box{index}.ply")
    return tmp_path / "shapes"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(CONFIG)
    return path


def test_training_writes_weights_log_curve_and_can_resume_to_the_same_weights(config, data, tmp_path, monkeypatch):
    straight = trainer.train(config, data, tmp_path / "straight")

    step = trainer._Run._gradient_step
    calls = []

    def interrupted_step(run, examples):
        calls.append(run.iteration)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)  # between the optimiser's step and the counter of iterations
        return step(run, examples)

    with monkeypatch.context() as patch:
        patch.setattr(trainer._Run, "_gradient_step", interrupted_step)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(config, data, tmp_path / "resumed")
    resumed = trainer.train(config, data, tmp_path / "resumed", resume=True)

    networks = [load_networks(path, "pose", INPUT_LAYOUT) for path in (straight, resumed)]
    assert len(networks[0]) == 2
    for one, other in zip(*networks, strict=True):
        for name in one.weights:
            np.testing.assert_allclose(one.weights[name], other.weights[name], rtol=2e-3, atol=1e-5)
    log = [json.loads(line) for line in (tmp_path / "straight" / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in log} == {0, 1}
    assert any("validation" in line for line in log)
    assert any("minutes_left" in line for line in log)
    assert (tmp_path / "straight" / "curve.png").stat().st_size > 1000


def test_every_line_of_the_log_and_every_iteration_is_told(config, data, tmp_path):
    lines, iterations = [], []

    sc.train(
        "pose", data, tmp_path / "run", recipe=config, on_log=lines.append, on_iteration=lambda *now: iterations.append(now)
    )

    assert lines == [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert iterations == [*(("stage 1/2", done, 4) for done in range(1, 5)), ("stage 2/2", 1, 2), ("stage 2/2", 2, 2)]


def test_log_lines_are_numbers_for_tensorboard():
    assert scalars({"stage": 0, "iteration": 2, "loss": 0.5, "minutes_left": 3.0}) == {"loss": 0.5}
    assert scalars({"stage": 0, "validation": {"angle_deg": [2.0, 1.0]}}) == {"angle_deg/mean": 2.0, "angle_deg/median": 1.0}


def test_shipped_weights_are_a_start_if_there_are_some(config, data, tmp_path):
    changes = ["init=shipped", "iterations=[1]", "network.convolutions=[[32,2],[64,2],[96,2],[128,2]]"]
    changes += ["network.hidden=[256,256]", "learning_rate=0.0"]

    weights = sc.train("pose", data, tmp_path / "run", recipe=config, changes=changes)

    (stage,), _ = load_weights(weights, "pose", INPUT_LAYOUT)
    (shipped, *_), _ = load_weights(shipped_weights("pose"), "pose", INPUT_LAYOUT)
    np.testing.assert_allclose(stage["linear0.weight"], shipped["linear0.weight"], rtol=1e-3, atol=1e-7)  # rounded twice


def test_a_preview_draws_what_the_network_will_see(config, data, tmp_path):
    seen = preview(find_problem("pose"), load_train_settings(config), data, tmp_path / "run")

    picture = Image.open(seen["picture"])
    assert picture.width > picture.height  # 7 channels of 6 samples
    assert np.asarray(picture.convert("L")).std() > 20
    assert seen["samples"] == 6 * 8
    assert 1 < seen["start"]["rotation_deg"] < 40


def test_a_preview_takes_the_place_of_an_earlier_one_and_of_nothing_else(config, data, tmp_path):
    arguments = find_problem("pose"), load_train_settings(config), data
    picture = data / "samples.png"
    Image.new("RGB", (8, 8)).save(picture)
    before = picture.read_bytes()

    with pytest.raises(ConfigError, match="is of no earlier run"):
        preview(*arguments, data)

    assert picture.read_bytes() == before
    assert preview(*arguments, tmp_path / "run") == {**preview(*arguments, tmp_path / "run"), "samples_per_second": ANY}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU and a torch with CUDA")
def test_a_gpu_trains_to_weights_that_solve_on_the_processor(config, data, tmp_path):
    weights = trainer.train(config, data, tmp_path / "run", device="cuda")

    assert len(load_networks(weights, "pose", INPUT_LAYOUT)) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_a_sentence(config, data, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot train on the device 'cuda': .*; use --device cpu"):
        trainer.train(config, data, tmp_path / "run", device="cuda")


@pytest.mark.parametrize("device", ["meta", "no such device", "cpu:-1", 2**63, None])
def test_what_is_no_device_is_a_sentence(device, config, data, tmp_path):
    with pytest.raises(ConfigError, match="device"):
        trainer.train(config, data, tmp_path / "run", device=device)


def test_weights_say_what_the_settings_say_of_their_origin(config, data, tmp_path):
    config.write_text(CONFIG.replace("[training]", '[training]\ndata = "my boxes"\nlicence = "MIT"'))

    weights = trainer.train(config, data, tmp_path / "run")

    _, info = load_weights(weights, "pose", INPUT_LAYOUT)
    assert (info.data, info.licence, info.commit) == ("my boxes", "MIT", "")


@pytest.fixture
def earlier(config, data, tmp_path):
    """Weights of another run."""
    return trainer.train(config, data, tmp_path / "earlier")


def train_from(earlier, data, config, folder, network=""):
    """Stages of weights trained from earlier ones at a learning rate of zero."""
    still = f'init = "{earlier}"\nlearning_rate = 0.0\nlater_learning_rate = 0.0'
    config.write_text(CONFIG.replace("[training]", f"[training]\n{still}").replace("[network]", f"[network]\n{network}"))
    return load_weights(trainer.train(config, data, folder), "pose", INPUT_LAYOUT)[0]


def test_every_stage_goes_on_from_its_earlier_weights(earlier, config, data, tmp_path):
    stages, _ = load_weights(earlier, "pose", INPUT_LAYOUT)

    again = train_from(earlier, data, config, tmp_path / "again")

    assert not np.array_equal(stages[0]["linear0.weight"], stages[1]["linear0.weight"])
    for before, after in zip(stages, again, strict=True):
        for name, array in before.items():
            np.testing.assert_allclose(after[name], array, rtol=1e-3, atol=1e-7)  # rounded twice


def test_only_the_first_stage_goes_on_from_those_of_another_network(earlier, config, data, tmp_path):
    (first, _second), _ = load_weights(earlier, "pose", INPUT_LAYOUT)

    again = train_from(earlier, data, config, tmp_path / "again", "proposals = 2")

    np.testing.assert_allclose(again[0]["linear0.weight"], first["linear0.weight"], rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(again[1]["linear0.weight"], again[0]["linear0.weight"])


def test_batch_depends_on_its_index_alone(config, data):
    settings = load_train_settings(config)
    spec = find_problem("pose").network_spec(settings.network)
    source = StageSource(find_problem("pose"), settings, spec, data, [])
    sampler = source.sampler("train")

    make_examples(source, sampler, 0)
    second = make_examples(source, sampler, 1)
    alone = make_examples(source, source.sampler("train"), 1)

    np.testing.assert_allclose(second.features.image, alone.features.image, atol=1e-6)


@pytest.mark.parametrize("name", ["small.safetensors", "curve.png", "log.jsonl", "checkpoint.before.pt"])
def test_a_new_run_overwrites_nothing_that_is_in_its_folder(name, config, data, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / name).write_bytes(b"of somebody else")

    with pytest.raises(ConfigError, match="give another folder with --out"):
        trainer.train(config, data, out)

    assert {path.name: path.read_bytes() for path in out.iterdir()} == {name: b"of somebody else"}


def test_weights_that_a_run_starts_from_are_not_overwritten(earlier, config, data):
    for path in earlier.parent.glob("checkpoint*"):
        path.unlink()
    before = earlier.read_bytes()

    with pytest.raises(ConfigError, match="would be overwritten"):
        train_from(earlier, data, config, earlier.parent)

    assert earlier.read_bytes() == before


def test_resume_without_a_checkpoint_is_refused(config, data, tmp_path):
    with pytest.raises(ConfigError, match="nothing to resume"):
        trainer.train(config, data, tmp_path / "new", resume=True)


def test_a_second_trainer_in_the_same_folder_is_refused(config, data, tmp_path):
    (tmp_path / "run").mkdir()

    with sole_writer(tmp_path / "run"), pytest.raises(ConfigError, match="is writing to the folder"):
        trainer.train(config, data, tmp_path / "run")


def test_workers_stay_from_stage_to_stage_and_keep_what_they_read(config, data, tmp_path):
    settings = load_train_settings(config)
    spec = find_problem("pose").network_spec(settings.network)
    source = StageSource(find_problem("pose"), settings, spec, data, [])
    later = replace(source, frozen=[TorchNetwork(spec).to_numpy_weights()])

    with Workers(1, tmp_path) as workers:
        first = [next(workers.stream(source, [3]))]
        processes = set(workers.pool._processes)
        shutil.rmtree(data)
        first += workers.stream(later, [3])

        assert set(workers.pool._processes) == processes
    assert not list(tmp_path.glob(f"{UNFINISHED}*"))
    assert not np.array_equal(first[0].features.image, first[1].features.image)


@pytest.mark.parametrize("has_room", [True, False])
def test_batches_come_through_shared_memory_where_there_is_room(has_room, config, data, tmp_path, monkeypatch):
    if not has_room:
        monkeypatch.setattr("solver_core.training.blocks._new_block", lambda size: None)
    read, arrays = [], Block.arrays
    monkeypatch.setattr(Block, "arrays", lambda *arguments: read.append(arguments) or arrays(*arguments))
    settings = load_train_settings(config)
    spec = find_problem("pose").network_spec(settings.network)
    source = StageSource(find_problem("pose"), settings, spec, data, [])
    expected = [make_examples(source, source.sampler("train"), index) for index in range(4)]

    with Workers(1, tmp_path) as workers:
        for number, batch in enumerate(workers.stream(source, range(4))):
            np.testing.assert_array_equal(batch.features.image, expected[number].features.image)
            np.testing.assert_array_equal(batch.features.vector, expected[number].features.vector)
            np.testing.assert_array_equal(batch.loss_inputs["target"], expected[number].loss_inputs["target"])

    assert len(read) == (4 - PREFETCH_PER_WORKER if has_room else 0)  # the first tell how large batches are


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx2": True, "avx512_bf16": False}, False), ({"avx512_bf16": False, "amx_bf16": True}, True), ({}, False)],
)
def test_half_precision_is_for_processors_that_have_it(capabilities, expected, config, data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    settings = load_train_settings(config)

    for is_asked in (True, False):
        asked = replace(settings, bfloat16=is_asked)
        run = trainer._Run(find_problem("pose"), asked, data, tmp_path, torch.device("cpu"))
        assert run.is_half_precision == (is_asked and expected)


def test_a_worker_that_is_killed_ends_the_run_with_a_sentence(config, data, tmp_path, monkeypatch):
    monkeypatch.setattr("solver_core.training.examples._prepare", os.abort)  # unpickled by name in the worker
    settings = load_train_settings(config)
    spec = find_problem("pose").network_spec(settings.network)

    with pytest.raises(ResourceError, match="workers was ended from outside"), Workers(1, tmp_path) as workers:
        next(workers.stream(StageSource(find_problem("pose"), settings, spec, data, []), [1]))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("hidden = [8]", 'hidden = "8"', "table [network]"),
        ("hidden = [8]", "hidden = [0]", "table [network]"),
        ("hidden = [8]", "hidden = [8]\ninputs = []", "table [network]"),
        ("resolutions = [64]", 'resolutions = ["many"]', "resolutions in [sampling] must be a list"),
        ("resolutions = [64]", "resolutions = 0", "resolutions in [sampling] must be a list"),
        ('name = "small"', 'name = "../small"', "fit for a file name"),
        ("validate_every = 2", "validate_every = 0", "must be from 1"),
        ("workers = 1", "workers = -1", "must be from 0"),
        ("batch_size = 8", "learning_rate = nan", "must be a number"),
        ("iterations = [4, 2]", "iterations = [4, true]", "must be a list, each a whole number"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_a_sentence(old, new, sentence, config, data, tmp_path):
    config.write_text(CONFIG.replace(old, new))

    with pytest.raises(ConfigError, match=re.escape(sentence)):
        trainer.train(config, data, tmp_path / "run")


def test_gradient_steps_on_one_batch_lower_its_loss(config, data, tmp_path):
    settings = replace(load_train_settings(config), iterations=(1000,))
    run = trainer._Run(find_problem("pose"), settings, data, tmp_path, torch.device("cpu"))
    source = StageSource(run.problem, settings, run.spec, data, [])
    examples = make_examples(source, source.sampler("train"), 0)
    run.iteration = trainer.WARMUP_ITERATIONS  # the full learning rate

    losses = [run._gradient_step(examples) for _ in range(40)]

    assert losses[-1] < 0.9 * losses[0]


def test_depth_decoder_is_trained_along_and_not_kept(config, data, tmp_path):
    lighting = CONFIG.replace('"pose"', '"lighting"').replace("resolutions = [64]", "lights_per_view = 2")
    config.write_text(lighting.replace("hidden = [8]", 'hidden = [8]\ninputs = "image"\ndepth_weight = 0.5'))

    run = trainer._Run(find_problem("lighting"), load_train_settings(config), data, tmp_path / "run", torch.device("cpu"))
    before = [parameter.detach().clone() for parameter in run.loss.parameters()]
    source = StageSource(run.problem, run.settings, run.spec, data, [])
    run._gradient_step(make_examples(source, source.sampler("train"), 0))

    assert all((now != was).any() for now, was in zip(run.loss.parameters(), before, strict=True))
    assert {name.partition(".")[0] for name in run.network.to_numpy_weights()} == {layer for layer, _ in run.spec.layers()}
