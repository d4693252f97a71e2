# SPDX-License-Identifier: Apache-2.0
"""Tries a problem: whether it keeps the contract that training and solving rely on.

    from solver_core.testing import check_problem

    def test_my_problem():
        check_problem(problem)

Each check is a function of its own, for a test of its own.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.config import train_settings
from solver_core.optional import needed_for
from solver_core.problem import Samples, take
from solver_core.problem_kind import ProblemKind
from solver_core.problems import find_problem
from solver_core.training import read_settings

COUNT = 8  # samples that are tried
SEED = 0
TOLERANCE = 1e-3  # of steps: float32, some chained operations
BATCH_TOLERANCE = 1e-4  # of features and energies: sums of a batch may be taken in another order
ITERATIONS, BATCH_SIZE = 150, 64  # of the training that is tried
LEARNT = 0.9  # of the loss at the start: the least that training must bring it down to


class ContractError(AssertionError):
    """A problem does not keep the contract; the message says where."""


def check_problem(problem: str | ProblemKind, data: str | Path = ".", sampling: dict[str, Any] | None = None) -> None:
    """Tries everything below.

    Args:
        problem: a name of the registry, or a problem itself.
        data: the folder of its samples, if it needs one.
        sampling: the table [sampling] of its recipe; None = that of its own recipe.

    Raises:
        ContractError: what the problem gives breaks the contract.
        SolverError: it cannot be tried at all.
    """
    kind = find_problem(problem)
    samples = _samples(kind, data, sampling)
    check_energy(samples)
    check_round_trips(samples)
    check_batches(samples)
    check_features(kind, samples)
    check_measures(kind, samples)
    check_training(kind, data, sampling)


def check_energy(samples: Samples, exactly: bool = False) -> None:
    """The energy is nowhere negative and, without noise, 0 at the truth; with it, lower there than at the start."""
    rows = np.arange(len(samples.x0))
    prediction = samples.problem.forward(samples.x_true, rows)
    energy = samples.problem.energy(prediction, samples.observation, rows)
    at_start = samples.problem.energy(samples.problem.forward(samples.x0, rows), samples.observation, rows)
    of_itself = samples.problem.energy(prediction, prediction, rows) if _is_alike(prediction, samples.observation) else None
    _check(energy.shape == (len(rows),), f"energy must give one number an instance, (B,), it gives {energy.shape}")
    _check(bool((energy >= 0).all() and (at_start >= 0).all()), "the energy is negative")
    if of_itself is not None:
        _check(bool((np.abs(of_itself) <= BATCH_TOLERANCE).all()), f"the energy of f(x) itself is {of_itself.max():.3g}, not 0")
    if exactly:
        _check(bool((energy <= BATCH_TOLERANCE).all()), f"the energy at the truth is {energy.max():.3g}, not 0")
    _check(bool(np.median(energy) < np.median(at_start)), "the energy at the truth is no lower than at the start")


def check_round_trips(samples: Samples) -> None:
    """A zero step stays, the step to the truth leads there, and step_from_output undoes output_from_step."""
    problem, x0, x_true = samples.problem, samples.x0, samples.x_true
    manifold, rows = problem.manifold, np.arange(len(x0))
    step = manifold.difference(x0, x_true)
    _check(step.shape == (len(x0), manifold.dim), f"a step must be {(len(x0), manifold.dim)}, difference gives {step.shape}")
    scale = max(float(np.abs(step).max()), 1e-12)
    moved = manifold.distance(manifold.retract(x0, np.zeros_like(step)), x0)
    _check(bool((moved <= TOLERANCE).all()), "retract moves by a zero step")
    left = manifold.difference(manifold.retract(x0, step), x_true)
    _check(bool((np.abs(left) <= TOLERANCE * scale).all()), "retract(x, difference(x, y)) is not y")
    output = problem.output_from_step(step, x0, rows)
    again = problem.step_from_output(output, x0, rows)
    _check(
        bool((np.abs(manifold.difference(manifold.retract(x0, again), x_true)) <= TOLERANCE * scale).all()),
        "step_from_output(output_from_step(step)) is not the step",
    )


def check_batches(samples: Samples) -> None:
    """Every instance gives alone, and in another order, what it gives in the batch."""
    problem, rows = samples.problem, np.arange(len(samples.x0))
    prediction = problem.forward(samples.x0, rows)
    energy = problem.energy(prediction, samples.observation, rows)
    features = problem.features(samples.x0, prediction, samples.observation, rows)
    for part in (rows[:1], rows[1:2], rows[::-1]):
        alone = problem.forward(samples.x0[part], part)
        observation = take(samples.observation, part)
        same = problem.energy(alone, observation, part)
        words = f"instances {part.tolist()} give another {{}} than in the batch"
        _check(np.allclose(same, energy[part], rtol=BATCH_TOLERANCE, atol=BATCH_TOLERANCE), words.format("energy"))
        seen = problem.features(samples.x0[part], alone, observation, part)
        for one, other in zip(seen, take(features, part), strict=True):
            is_same = one is None or np.allclose(one, other, rtol=BATCH_TOLERANCE, atol=BATCH_TOLERANCE)
            _check(is_same, words.format("features"))


def check_features(kind: ProblemKind, samples: Samples) -> None:
    """Features are finite float32 of the network's size, at the start and at the truth, and of order one."""
    spec = kind.network_spec(_network_table(kind))
    rows = np.arange(len(samples.x0))
    for x in (samples.x0, samples.x_true):
        features = samples.problem.features(x, samples.problem.forward(x, rows), samples.observation, rows)
        for name, array in zip(features._fields, features, strict=True):
            if array is not None:
                _check(array.dtype == np.float32, f"the {name} of the features must be float32, got {array.dtype}")
                _check(bool(np.isfinite(array).all()), f"the {name} of the features has numbers that are not finite")
                _check(float(np.abs(array).max()) < 1e3, f"the {name} of the features is not of order one")
        image, vector = spec.select(features)
        _check(vector.shape == (len(x), spec.vector_size), f"the network sees {spec.vector_size} numbers, got {vector.shape}")
        size = (len(x), spec.image_size, spec.image_size, spec.image_channels)
        _check(not spec.image_channels or (image is not None and image.shape == size), f"the network sees an image {size}")
    output = samples.problem.output_from_step(samples.problem.manifold.difference(samples.x0, samples.x_true), samples.x0, rows)
    _check(output.shape == (len(rows), spec.outputs), f"the network gives {spec.outputs} numbers, a step has {output.shape}")


