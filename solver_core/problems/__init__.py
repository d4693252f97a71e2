# SPDX-License-Identifier: Apache-2.0
"""The registry of problems: those that ship, and those of installed packages.

A problem that ships is one folder with the same files as the others and one line here; a package elsewhere brings such a
folder, or one object of the form ProblemKind, as an entry point of the group `solver_core.problems`.

problem.py      the forward process, the energy and the space (LearnedProblem)
observation.py  what is observed, as the forward process predicts it
features.py     what the network sees: INPUT_LAYOUT, network_spec()
sampler.py      make_sampler(data, split, settings) -> Sampler, for training and validation; weights_task(settings) where the
                settings decide what the networks are for
metrics.py      measure(problem, x, x_true, rows) -> {name with unit: (B,) errors}; loss_inputs(same) for the loss
loss.py         make_loss(spec, settings, generator) -> Loss  [torch]; without it, the mean length of the error is the loss
refine.py       the classical solver for the last bit
setup.py        what the user hands in, checked
solve.py        the options, the public function, and the Session with its phases
verdict.py      how far an answer can be trusted
command.py      `solver_core solve <problem>`: its options, files and pictures; a problem with a way of its own to make
                recipes adds to `solver_core train <problem>` by add_train_arguments() and prepare_training()
drawing.py      its pictures
evaluate.py     `solver_core evaluate <problem>`: DATA, OPTIONS, cases(folder, options), each of which measures its solve

What else a folder holds is that problem's own, because its forward process is: crops and contours of a pose, kinds of light
and the surface they fall on, skeletons and their files.  docs/architecture.md says where each comes in.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from solver_core.errors import ConfigError, plain_line, shown
from solver_core.network.spec import NetworkSpec
from solver_core.network.weights import shipped_weights
from solver_core.problem import Sampler
from solver_core.problem_kind import Instance, ProblemKind
from solver_core.recipes import read_recipe, shipped_recipe

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "solver_core.problems"  # of the entry points
PROBLEMS = {
    "pose": "solver_core.problems.pose",
    "lighting": "solver_core.problems.lighting",
    "inverse_kinematics": "solver_core.problems.inverse_kinematics",
}
ALIASES = {"inverse_kinematics": ["ik"]}  # shorter names on the command line


def problem_names() -> list[str]:
    """Names of all problems: those that ship, then those of installed packages in order of the alphabet."""
    return [*PROBLEMS, *sorted(_installed())]


def find_problem(problem: str | ProblemKind) -> ProblemKind:
    """The problem of a name; a problem itself is given back.

    Raises ConfigError for an unknown name, or if the package that registers it cannot be loaded or lacks something.
    """
    if not isinstance(problem, str):
        return _checked(problem, getattr(problem, "name", "of this object"))
    if problem in PROBLEMS:
        return Folder(problem, PROBLEMS[problem])
    if problem not in _installed():
        raise ConfigError(f"unknown problem {shown(problem)}; known: {', '.join(problem_names())}")
    return _load(problem)


def own_part(problem: ProblemKind, part: str) -> ModuleType | None:
    """Module `part` of a problem that is a folder, if it has one."""
    return problem.part(part) if isinstance(problem, Folder) and problem.has_part(part) else None


@dataclass(frozen=True)
class Folder(ProblemKind):
    """A problem whose parts are the modules of a folder, as listed above, or one module with all that they hold."""

    name: str
    package: str

    @property
    def input_layout(self) -> str:
        return self.part("features").INPUT_LAYOUT

    def make_sampler(self, data: Path, split: str, settings: dict[str, Any]) -> Sampler:
        return self.part("sampler").make_sampler(data, split, settings)

    def network_spec(self, settings: dict[str, Any]) -> NetworkSpec:
        return self.part("features").network_spec(settings)

    def measure(self, problem: Any, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        return self.part("metrics").measure(problem, x, x_true, rows)

    def instance(self, observation: Any) -> Instance:
        return self._own("setup", "instance", super().instance)(observation)

    def weights_task(self, settings: dict[str, Any]) -> str:
        return self._own("sampler", "weights_task", super().weights_task)(settings)

    def shipped_weights(self, task: str) -> Path | None:
        path = shipped_weights(task) if self.name in PROBLEMS else self._folder / "weights" / f"{task}.safetensors"
        return path if path.exists() else None

    def loss_inputs(self, problem: Any, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        return self._own("metrics", "loss_inputs", super().loss_inputs)(problem, x, x_true, rows)

    def make_loss(self, spec: NetworkSpec, settings: dict[str, Any], generator: Any) -> Any:
        return self._own("loss", "make_loss", super().make_loss)(spec, settings, generator)

    def recipe(self) -> dict[str, Any]:
        if self.name in PROBLEMS:
            return read_recipe(shipped_recipe(self.weights_task({})))
        path = self._folder / "recipe.toml"
        return read_recipe(path) if path.exists() else super().recipe()

    def has_part(self, part: str) -> bool:
        """Whether the folder has such a file."""
        module = importlib.import_module(self.package)
        return hasattr(module, "__path__") and importlib.util.find_spec(f"{self.package}.{part}") is not None

    def part(self, part: str) -> ModuleType:
        """The module of a part, or that which holds everything."""
        return importlib.import_module(f"{self.package}.{part}" if self.has_part(part) else self.package)

    @property
    def _folder(self) -> Path:
        return Path(importlib.import_module(self.package).__file__ or "").parent

    def _own(self, part: str, function: str, usual: Callable[..., Any]) -> Callable[..., Any]:
        """A function of a part, or what is usual where it has none."""
        return getattr(self.part(part), function, usual)


@cache
def _installed() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # late, as it takes longer than most imports and few need it

    return {point.name: point for point in entry_points(group=GROUP) if point.name not in PROBLEMS}


@cache
def _load(name: str) -> ProblemKind:
    point = _installed()[name]
    try:
        loaded = point.load()
    except Exception as error:  # another's code, which may raise anything
        raise ConfigError(f"the problem {name!r} of {point.value} cannot be loaded: {plain_line(str(error))}") from error
    return Folder(name, loaded.__name__) if isinstance(loaded, ModuleType) else _checked(loaded, name)


def _checked(problem: Any, name: str) -> ProblemKind:
    needed = [attribute for attribute in dir(ProblemKind) if not attribute.startswith("_")]
    missing = [attribute for attribute in ("name", *needed) if not hasattr(problem, attribute)]
    if missing:
        raise ConfigError(
            f"the problem {name} lacks {', '.join(missing)}; derive its class from solver_core.problem_kind.ProblemKind"
        )
    return problem
