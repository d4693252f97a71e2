# SPDX-License-Identifier: Apache-2.0
"""Options of the problems: default, range, unit and words of each, said once.

    @dataclass(frozen=True)
    class PoseOptions(Options):
        steps: int = option(5, "Steps", "Number of learned steps", minimum=0, maximum=50)

Keyword arguments, flags of the command line, Blender's properties, the schema of job files and the tables in docs/ follow
from the fields: an option is added here and used in the solve, and nowhere else.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from solver_core.errors import ConfigError, shown

Result = TypeVar("Result")
KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool, np.bool_), "True or False"),
    int: ((int, np.integer), "a whole number"),
    float: ((int, float, np.integer, np.floating), "a number"),
    str: ((str,), "a text"),
    Path: ((str, Path), "a file"),
}


class Words(NamedTuple):
    """What people read of an option, and what it may be.

    label: its name in a panel.  help: one sentence, without unit and default.  minimum, maximum: inclusive.
    unit: such as "m" or "frames".  choices: the texts it may be, each with a sentence.  unset: what None means, for an
    option that may be None.  named: words that stand for values of a number.
    """

    label: str
    help: str
    minimum: float | None
    maximum: float | None
    unit: str
    choices: Mapping[str, str]
    unset: str
    named: Mapping[str, float | None]


def option(
    default: Any,
    label: str,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str = "",
    choices: Mapping[str, str] | None = None,
    unset: str = "",
    named: Mapping[str, float | None] | None = None,
) -> Any:
    """A field of an Options class.

    Args:
        default: its value where the user says nothing; None where a solve finds it.
        label: its name for people.
        help: one sentence on its effect, without unit, default and full stop.
        minimum: least number, None = any.
        maximum: greatest number, None = any.
        unit: of the number.
        choices: the words it may be, each with a sentence.
        unset: what None means, in words.
        named: words that stand for a value on the command line and in jobs.
    """
    return field(
        default=default, metadata={"words": Words(label, help, minimum, maximum, unit, choices or {}, unset, named or {})}
    )


class Option(NamedTuple):
    """A field of an Options class as it was declared.  kind: bool, int, float, str or Path."""

    name: str
    kind: type
    default: Any
    may_be_none: bool
    words: Words

    @property
    def range(self) -> str:
        """The range or the choices in words, such as "from 0 to 50"; empty if anything goes."""
        low, high = self.words.minimum, self.words.maximum
        if self.words.choices:
            return "one of " + ", ".join(self.words.choices)
        if low is not None and high is not None:
            return f"from {low:g} to {high:g}"
        return f"at least {low:g}" if low is not None else f"at most {high:g}" if high is not None else ""

    @property
    def needed(self) -> str:
        """What a value must be, such as "a whole number from 0 to 50"."""
        return self.range if self.words.choices else f"{KINDS[self.kind][1]} {self.range}".rstrip()

    @property
    def sentence(self) -> str:
        """Help, unit and default in one line."""
        default = "on" if self.default is True else "off" if self.default is False else self.default
        default = self.words.unset if default is None else default
        unit = f", in {self.words.unit}" if self.words.unit else ""
        return f"{self.words.help}{unit} (default: {default})"

    def checked(self, value: Any) -> Any:
        """The value as a plain Python object.  Raises ConfigError with one sentence."""
        if isinstance(value, str) and value in self.words.named:
            value = self.words.named[value]
        if value is None and self.may_be_none:
            return None
        accepted, _ = KINDS[self.kind]
        is_bool = isinstance(value, (bool, np.bool_))
        is_kind = isinstance(value, accepted) and not isinstance(value, np.timedelta64)  # which NumPy counts among the integers
        try:
            if is_kind and is_bool == (self.kind is bool) and self._is_within(value):
                return self.kind(value)
        except OverflowError as error:
            raise ConfigError(f"{self.name} must be {self.needed}, got a number that is too large") from error
        raise ConfigError(f"{self.name} must be {self.needed}, got {shown(value)}")

    def _is_within(self, value: Any) -> bool:
        if self.words.choices:
            return value in self.words.choices
        if self.kind not in (int, float):
            return True
        low, high = self.words.minimum, self.words.maximum
        return math.isfinite(value) and (low is None or value >= low) and (high is None or value <= high)


@dataclass(frozen=True)
class Options:
    """Base of the options of a problem.  Raises ConfigError for a value out of its range or of the wrong type."""

    def __post_init__(self) -> None:
        for one in options_of(type(self)):
            object.__setattr__(self, one.name, one.checked(getattr(self, one.name)))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Options by name, the others at their defaults.  Raises ConfigError for names that are not known."""
        known = [one.name for one in options_of(cls)]
        unknown = [name for name in values if name not in known]
        if unknown:
            raise ConfigError(f"unknown option {unknown[0]!r}; known: {', '.join(known)}")
        return cls(**values)


def options_of(cls: type[Options]) -> Iterator[Option]:
    """The options that a class declares, in order; its other fields are none."""
    hints = _hints(cls)
    for one in (each for each in dataclasses.fields(cls) if "words" in each.metadata):
        kinds = [kind for kind in typing.get_args(hints[one.name]) or (hints[one.name],) if kind is not types.NoneType]
        may_be_none = types.NoneType in typing.get_args(hints[one.name])
        yield Option(one.name, kinds[0], one.default, may_be_none, one.metadata["words"])


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def keyword_options(cls: type[Options]) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Lets a function that takes `options` be called with the options themselves as keyword arguments.

    The function's signature lists them, and its docstring where it has "{options}".
    """

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        names = [one.name for one in options_of(cls)]

        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            given = {name: keywords.pop(name) for name in names if name in keywords}
            if keywords.get("options") is None:
                keywords["options"] = cls.of(given)
            elif given:
                raise ConfigError(f"give either options or {', '.join(given)}, not both")
            return function(*arguments, **keywords)

        signature = inspect.signature(function)
        keywords = [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.kind)
            for one in options_of(cls)
        ]
        kept = [one.replace(default=None) if one.name == "options" else one for one in signature.parameters.values()]
        call.__signature__ = signature.replace(parameters=[*kept, *keywords])  # type: ignore[attr-defined]
        lines = [f"{one.name}: {one.sentence}" + (f"; {one.range}." if one.range else ".") for one in options_of(cls)]
        call.__doc__ = (function.__doc__ or "").replace("{options}", "\n        ".join(lines))
        return call

    return decorate


def json_schema(cls: type[Options]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the options, as properties by name."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string"}
    properties: dict[str, Any] = {}
    for one in options_of(cls):
        kind: Any = [names[one.kind], "null"] if one.may_be_none else names[one.kind]
        words = one.words
        limits = {"minimum": words.minimum, "maximum": words.maximum, "enum": list(words.choices) or None}
        limits = {key: value for key, value in limits.items() if value is not None}
        properties[one.name] = {"type": kind, "description": one.sentence, "default": one.default, **limits}
    return properties


def markdown_table(cls: type[Options]) -> str:
    """A table of the options for the documentation."""
    rows = [f"| `{one.name}` | {one.sentence} | {one.range} |" for one in options_of(cls)]
    return "\n".join(["| option | meaning | range |", "|---|---|---|", *rows]) + "\n"
