# SPDX-License-Identifier: Apache-2.0
"""Stage-wise training (Ma et al. 2020, sec. 3.2). [torch]

Train g_0 on the starts; freeze it; roll fresh samples through it; train g_1 on what it leaves; and so on.  Our deviation:
g_t starts from the weights of g_{t-1} instead of random ones, which needs far fewer samples for the same error.
"""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import nn

from solver_core.checks import checked_kind
from solver_core.config import TrainSettings, load_train_settings, using
from solver_core.errors import ConfigError, plain_line
from solver_core.locking import sole_writer
from solver_core.network.spec import NetworkSpec
from solver_core.network.torch_modules import TorchNetwork, start_from, to_tensors
from solver_core.network.weights import WeightsInfo, load_weights, save_weights
from solver_core.problem import Samples
from solver_core.problem_kind import ProblemKind
from solver_core.problems import find_problem
from solver_core.training.board import tensorboard
from solver_core.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from solver_core.training.curve import draw_curve
from solver_core.training.examples import Examples, StageSource, Weights, Workers, cache_name_of
from solver_core.training.files import CURVE, LOG, check_new_run, weights_path
from solver_core.training.memory import keep_freed_memory
from solver_core.training.ranks import Ranks, joined_ranks
from solver_core.writing import append_line, make_folder, remove_unfinished

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 120.0
LOG_SECONDS = 30.0
WARMUP_ITERATIONS = 100  # Adam's second moments need some steps before the full rate is safe
MAX_GRADIENT_NORM = 1.0
VALIDATION_SEED = 1_000_003  # far from the seeds of training batches


class Watch(NamedTuple):
    """What is told while a run trains.

    on_log: every line of log.jsonl as a dict: stage, iteration, seconds and either loss, samples_per_second and minutes_left,
    or validation, mean and median of every error by name.  on_iteration: a stage as in "stage 1/3", the iterations it has had
    and those it will have, after each.
    """

    on_log: Callable[[dict[str, Any]], None] | None = None
    on_iteration: Callable[[str, int, int], None] | None = None


def train(config: Path, data: Path, out: Path, device: str = "cpu", resume: bool = False) -> Path:
    """Trains as a recipe, a TOML file, says; for the rest see train_problem."""
    settings = load_train_settings(config)
    return train_problem(find_problem(settings.problem), settings, data, out, device, resume)


def train_problem(
    problem: ProblemKind,
    settings: TrainSettings,
    data: Path,
    out: Path,
    device: str = "cpu",
    resume: bool = False,
    watch: Watch = Watch(),  # noqa: B008  (immutable)
) -> Path:
    """Trains every stage of a problem's networks.

    Args:
        problem: whose networks.
        settings: the recipe.
        data: folder of what is trained on.
        out: folder for weights, log, curve and checkpoint.
        device: where torch computes, such as "cuda".
        resume: whether to go on from the checkpoint in the output folder.
        watch: who is told of the progress.

    Returns:
        The path of the weights.

    Raises:
        ConfigError: for settings, data, a device or a checkpoint that cannot be used, or a file that would be overwritten.
    """
    keep_freed_memory()
    with ExitStack() as resources:
        ranks, device = resources.enter_context(joined_ranks(device))
        interrupts = resources.enter_context(_Interrupts())
        folder = out if ranks.is_first else Path(resources.enter_context(TemporaryDirectory()))  # the others' go with them
        make_folder(folder)
        resources.enter_context(sole_writer(folder))
        remove_unfinished(folder)
        if not resume:
            check_new_run(settings, folder)
        run = _Run(problem, settings, data, folder, _checked_device(device), interrupts, watch, ranks)
        if resume:
            run.restore(ranks.shared(lambda: load_checkpoint(folder, settings)))
        if (board := tensorboard(folder)) is not None:
            run.writers.append(resources.enter_context(board))
        run.train()
        return weights_path(settings, out)


def _checked_device(name: str) -> torch.device:
    """Where torch computes.  Raises ConfigError for a device that torch does not know or this machine lacks."""
    checked_kind(name, str, "device", "a text such as cuda", ConfigError)
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # which devices without memory cannot
    except (AssertionError, NotImplementedError, RuntimeError) as error:  # torch's words for what it was built without
        reason = plain_line(str(error).strip().partition("\n")[0])
        raise ConfigError(
            f"cannot train on the device {name!r}: {reason}; use --device cpu, or install torch for it"
        ) from error
    return device


