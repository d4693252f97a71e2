# SPDX-License-Identifier: Apache-2.0
"""Training examples for one stage, made by worker processes while the network trains. [torch]

Batch k of stage t depends only on the seed, t and k, so a resumed run continues the very same stream.
"""

from __future__ import annotations

import functools
import os
import pickle
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from solver_core import render
from solver_core.config import TrainSettings
from solver_core.loop import LoopSettings, iterate
from solver_core.network.spec import NetworkSpec
from solver_core.network.torch_modules import TorchNetwork
from solver_core.network.update import Network, network_update
from solver_core.problem import Features, Sampler, Samples, take
from solver_core.problem_kind import ProblemKind
from solver_core.solution import Iteration
from solver_core.training.memory import keep_freed_memory
from solver_core.workers import worker_pool
from solver_core.writing import UNFINISHED, remove_unfinished, write_bytes

PREFETCH_PER_WORKER = 2  # batches under way: enough that no worker idles while one is fetched
Weights = dict[str, np.ndarray]


class Examples(NamedTuple):
    """What one gradient step needs: features, and the arrays the problem's loss asks for."""

    features: Features
    loss_inputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class StageSource:
    """Everything a worker needs to make the batches of one stage.

    frozen: weights of the stages before it, through which samples are rolled forward.
    """

    problem: ProblemKind
    settings: TrainSettings
    spec: NetworkSpec
    data: Path
    frozen: list[Weights]

    @property
    def stage(self) -> int:
        return len(self.frozen)

    @functools.cached_property
    def networks(self) -> list[Network]:
        """Of the stages before it, made once: drawing their first weights takes as long as a batch of poses."""
        networks = [TorchNetwork(self.spec) for _ in self.frozen]
        for network, weights in zip(networks, self.frozen, strict=True):
            network.load_numpy_weights(weights)
        return [network.predict for network in networks]

    def sampler(self, split: str) -> Sampler:
        return self.problem.make_sampler(self.data, split, self.settings.sampling)

    def roll_forward(self, samples: Samples) -> list[Iteration]:
        """Iterations of the feedback loop of samples whose answers are known, through the stages before it, the start first."""
        settings = LoopSettings(steps=self.stage, halvings=self.settings.halvings)
        update = network_update(samples.problem, self.networks)
        return list(iterate(samples.problem, update, samples.observation, samples.x0, settings))


def make_examples(source: StageSource, sampler: Sampler, index: int) -> Examples:
    """Batch `index`: fresh samples, rolled forward through the frozen stages; those that stopped on the way are left out."""
    settings = source.settings
    rng = np.random.default_rng([settings.seed, source.stage, index])
    samples = sampler.draw(rng, settings.batch_size)
    state = source.roll_forward(samples)[-1]
    rows = np.flatnonzero(state.is_active)
    if len(rows) == 0:  # everything is solved already: train on what is there rather than on nothing
        rows = np.arange(len(state.x))
    x, x_true = state.x[rows], samples.x_true[rows]
    features = samples.problem.features(x, take(state.prediction, rows), take(samples.observation, rows), rows)
    return Examples(features, source.problem.loss_inputs(samples.problem, x, x_true, rows))


class Workers:
    """Processes that make batches; they stay for all stages of a run, with what they have read.  To be used in a `with`.

    number: 0 = one a core.  folder: of the run, whose files for them go as unfinished ones do, also after a kill.
    """

    def __init__(self, number: int, folder: Path) -> None:
        self.number, self.folder = number or os.cpu_count() or 1, folder
        self.resources = ExitStack()

    def __enter__(self) -> Self:
        self.resources.enter_context(_single_threaded_children())
        self.resources.callback(remove_unfinished, self.folder)
        self.pool = self.resources.enter_context(worker_pool(self.number, "set fewer workers in the recipe", _prepare))
        return self

    def __exit__(self, *exception: Any) -> bool | None:
        return self.resources.__exit__(*exception)

    def stream(self, source: StageSource, start: int, stop: int) -> Iterator[Examples]:
        """Batches start..stop-1 in order, made ahead."""
        path = self.folder / f"{UNFINISHED}stage{source.stage}.pickle"  # once for all batches: its weights are large
        write_bytes(path, pickle.dumps(source), "examples' source")
        pending: deque[Future[Examples]] = deque()
        next_index = start
        try:
            while pending or next_index < stop:
                while next_index < stop and len(pending) < self.number * PREFETCH_PER_WORKER:
                    pending.append(self.pool.submit(_work, path, next_index))
                    next_index += 1
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class _single_threaded_children:
    """While active, new processes run their linear algebra on one thread each: there is one worker a core already."""

    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in self.variables}
        os.environ.update(dict.fromkeys(self.variables, "1"))

    def __exit__(self, *exception: object) -> None:
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _prepare() -> None:
    keep_freed_memory()
    render.set_num_threads(1)
    torch.set_num_threads(1)


@functools.lru_cache(maxsize=1)
def _source(path: Path) -> StageSource:
    return pickle.loads(path.read_bytes())


_samplers: list[Sampler] = []  # of this worker; made with the first batch, so that its errors are those of that batch


def _work(path: Path, index: int) -> Examples:
    source = _source(path)
    if not _samplers:
        _samplers.append(source.sampler("train"))
    return make_examples(source, _samplers[0], index)
