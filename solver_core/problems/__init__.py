"""The problems that ship.  A problem is one folder with the same files as the others and one line here.

problem.py    the forward process, the energy and the space (LearnedProblem)
features.py   what the network sees: INPUT_LAYOUT, network_spec()
sampler.py    make_sampler(data, split, settings) -> Sampler, for training and validation; weights_task(settings) where the
              settings decide what the networks are for
metrics.py    measure(problem, x, x_true, rows) -> {name with unit: (B,) errors}; loss_inputs(same) for the loss
loss.py       loss(network, image, vector, inputs) -> scalar tensor  [torch]
refine.py     the classical solver for the last bit
setup.py      what the user hands in, checked
solve.py      the options, the public function, and the Session with its phases
verdict.py    how far an answer can be trusted
command.py    `solver_core solve <problem>`: its options, files and pictures; a problem with a way of its own to make
              recipes adds to `solver_core train <problem>` by add_train_arguments() and prepare_training()
evaluate.py   `solver_core evaluate <problem>`: DATA, OPTIONS, cases(folder, options), each of which measures its solve
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from solver_core.errors import ConfigError

PROBLEMS = {
    "pose": "solver_core.problems.pose",
    "lighting": "solver_core.problems.lighting",
    "inverse_kinematics": "solver_core.problems.inverse_kinematics",
}
ALIASES = {"inverse_kinematics": ["ik"]}  # shorter names on the command line


def problem_module(problem: str, part: str) -> ModuleType:
    """Module `part` (e.g. "sampler") of a problem.  Raises ConfigError for an unknown problem."""
    if problem not in PROBLEMS:
        raise ConfigError(f"unknown problem {problem!r}; known: {', '.join(PROBLEMS)}")
    return importlib.import_module(f"{PROBLEMS[problem]}.{part}")


def weights_task(problem: str, sampling: dict[str, Any]) -> str:
    """What networks that are trained on such samples are for: the problem, or which part of it; see WeightsInfo."""
    sampler = problem_module(problem, "sampler")
    return sampler.weights_task(sampling) if hasattr(sampler, "weights_task") else problem
