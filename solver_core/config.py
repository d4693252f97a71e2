# SPDX-License-Identifier: Apache-2.0
"""Training settings: read from TOML once, checked, passed down, and saved beside every checkpoint."""

from __future__ import annotations

import copy
import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from solver_core.errors import ConfigError
from solver_core.options import KINDS
from solver_core.reading import read_toml, reading

Settings = TypeVar("Settings")

MAX_ITERATIONS = 1_000_000_000
RANGES = {
    "batch_size": (1, 1_000_000),
    "learning_rate": (0, 100),
    "later_learning_rate": (0, 100),
    "weight_decay": (0, 100),
    "halvings": (0, 100),
    "seed": (0, 2**63 - 1),
    "workers": (0, 1024),
    "cache_gb": (0, 1_000_000),
    "validation_samples": (1, 1_000_000),
    "validate_every": (1, MAX_ITERATIONS),
}


@dataclass(frozen=True)
class TrainSettings:
    """One training run; defaults are those of the pose recipe.

    problem: registry name.  name: of the weights file.  iterations: gradient steps of each stage; its length is the
    number of stages.  learning_rate: at the start of the first stage; it falls to zero along a half cosine in every
    stage.  later_learning_rate: the same for the stages that start from the weights of the one before.
    init: weights to start from instead of random ones, a file or "shipped"; every stage from its own there or, where the
    network differs, the first stage alone.
    bfloat16: multiply in half precision where the processor or GPU can, which is twice as fast; the weights stay float32.
    workers: processes that sample and render; 0 = one a core.  validation_samples: measured after every
    `validate_every` iterations.  data, licence, commit: written into the weights, see WeightsInfo.
    cache: folder in which samples are kept for runs with the same; "" = none.  cache_gb: what all in it may take.
    network, sampling: handed to the problem's network_spec and make_sampler.
    """

    problem: str
    name: str
    iterations: tuple[int, ...]
    batch_size: int = 256
    learning_rate: float = 1e-3
    later_learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    halvings: int = 3
    bfloat16: bool = False
    seed: int = 0
    init: str = ""
    workers: int = 0
    validation_samples: int = 256
    validate_every: int = 1000
    data: str = ""
    licence: str = ""
    commit: str = ""
    cache: str = ""
    cache_gb: float = 10.0
    network: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)


def load_train_settings(path: str | Path) -> TrainSettings:
    """Settings from a TOML file: `[training]` holds the fields above, `[network]` and `[sampling]` the problem's own.

    Raises ConfigError that names the file and the key.
    """
    content = read_toml(path, "configuration", ConfigError)
    with reading(path, "configuration", ConfigError):
        return train_settings(content, str(path))


def with_changes(recipe: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The tables of a recipe with some values changed.

    Args:
        recipe: the tables; it is not changed.
        changes: KEY=VALUE each.  KEY: of [training], or with the name of its table before a dot.  VALUE: as in TOML; a word
            that is none is a text.

    Raises:
        ConfigError: for a change of another form.
    """
    changed = copy.deepcopy(recipe)
    for change in changes:
        key, equals, text = change.partition("=")
        *path, last = key.strip().split(".") if "." in key else ("training", key.strip())
        if not equals or not last or not all(path):
            raise ConfigError(
                f"a change of the recipe must be KEY=VALUE, such as iterations=[300] or sampling.up=y, got {change!r}"
            )
        table = changed
        for name in path:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ConfigError(f"a change of the recipe needs a table, but {name} in {change!r} is a value")
        table[last] = _toml_value(text.strip())
    return changed


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def train_settings(content: dict[str, Any], source: str) -> TrainSettings:
    """Settings from a parsed TOML.  Raises ConfigError naming `source` and the key."""
    unknown = set(content) - {"training", "network", "sampling"}
    if unknown:
        raise ConfigError(f"unknown table {sorted(unknown)[0]!r} in {source}; known: training, network, sampling")
    for table, values in content.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{table} in {source} must be a table, got {values!r}")
    values = dict(content.get("training", {}))
    for key in ("problem", "name", "iterations"):
        if key not in values:
            raise ConfigError(f"{source} must give {key!r} in [training]")
    tables = {table: content[table] for table in ("network", "sampling") if table in content}
    settings = settings_from(TrainSettings, values | tables, f"[training] of {source}")
    for key, (low, high) in RANGES.items():
        if not low <= getattr(settings, key) <= high:
            raise ConfigError(f"{key} in [training] of {source} must be from {low:g} to {high:g}, got {values[key]!r}")
    if not re.fullmatch(r"[\w. -]+", settings.name) or settings.name.startswith("."):
        raise ConfigError(f"name in [training] of {source} must be fit for a file name, got {settings.name!r}")
    if not settings.iterations or not all(0 < number <= MAX_ITERATIONS for number in settings.iterations):
        raise ConfigError(f"iterations in {source} must list a positive number for each stage, got {values['iterations']}")
    return settings


def settings_from(cls: type[Settings], values: dict[str, Any], where: str) -> Settings:
    """A dataclass from a table of a recipe, lists as tuples; what is not given keeps its default.

    Args:
        cls: its fields are bool, int, float, str, a tuple of one of them, or a dict.
        values: the table.
        where: what the table is called in sentences.

    Raises:
        ConfigError: for a key that is no field, a value of another type, or a number that is not finite.
    """
    kinds = get_type_hints(cls)
    for key, value in values.items():
        if key not in kinds:
            raise ConfigError(f"unknown key {key!r} in {where}; known: {', '.join(kinds)}")
        if not _is_of(value, kinds[key]):
            raise ConfigError(f"{key} in {where} must be {_in_words(kinds[key])}, got {value!r}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return isinstance(value, (list, tuple)) and all(_is_of(one, get_args(kind)[0]) for one in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict)
    accepted, _ = KINDS[kind]
    return (
        isinstance(value, accepted)
        and isinstance(value, bool) == (kind is bool)
        and (kind is not float or math.isfinite(value))
    )


def _in_words(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"a list, each {_in_words(get_args(kind)[0])}"
    return "a table" if get_origin(kind) is dict else KINDS[kind][1]


@contextmanager
def using(table: str) -> Iterator[None]:
    """Turns what a problem's own code trips over in a table of a recipe into a ConfigError that names the table."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(f"the table [{table}] of the recipe cannot be used: {error}") from error