def _has_bfloat16(device: torch.device) -> bool:
    """Whether it multiplies in half precision itself: a processor that does not takes ten times as long over it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
    return any(is_there for name, is_there in capabilities.items() if name.endswith("bf16"))


class _Earlier(NamedTuple):
    """Weights to start from, a stage each, and their network."""

    stages: list[Weights]
    spec: NetworkSpec


class _Run:
    """One training run: the finished stages, the network under way, and its files."""

    def __init__(
        self,
        problem: ProblemKind,
        settings: TrainSettings,
        data: Path,
        out: Path,
        device: torch.device,
        interrupts: _Interrupts | None = None,
        watch: Watch = Watch(),  # noqa: B008  (immutable)
        ranks: Ranks = Ranks(),  # noqa: B008  (immutable)
    ) -> None:
        self.problem, self.settings, self.data, self.out, self.device = problem, settings, data, out, device
        self.interrupts, self.watch, self.ranks = interrupts or _Interrupts(), watch if ranks.is_first else Watch(), ranks
        self.is_stopping = False  # decided by all ranks together
        self.is_half_precision = settings.bfloat16 and _has_bfloat16(device)
        self.writers: list[Callable[[dict[str, Any]], None]] = [partial(_append_to, out / LOG)]
        if self.watch.on_log is not None:
            self.writers.append(self.watch.on_log)
        with using("network"):
            spec = problem.network_spec(settings.network)
            self.spec = NetworkSpec.from_json(spec.to_json())  # which checks it
        self.frozen: list[Weights] = []
        self.iteration = 0  # of the stage: batches that all ranks have taken
        self.seconds_before = 0.0
        self.started = time.monotonic()
        generator = torch.Generator().manual_seed(settings.seed)
        self.network = TorchNetwork(self.spec, generator)
        with using("sampling"):
            self.task = problem.weights_task(settings.sampling)
        self.earlier = self._earlier_weights()
        if self.earlier is not None:
            start_from(self.network, self.earlier.stages[0], self.earlier.spec)
        self.network.to(device)
        self.loss = problem.make_loss(self.spec, settings.network, generator)
        # A loss may have weights of its own, for an auxiliary task; they learn along and are not kept.
        self.trained = nn.ModuleList([self.network, *([self.loss.to(device)] if isinstance(self.loss, nn.Module) else [])])
        self.optimizer = self._new_optimizer()

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def restore(self, checkpoint: Checkpoint) -> None:
        """Raises ConfigError if the checkpoint is of another network."""
        self.frozen, self.iteration = checkpoint.frozen, checkpoint.iteration
        try:
            self.trained.load_state_dict(checkpoint.network)
            self.optimizer.load_state_dict(checkpoint.optimizer)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(f"the checkpoint in {self.out} does not fit the network; start anew elsewhere") from error
        self.seconds_before = checkpoint.seconds

    def save(self) -> None:
        save_checkpoint(
            self.out,
            Checkpoint(
                self.settings,
                self.frozen,
                self.iteration,
                self.trained.state_dict(),
                self.optimizer.state_dict(),
                self.seconds,
            ),
        )

    def train(self) -> Path:
        cores = (os.cpu_count() or 1) // self.ranks.on_machine
        with Workers(self.settings.workers or max(1, cores), self.out) as workers:
            return self._train_stages(workers)

    def _train_stages(self, workers: Workers) -> Path:
        validation = self._validation_samples()
        while len(self.frozen) < len(self.settings.iterations):
            self._train_stage(workers, validation)
            if self.is_stopping:
                self.save()
                logger.info("stopped; continue with --resume")
                raise KeyboardInterrupt
            self.frozen.append(self.network.to_numpy_weights())
            self._begin_next_stage()
            self.save()
            self._export()
            draw_curve(self.out / LOG, self.out / CURVE)
        return self._export()

    def _earlier_weights(self) -> _Earlier | None:
        """The weights that the settings say to start from."""
        init = self.settings.init
        if not init:
            return None
        path = self.problem.shipped_weights(self.task) if init == "shipped" else init
        if path is None:
            raise ConfigError(f"no weights ship for {self.task}; give a file as init, or leave it out")
        stages, info = load_weights(path, self.task, self.problem.input_layout)
        return _Earlier(stages, info.spec)

    def _begin_next_stage(self) -> None:
        stage, earlier = len(self.frozen), self.earlier
        if earlier is not None and earlier.spec == self.spec and stage < len(earlier.stages):
            self.network.load_numpy_weights(earlier.stages[stage])
        self.iteration = 0
        self.optimizer = self._new_optimizer()

    def _train_stage(self, workers: Workers, validation: Samples) -> None:
        settings, stage = self.settings, len(self.frozen)
        source = StageSource(self.problem, settings, self.spec, self.data, self.frozen)
        if settings.cache:
            source = replace(source, cache_name=cache_name_of(source))
        num_iterations = settings.iterations[stage]
        losses: list[float] = []
        num_samples, last_log, last_save = 0, time.monotonic(), time.monotonic()
        count = self.ranks.count
        batches = (first + self.ranks.rank for first in range(self.iteration, num_iterations, count))
        for examples in workers.stream(source, batches):
            losses.append(self._gradient_step(examples))
            num_samples += count * len(examples.features.vector)
            self.iteration = min(self.iteration + count, num_iterations)
            if self.watch.on_iteration is not None:
                self.watch.on_iteration(f"stage {stage + 1}/{len(settings.iterations)}", self.iteration, num_iterations)
            now = time.monotonic()
            if now - last_log > LOG_SECONDS or self.iteration == num_iterations:
                speeds = num_samples / (now - last_log), count * len(losses) / (now - last_log)
                self._log_progress(float(np.mean(losses)), *speeds)
                losses, num_samples, last_log = [], 0, now
            if now - last_save > CHECKPOINT_SECONDS:
                self.save()
                last_save = now
            if self.iteration % settings.validate_every < count or self.iteration == num_iterations:
                self._validate(validation)
            if self.is_stopping:  # only here are network, optimiser and counter of the same iteration
                return

    def _gradient_step(self, examples: Examples) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        loss = self.loss_of(examples)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.is_stopping = self.ranks.average_gradients_inplace(self.trained.parameters(), self.interrupts.is_asked)
        nn.utils.clip_grad_norm_(self.trained.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        return float(loss.detach())

    def loss_of(self, examples: Examples) -> torch.Tensor:
        """Scalar loss of the network under way."""
        image, vector = to_tensors(examples.features, self.device)
        inputs = {name: torch.from_numpy(array).to(self.device) for name, array in examples.loss_inputs.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_half_precision):
            return self.loss(self.network, image, vector, inputs)

    def _learning_rate(self) -> float:
        stage = len(self.frozen)
        base = self.settings.learning_rate if stage == 0 else self.settings.later_learning_rate
        progress = self.iteration / self.settings.iterations[stage]
        warmup = min(1.0, (self.iteration + 1) / WARMUP_ITERATIONS)
        return base * warmup * 0.5 * (1 + math.cos(math.pi * progress))

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.trained.parameters(), self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )

    def _validation_samples(self) -> Samples:
        with using("sampling"):
            sampler = StageSource(self.problem, self.settings, self.spec, self.data, []).sampler("val")
            return sampler.draw(np.random.default_rng(VALIDATION_SEED), self.settings.validation_samples)

    def _validate(self, samples: Samples) -> None:
        """Logs mean and median errors after the stages so far, the one under way included."""
        if not self.ranks.is_first:
            return
        stages = [*self.frozen, self.network.to_numpy_weights()]
        x = StageSource(self.problem, self.settings, self.spec, self.data, stages).roll_forward(samples)[-1].x
        errors = self.problem.measure(samples.problem, x, samples.x_true, np.arange(len(x)))
        summary = {name: [round(float(np.mean(e)), 5), round(float(np.median(e)), 5)] for name, e in errors.items()}
        self._log({"validation": summary})

    def _log_progress(self, loss: float, samples_per_second: float, iterations_per_second: float) -> None:
        remaining = sum(self.settings.iterations[len(self.frozen) :]) - self.iteration
        self._log(
            {
                "loss": round(loss, 5),
                "samples_per_second": round(samples_per_second),
                "minutes_left": round(remaining / iterations_per_second / 60, 1),
            }
        )

    def _log(self, values: dict[str, object]) -> None:
        stage = len(self.frozen)
        line = {"stage": stage, "iteration": self.iteration, "seconds": round(self.seconds), **values}
        for write in self.writers:
            write(line)
        words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
        progress = f"{self.iteration}/{self.settings.iterations[stage]}"
        if self.ranks.is_first:
            logger.info("stage %d/%d, iteration %s: %s", stage + 1, len(self.settings.iterations), progress, words)

    def _export(self) -> Path:
        settings = self.settings
        path = weights_path(settings, self.out)
        origin = (settings.data, settings.licence, settings.commit)
        info = WeightsInfo(settings.problem, self.task, self.spec, self.problem.input_layout, *origin)
        save_weights(path, self.frozen, info)
        return path


def _append_to(path: Path, line: dict[str, Any]) -> None:
    append_line(path, json.dumps(line))


class _Interrupts:
    """While active, the first Ctrl-C or SIGTERM is only noted, so that the run ends between two iterations.

    The second ends it at once, without a checkpoint.
    """

    def __init__(self) -> None:
        self.is_asked = False

    def __enter__(self) -> Self:
        numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            if handler is not None:  # None stands for one that Python did not set and cannot put back
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            raise KeyboardInterrupt
        self.is_asked = True
        logger.info("stopping after this iteration; press Ctrl-C again to stop at once")
