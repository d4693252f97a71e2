# SPDX-License-Identifier: Apache-2.0
"""Training examples for one stage, made by worker processes while the network trains. [torch]

Batch k of stage t depends only on the seed, t and k, so a resumed run continues the very same stream.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from solver_core import render
from solver_core.caching import cached_arrays
from solver_core.config import TrainSettings
from solver_core.errors import ConfigError
from solver_core.loop import LoopSettings, iterate
from solver_core.network.spec import NetworkSpec
from solver_core.network.torch_modules import TorchNetwork
from solver_core.network.update import Network, network_update
from solver_core.problem import Features, Sampler, Samples, take
from solver_core.problem_kind import ProblemKind
from solver_core.solution import Iteration
from solver_core.training.blocks import Block, Blocks, Places, size_of, write_arrays
from solver_core.training.files import LOG
from solver_core.training.memory import keep_freed_memory
from solver_core.workers import worker_pool
from solver_core.writing import UNFINISHED, remove_unfinished, write_bytes

PREFETCH_PER_WORKER = 2  # batches under way: enough that no worker idles while one is fetched
Weights = dict[str, np.ndarray]
LOSS_INPUT = "loss input "  # begins the names of such arrays in the cache and in blocks
MOST_FILES = 1_000_000  # of data, whose times are part of a cache's name
CODE = Path(__file__).parents[1]  # of solver_core


class Examples(NamedTuple):
    """What one gradient step needs: features, and the arrays the problem's loss asks for."""

    features: Features
    loss_inputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class StageSource:
    """Everything a worker needs to make the batches of one stage.

    frozen: weights of the stages before it, through which samples are rolled forward.
    cache_name: what batches in the cache are called, see cache_name_of.
    """

    problem: ProblemKind
    settings: TrainSettings
    spec: NetworkSpec
    data: Path
    frozen: list[Weights]
    cache_name: str = ""

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

    number: of them.  folder: of the run, whose files for them go as unfinished ones do, also after a kill.
    """

    def __init__(self, number: int, folder: Path) -> None:
        self.number, self.folder = number, folder
        self.resources, self.blocks = ExitStack(), Blocks()

    def __enter__(self) -> Self:
        self.resources.enter_context(self.blocks)
        self.resources.enter_context(_single_threaded_children())
        self.resources.callback(remove_unfinished, self.folder)
        self.pool = self.resources.enter_context(worker_pool(self.number, "set fewer workers in the recipe", _prepare))
        return self

    def __exit__(self, *exception: Any) -> bool | None:
        return self.resources.__exit__(*exception)

    def stream(self, source: StageSource, indices: Iterable[int]) -> Iterator[Examples]:
        """The batches with these indices in order, made ahead; each is there until the next is asked for."""
        path = self.folder / f"{UNFINISHED}stage{source.stage}.pickle"  # once for all batches: its weights are large
        write_bytes(path, pickle.dumps(source), "examples' source")
        pending: deque[tuple[Future[Examples | Places], Block | None]] = deque()
        ahead = self.number * PREFETCH_PER_WORKER
        try:
            for index in indices:
                block = self.blocks.take()
                pending.append((self.pool.submit(_work, path, index, block.name if block else None), block))
                if len(pending) == ahead:
                    yield from self._next(pending, source, ahead)
            while pending:
                yield from self._next(pending, source, ahead)
        finally:
            for future, _ in pending:
                future.cancel()

    def _next(
        self, pending: deque[tuple[Future[Examples | Places], Block | None]], source: StageSource, ahead: int
    ) -> Iterator[Examples]:
        future, block = pending[0]
        made = future.result()
        pending.popleft()
        if isinstance(made, Examples):
            if not self.blocks.are_made:
                arrays = _arrays(made).values()
                rows = len(made.features.vector)
                self.blocks.make(ahead, size_of(arrays) * -(-source.settings.batch_size // rows))
            yield made
        else:
            assert block is not None
            yield _examples(block.arrays(made))
        self.blocks.give_back(block)


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


def _work(path: Path, index: int, block: str | None) -> Examples | Places:
    """A batch, or where it is in the block, if there is one that holds it."""
    source = _source(path)
    examples = kept_examples(source, index, partial(_make, source, index)) if source.cache_name else _make(source, index)
    return (write_arrays(block, _arrays(examples)) if block else None) or examples


def _make(source: StageSource, index: int) -> Examples:
    if not _samplers:
        _samplers.append(source.sampler("train"))
    return make_examples(source, _samplers[0], index)


def kept_examples(source: StageSource, index: int, make: Callable[[], Examples]) -> Examples:
    """Batch `index` from the cache that the settings name; from `make`, if it is not there."""
    cache, most_bytes, name = Path(source.settings.cache), source.settings.cache_gb * 1e9, f"{source.cache_name}-{index}"
    return _examples(cached_arrays(name, lambda: _arrays(make()), cache, most_bytes, own=source.cache_name))


def _arrays(examples: Examples) -> dict[str, np.ndarray]:
    """Examples as arrays by name."""
    image, vector = examples.features
    arrays = {LOSS_INPUT + name: array for name, array in examples.loss_inputs.items()} | {"vector": vector}
    return arrays if image is None else arrays | {"image": image}


def _examples(arrays: dict[str, np.ndarray]) -> Examples:
    """Inverse of _arrays."""
    loss_inputs = {name[len(LOSS_INPUT) :]: array for name, array in arrays.items() if name.startswith(LOSS_INPUT)}
    return Examples(Features(arrays.get("image"), arrays["vector"]), loss_inputs)


def cache_name_of(source: StageSource) -> str:
    """Changes with all that batches of a stage depend on: settings, weights, data, and the code that makes them.

    Raises ConfigError if the data folder holds too many files to look at.
    """
    problem, settings = source.problem, source.settings
    digest = hashlib.sha256()
    shared = (settings.batch_size, settings.seed, settings.halvings, settings.sampling, source.stage)
    digest.update(repr((problem.name, problem.input_layout, source.spec.to_json(), shared)).encode())
    for name, array in ((name, array) for stage in source.frozen for name, array in sorted(stage.items())):
        digest.update(name.encode() + array.tobytes())
    for path in _data_files(source.data, Path(settings.cache)):
        digest.update(repr((str(path.relative_to(source.data)), path.stat().st_size, path.stat().st_mtime_ns)).encode())
    forward = getattr(problem, "forward", None)  # of problems that a function makes
    code = {
        Path(inspect.getfile(part)) for part in (type(problem), forward) if inspect.isclass(part) or inspect.isfunction(part)
    }
    for path in sorted(code | set(CODE.rglob("*.py")) | set(CODE.rglob("*.c"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


def _data_files(folder: Path, cache: Path) -> list[Path]:
    """Files of a data folder, without those of runs and of the cache that lie in it.  Raises ConfigError for too many."""
    files: list[Path] = []
    cache = cache.resolve()
    for parent, folders, names in os.walk(folder):
        paths = [Path(parent, name) for name in folders]
        folders[:] = [path.name for path in paths if not (path / LOG).exists() and path.resolve() != cache]
        files += [Path(parent, name) for name in names]
        if len(files) > MOST_FILES:
            raise ConfigError(f"{folder} holds more than {MOST_FILES} files; name the folder of those to train on with --data")
    return sorted(files)
