# SPDX-License-Identifier: GPL-3.0-or-later
"""Dataclasses from JSON: what a job file may say follows from the fields of the tasks, as does its JSON Schema.

The options of a problem (solver_core/options.py) stand among the keys of their task.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from pathlib import Path
from typing import Any

from solver_core.errors import ConfigError
from solver_core.options import Option, Options, json_schema, options_of

OPTIONS = "options"  # the field of a task whose keys stand among those of the task
FILE = "file"  # the field of a path, which is relative to the job file unless it begins with Blender's //
SCALARS: dict[type, tuple[Any, str, str]] = {
    str: (str, "a text", "string"),
    bool: (bool, "true or false", "boolean"),
    int: (int, "a whole number", "integer"),
    float: ((int, float), "a number", "number"),
}


class Invalid(Exception):
    """What is wrong with a task, and under which key."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(what)
        self.key, self.what = key, what

    def sentence(self, number: int, entry: Any) -> str:
        name = entry.get("name") if isinstance(entry, dict) else None
        task = f"Task {number} ('{name}')" if isinstance(name, str) else f"Task {number}"
        end = "" if self.what.endswith("?") else "."
        return f"{task}, key '{self.key}': {self.what}{end}" if self.key else f"{task}: {self.what}{end}"


def read_record(kind: type, content: Any, where: str, folder: Path) -> Any:
    """A dataclass from its JSON object; where: its key.  Raises Invalid."""
    if not isinstance(content, dict):
        raise Invalid(where, f"it must be an object {{...}}, not {json.dumps(content)}")
    prefix, fields, options = f"{where}." if where else "", _fields(kind), _options(kind)
    for key in content:
        if key not in fields and key not in options:
            nearest = difflib.get_close_matches(key[:100], [*fields, *options], n=1, cutoff=0)[0]
            raise Invalid(prefix + key, f"it is not known; did you mean '{nearest}'?")
    values = {name: _read_option(options[name], content[name], prefix, folder) for name in options if name in content}
    values = (
        values if issubclass(kind, Options) else {OPTIONS: typing.get_type_hints(kind)[OPTIONS](**values)} if options else {}
    )
    for name, one in fields.items():
        if name in content:
            values[name] = read_value(typing.get_type_hints(kind)[name], content[name], prefix + name, folder)
        elif _is_needed(one):
            raise Invalid(prefix + name, "it is missing")
    return kind(**values)


def read_value(hint: Any, value: Any, where: str, folder: Path = Path()) -> Any:
    """A value of a type hint from JSON; where: its key.  Raises Invalid."""
    arguments, origin = typing.get_args(hint), typing.get_origin(hint)
    if origin is types.UnionType:
        return None if value is None else read_value(arguments[0], value, where, folder)
    if dataclasses.is_dataclass(hint):
        return read_record(hint, value, where, folder)
    if origin is typing.Literal:
        if value not in arguments:
            raise Invalid(where, f"it must be one of {', '.join(arguments)}, not {json.dumps(value)}")
        return value
    if origin is tuple:
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... and isinstance(value, list) else list(arguments)
        if not isinstance(value, list) or len(value) != len(kinds):
            raise Invalid(where, f"it must be a list [...], not {json.dumps(value)}")
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(read_value(kind, one, f"{where}.{index}", folder) for index, (kind, one) in pairs)
    if origin is dict:
        if not isinstance(value, dict):
            raise Invalid(where, f"it must be an object {{...}}, not {json.dumps(value)}")
        return {name: read_value(arguments[1], one, f"{where}.{name}", folder) for name, one in value.items()}
    allowed, words, _ = SCALARS[hint]
    if not isinstance(value, allowed) or (isinstance(value, bool) and hint is not bool):
        raise Invalid(where, f"it must be {words}, not {json.dumps(value)}")
    if where.rpartition(".")[2] == FILE and value and not value.startswith("//"):
        return str(folder / value)
    return value


def schema_of(kind: type) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a dataclass."""
    hints, fields = typing.get_type_hints(kind), _fields(kind)
    properties = {name: _schema_of_hint(hints[name]) for name in fields}
    properties |= json_schema(kind if issubclass(kind, Options) else hints[OPTIONS]) if _options(kind) else {}
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": properties,
        "required": [name for name, one in fields.items() if _is_needed(one)],
        "additionalProperties": False,
    }


def _schema_of_hint(hint: Any) -> dict[str, Any]:
    arguments, origin = typing.get_args(hint), typing.get_origin(hint)
    if origin is types.UnionType:
        return {"anyOf": [_schema_of_hint(arguments[0]), {"type": "null"}]}
    if dataclasses.is_dataclass(hint):
        return schema_of(typing.cast(type, hint))
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        if arguments[-1] is ...:
            return {"type": "array", "items": _schema_of_hint(arguments[0])}
        return {"type": "array", "prefixItems": [_schema_of_hint(one) for one in arguments], "items": False}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of_hint(arguments[1])}
    return {"type": SCALARS[hint][2]}


def _fields(kind: type) -> dict[str, dataclasses.Field]:
    """The fields of a dataclass that are no options."""
    options = _options(kind)
    return {one.name: one for one in dataclasses.fields(kind) if one.name != OPTIONS and one.name not in options}


def _options(kind: type) -> dict[str, Option]:
    """The options whose keys stand in the object of a dataclass: its own, or those of its field for them."""
    holder = kind if issubclass(kind, Options) else typing.get_type_hints(kind).get(OPTIONS)
    return {} if holder is None else {one.name: one for one in options_of(holder)}


def _read_option(one: Option, value: Any, prefix: str, folder: Path) -> Any:
    try:
        checked = one.checked(value)
        return folder / checked if isinstance(checked, Path) else checked
    except ConfigError as error:
        needed = one.needed.lower() if one.kind is bool else one.needed  # true and false, as JSON has them
        raise Invalid(prefix + one.name, f"it must be {needed}, not {json.dumps(value)}") from error


def _is_needed(one: dataclasses.Field) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