def check_measures(kind: ProblemKind, samples: Samples) -> None:
    """Errors are (B,), finite and lower at the truth than at the start."""
    rows = np.arange(len(samples.x0))
    at_truth = kind.measure(samples.problem, samples.x_true, samples.x_true, rows)
    at_start = kind.measure(samples.problem, samples.x0, samples.x_true, rows)
    for name, error in at_truth.items():
        _check(error.shape == (len(rows),), f"the error {name} must be (B,), got {error.shape}")
        _check(bool(np.isfinite(error).all() and np.isfinite(at_start[name]).all()), f"the error {name} is not finite")
        _check(bool((error <= at_start[name] + TOLERANCE).all()), f"the error {name} is larger at the truth than at the start")


def check_training(kind: ProblemKind, data: str | Path = ".", sampling: dict[str, Any] | None = None) -> None:
    """A short training, here in this process, lowers the loss of samples it has not seen.  Needs solver_core[train]."""
    with needed_for("trying the training", extra="train"):
        import torch

        from solver_core.training.examples import StageSource, make_examples
        from solver_core.training.trainer import WARMUP_ITERATIONS, _Run
    settings = read_settings(kind, None, [])
    settings = replace(settings, iterations=(ITERATIONS + WARMUP_ITERATIONS,), batch_size=BATCH_SIZE, init="", bfloat16=False)
    if sampling is not None:
        settings = replace(settings, sampling=sampling)
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(kind, settings, Path(data), Path(folder), torch.device("cpu"))
        source = StageSource(kind, settings, run.spec, Path(data), [])
        sampler = source.sampler("train")
        unseen = make_examples(source, sampler, ITERATIONS)
        before = float(run.loss_of(unseen).detach())
        for run.iteration in range(ITERATIONS):
            run._gradient_step(make_examples(source, sampler, run.iteration))
        after = float(run.loss_of(unseen).detach())
    _check(after < LEARNT * before, f"{ITERATIONS} steps of training bring the loss from {before:.4g} to {after:.4g} only")


def _samples(kind: ProblemKind, data: str | Path, sampling: dict[str, Any] | None) -> Samples:
    settings = train_settings(kind.recipe(), f"the recipe of {kind.name}").sampling if sampling is None else sampling
    samples = kind.make_sampler(Path(data), "train", settings).draw(np.random.default_rng(SEED), COUNT)
    again = kind.make_sampler(Path(data), "train", settings).draw(np.random.default_rng(SEED), COUNT)
    _check(len(samples.x0) == len(samples.x_true) == COUNT, f"the sampler gives {len(samples.x0)} samples instead of {COUNT}")
    _check(bool(np.array_equal(samples.x_true, again.x_true)), "the same random state gives other samples")
    return samples


def _network_table(kind: ProblemKind) -> dict[str, Any]:
    return train_settings(kind.recipe(), f"the recipe of {kind.name}").network


def _is_alike(prediction: Any, observation: Any) -> bool:
    """Whether a prediction could stand for an observation: the same kind of arrays."""
    return isinstance(prediction, np.ndarray) and isinstance(observation, np.ndarray) and prediction.shape == observation.shape


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise ContractError(sentence)
