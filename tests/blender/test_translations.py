# SPDX-License-Identifier: Apache-2.0
"""Every text of the interface has a translation, and no translation is left over."""

import ast
import json
from pathlib import Path

import bpy
import pytest

import addon
from addon import translations

ADDON = Path(addon.__file__).parent
KINDS = (bpy.types.PropertyGroup, bpy.types.Operator, bpy.types.AddonPreferences, bpy.types.Panel, bpy.types.Menu)
TEXT_ARGUMENTS = {"text", "heading", "placeholder"}
TEXT_FUNCTIONS = {"_section", "_draw_value", "_draw_image", "draw_sentence"}  # ours, that show texts
VERDICTS = {"Good", "Doubtful", "Bad"}


def texts_of_classes():
    """Names and tool tips of all that Blender knows of the extension."""
    for cls in (cls for kind in KINDS for cls in kind.__subclasses__()):
        if "DEEP_FEEDBACK" not in cls.__name__ or not cls.is_registered:
            continue
        yield from (getattr(cls, name, "") for name in ("bl_label", "bl_description"))
        rna = cls.bl_rna
        if issubclass(cls, bpy.types.Operator):  # whose own properties are elsewhere
            rna = getattr(bpy.ops.deep_feedback, cls.bl_idname.partition(".")[2]).get_rna_type()
        for prop in rna.properties:
            if prop.is_runtime and not (prop.type in {"POINTER", "COLLECTION"} and "DEEP" in prop.fixed_type.identifier):
                yield from (prop.name, prop.description)
                yield from (text for item in getattr(prop, "enum_items", ()) for text in (item.name, item.description))


def texts_of_code():
    """What the panels and menus show beside."""
    for path in (*ADDON.glob("*.py"), *ADDON.glob("operators/*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
            shown = [keyword.value for keyword in call.keywords if keyword.arg in TEXT_ARGUMENTS]
            shown += call.args if getattr(call.func, "id", "") in TEXT_FUNCTIONS else []
            yield from (
                node.value
                for node in shown
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isupper()
            )


@pytest.mark.parametrize("path", sorted(translations.LANGUAGES.glob("*.json")), ids=lambda path: path.stem)
def test_a_language_says_all_and_nothing_else(registered, path):
    lines = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)
    table = dict(lines)
    texts = {*texts_of_classes(), *texts_of_code(), *VERDICTS} - {"", " ", "pose", "lighting", "armature", "targets"}

    assert sorted(texts - set(table)) == []
    assert sorted(set(table) - texts) == []
    assert all(table.values())
    assert len(table) == len(lines), "a text that is there twice keeps its last translation"


def test_german_is_shown_where_blender_is_german(registered):
    tables = translations.translated()

    assert tables["de_DE"]["Operator", "Solve Pose"] == "Pose lösen"
    assert tables["de"]["*", "Result"] == "Ergebnis"
    assert translations.in_language("Solve Pose") == "Solve Pose"  # of a Blender that is not
