# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of solver_core as Blender's properties and rows of a panel; see solver_core/options.py."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

import bpy

from solver_core.options import Option, Options, options_of

OptionsT = TypeVar("OptionsT", bound=Options)
# Blender 4.5 and later ask which properties understand a path that begins with //, beside the scene.
RELATIVE_PATHS = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
ARGUMENTS = re.compile(r" \((\w+=[^()]*)\)")  # of Python, as sentences of solver_core name them
UNSET = "use_"  # begins the name of the switch of an option that may be left to the solve


def mixin(*classes: type[Options]) -> type:
    """A base for property groups and operators, with a property for each option of the classes.

    An option that may be None has a switch before it: off leaves it to the solve.
    """
    annotations = {name: kept for cls in classes for one in options_of(cls) for name, kept in _properties(one)}
    return type("Properties", (), {"__annotations__": annotations})


def read(cls: type[OptionsT], owner: Any, **others: Any) -> OptionsT:
    """The options as a property group or an operator has them; others: fields of the class that are no options."""
    values = {one.name: _value(one, owner) for one in options_of(cls) if not _is_unset(one, owner)}
    return cls(**values, **others)


def draw(layout: bpy.types.UILayout, owner: Any, cls: type[Options], elsewhere: Collection[str] = ()) -> None:
    """A row for each option but those that stand elsewhere."""
    for one in (one for one in options_of(cls) if one.name not in elsewhere):
        if one.may_be_none:
            row = layout.row(heading=one.words.label)
            row.prop(owner, UNSET + one.name, text="")
            field = row.row()
            field.active = getattr(owner, UNSET + one.name)
            field.prop(owner, one.name, text="")
        else:
            layout.row().prop(owner, one.name, expand=len(one.words.choices) == 2)


def as_in_panel(sentence: str, cls: type[Options]) -> str:
    """A sentence of solver_core with options, such as (lamps=2), as the panel names them; those that it lacks are left out."""
    labels = {one.name: one.words.label for one in options_of(cls)}

    def named(match: re.Match[str]) -> str:
        parts = (part.partition("=") for part in match[1].split(", "))
        said = [
            labels[name] + ("" if value == "True" else f": {value.capitalize()}") for name, _, value in parts if name in labels
        ]
        return f" ({', '.join(said)})" if said else ""

    return ARGUMENTS.sub(named, sentence)


def _is_unset(one: Option, owner: Any) -> bool:
    return one.may_be_none and not getattr(owner, UNSET + one.name)


def _value(one: Option, owner: Any) -> Any:
    value = getattr(owner, one.name)
    return bpy.path.abspath(value) if one.kind is Path else value


def _properties(one: Option) -> Iterator[tuple[str, Any]]:
    words = one.words
    if one.may_be_none:
        sentence = f"Sets {words.label.lower()}; off: {words.unset}"
        yield UNSET + one.name, bpy.props.BoolProperty(name=words.label, description=sentence, default=one.default is not None)
    help_text = words.help + (f", in {words.unit}" if words.unit else "")
    said = {"name": words.label, "description": help_text}
    if one.default is not None:
        said["default"] = one.default
    if words.choices:
        items = [(value, value.capitalize(), sentence) for value, sentence in words.choices.items()]
        yield one.name, bpy.props.EnumProperty(items=items, **said)
    elif one.kind is bool:
        yield one.name, bpy.props.BoolProperty(**said)
    elif one.kind is Path:
        yield one.name, bpy.props.StringProperty(**said, subtype="FILE_PATH", options=RELATIVE_PATHS)
    elif one.kind is str:
        yield one.name, bpy.props.StringProperty(**said)
    else:
        limits = {"min": words.minimum, "max": words.maximum}
        limits = {key: one.kind(value) for key, value in limits.items() if value is not None}
        is_factor = one.kind is float and limits == {"min": 0, "max": 1}
        make = bpy.props.FloatProperty if one.kind is float else bpy.props.IntProperty
        yield one.name, make(**said, **limits, **({"subtype": "FACTOR"} if is_factor else {}))
