# SPDX-License-Identifier: Apache-2.0
"""Training from Python: what `solver_core train` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from solver_core.checks import checked_path
from solver_core.config import TrainSettings, train_settings, with_changes
from solver_core.errors import ConfigError, shown
from solver_core.optional import needed_for
from solver_core.problem_kind import ProblemKind
from solver_core.problems import find_problem
from solver_core.recipes import read_recipe, shipped_recipes


def train(
    problem: str | ProblemKind,
    data: str | Path = ".",
    out: str | Path | None = None,
    *,
    recipe: str | Path | None = None,
    changes: Sequence[str] = (),
    device: str = "cpu",
    resume: bool = False,
    on_log: Callable[[dict[str, Any]], None] | None = None,
    on_iteration: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Trains the networks of a problem, stage by stage.  Needs the extra solver_core[train].

    Worker processes make the samples and start as the main program did, so call it under `if __name__ == "__main__":`.

    Args:
        problem: a name of the registry, or a problem itself, such as inverse_problem gives.
        data: the folder to train on; problems that make their samples from nothing need none.
        out: folder of weights, log, curve and checkpoint; None = runs/<name of the problem>.
        recipe: a TOML file, or the name of a recipe that ships; None = the problem's own.
        changes: KEY=VALUE each, of the recipe: "iterations=[300, 200]", "sampling.up=y", "init=shipped".
        device: where torch computes, such as "cuda".
        resume: go on from the checkpoint in `out`.
        on_log: called with each line of the log; see trainer.Watch.
        on_iteration: called with a stage's name, and iterations done and to do.

    Returns:
        The weights file.

    Raises:
        ConfigError: the recipe, the data, the device or the checkpoint cannot be used.
        MissingDependency: torch is not installed.
    """
    with needed_for("training", extra="train"):
        from solver_core.training.trainer import Watch, train_problem
    kind = find_problem(problem)
    folder = Path("runs", kind.name) if out is None else checked_path(out, "out", ConfigError)
    if not isinstance(changes, list | tuple) or not all(isinstance(change, str) for change in changes):
        raise ConfigError(f"changes must be a list of KEY=VALUE, got {shown(changes)}")
    settings = read_settings(kind, recipe, changes)
    return train_problem(
        kind, settings, checked_path(data, "data", ConfigError), folder, device, resume, Watch(on_log, on_iteration)
    )


def read_settings(problem: ProblemKind, recipe: str | Path | None, changes: Sequence[str]) -> TrainSettings:
    """Settings of a problem's recipe, by file, by name or, with None, its own; see `train`.  Raises ConfigError."""
    if recipe is None:
        content, source = problem.recipe(), f"the recipe of {problem.name}"
    else:
        path = shipped_recipes().get(str(recipe)) or checked_path(recipe, "recipe", ConfigError)
        content, source = read_recipe(path), str(path)
    settings = train_settings(with_changes(content, changes), source)
    if settings.problem != problem.name:
        raise ConfigError(f"{source} is a recipe for {settings.problem}, not for {problem.name}")
    return settings
