# SPDX-License-Identifier: Apache-2.0
"""What stands in the registry: all that training, measuring and solving ask of a kind of problem.

problem.py is what the loop asks of a batch of one kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from solver_core.errors import ConfigError
from solver_core.network.spec import NetworkSpec
from solver_core.problem import Arrays, LearnedProblem, Sampler, Update
from solver_core.solution import Judgement, Verdict


class Instance(NamedTuple):
    """A batch of instances to solve: the problem, what was observed and where to start."""

    problem: LearnedProblem
    observation: Arrays
    x0: np.ndarray


class Ends(NamedTuple):
    """Where the starts of an instance led: x (N, ...) and energy (N,)."""

    x: np.ndarray
    energy: np.ndarray


class ProblemKind(Protocol):
    """A kind of problem, under the name that it has in the registry.

    A package derives a class from this one, or has a folder of modules that hold the same, and registers an object of it, or
    the folder, under an entry point of the group `solver_core.problems`; see docs/own-problem.md.  What has a body here may be
    left out.  `solver_core.testing.check_problem` tries all of it.

    name: that of the registry.
    """

    name: str

    @property
    def input_layout(self) -> str:
        """Words that change whenever the features do; weights that were trained for others are refused."""
        ...

    def make_sampler(self, data: Path, split: str, settings: dict[str, Any]) -> Sampler:
        """Sampler over the split "train", "val" or "test" of a folder; settings: the table [sampling] of a recipe."""
        ...

    def network_spec(self, settings: dict[str, Any]) -> NetworkSpec:
        """Layers for these features; settings: the table [network] of a recipe."""
        ...

    def measure(self, problem: Any, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """(B,) errors by name, with their unit."""
        ...

    def instance(self, observation: Any) -> Instance:
        """What is to be solved, from an observation as a file or a caller gives it: an array, or a dict of them."""
        raise ConfigError(f"the problem {self.name} cannot be solved from an observation alone")

    def refinement(self, instance: Instance) -> Update | None:
        """The classical solver for the last bit, if there is one."""
        return None

    def starts(self, rng: np.random.Generator, count: int) -> np.ndarray | None:
        """Other x (B, ...) to start from where the answer is poor, if there are some."""
        return None

    def elsewhere(self, instance: Instance, x: np.ndarray) -> np.ndarray | None:
        """Starts (K, B, ...) far from good answers x (B, ...), to look for others from, if there are some."""
        return None

    def spread(self, instance: Instance, x: np.ndarray) -> np.ndarray | None:
        """(B, D) standard deviation of answers x along each direction of a step, if the problem can tell."""
        return None

    def doubts(self, instance: Instance, x: np.ndarray) -> list[str]:
        """What makes answers x (B, ...) doubtful although they explain the observation, a clause each."""
        return []

    def alternatives(self, instance: Instance, x: np.ndarray, energy: np.ndarray, ends: list[Ends]) -> list[np.ndarray]:
        """Others (K, ...) for each of the answers x (B, ...) of energies (B,), among the ends of all starts of its instance."""
        return [one[:0] for one in x[:, None]]

    def judge(self, energy: np.ndarray, start_energy: np.ndarray) -> Judgement:
        """How far answers of these energies (B,) can be trusted, all of them; here by what is left of those at the start."""
        share = float(np.max(energy / np.maximum(start_energy, np.finfo(float).tiny)))
        verdict = Verdict.GOOD if share <= 0.01 else Verdict.DOUBTFUL if share <= 0.3 else Verdict.BAD
        return Judgement(verdict, f"the answer leaves {share:.2g} of the energy that the start had")

    def weights_task(self, settings: dict[str, Any]) -> str:
        """What networks that are trained on such samples are for: the name, or which part of it; see WeightsInfo."""
        return self.name

    def shipped_weights(self, task: str) -> Path | None:
        """The file of weights that comes with the package for a task, if there is one."""
        return None

    def loss_inputs(self, problem: Any, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What the loss needs beside the features, batch first; here the whole remaining step, as a network says it."""
        step = problem.manifold.difference(x, x_true)
        return {"target": problem.output_from_step(step, x, rows).astype(np.float32)}

    def make_loss(self, spec: NetworkSpec, settings: dict[str, Any], generator: Any) -> Any:
        """A Loss (network/torch_modules.py) for the network; generator: torch's, of first weights that the loss may have."""
        from solver_core.network.torch_modules import error_length

        return error_length

    def recipe(self) -> dict[str, Any]:
        """What `solver_core train` does without --config: the tables of a recipe, as config.py describes them."""
        training = {"problem": self.name, "name": self.name, "iterations": [1500, 800, 600], "validate_every": 300}
        return {"training": training | {"learning_rate": 2e-3, "later_learning_rate": 7e-4, "weight_decay": 1e-5}}
