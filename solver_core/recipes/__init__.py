# SPDX-License-Identifier: Apache-2.0
"""The recipes that ship: how the shipped weights were trained, a TOML file each, called as the weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from solver_core.errors import ConfigError
from solver_core.reading import read_toml

FOLDER = Path(__file__).parent


def shipped_recipes() -> dict[str, Path]:
    """Files by name, in order of the alphabet."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def shipped_recipe(name: str) -> Path:
    """The file of a name.  Raises ConfigError for an unknown one."""
    recipes = shipped_recipes()
    if name not in recipes:
        raise ConfigError(f"unknown recipe {name!r}; known: {', '.join(recipes)}")
    return recipes[name]


def read_recipe(path: Path) -> dict[str, Any]:
    """The tables of a recipe; config.train_settings checks them.  Raises ConfigError."""
    return read_toml(path, "configuration", ConfigError)


def sentence_of(path: Path) -> str:
    """What a recipe is for: the comment that it begins with."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ")
