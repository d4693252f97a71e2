# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface in other languages: a file languages/<code>.json for each, from English to that language.

What solver_core says of a result, and why a button is grey, is English in all of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import bpy

LANGUAGES = Path(__file__).with_name("languages")
CONTEXTS = ("*", "Operator")  # Blender asks for labels of operators in the second one
REGIONS = {"de": ("de_DE", "de")}  # the codes that Blender has had for a language, where they are not ours


def translated() -> dict[str, dict[tuple[str, str], str]]:
    """By Blender's code of a language: English with its context -> the translation."""
    tables = {}
    for path in sorted(LANGUAGES.glob("*.json")):
        words = json.loads(path.read_text(encoding="utf-8"))
        table = {(context, english): other for english, other in words.items() for context in CONTEXTS}
        tables |= dict.fromkeys(REGIONS.get(path.stem, (path.stem,)), table)
    return tables


def in_language(text: str) -> str:
    """A text of the interface in the user's language; Blender does so by itself but for texts that are put together."""
    return bpy.app.translations.pgettext_iface(text)


def register() -> None:
    bpy.app.translations.register(__package__, translated())


def unregister() -> None:
    bpy.app.translations.unregister(__package__)
