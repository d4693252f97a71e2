# SPDX-License-Identifier: Apache-2.0
"""What helps: the manual, versions for a report, menus."""

import re
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest

import build_extension
import solver_core
from addon import menus, panels, results
from addon.operators import help as help_operators
from tests.blender.fake_layout import FakeLayout
from tests.blender.fake_solve import FakeSolve, some_result


@pytest.fixture
def manual(tmp_path, monkeypatch):
    """The manual as the extension has it."""
    build_extension.write_manual(tmp_path / "manual")
    monkeypatch.setattr(help_operators, "MANUAL", tmp_path / "manual" / "index.html")
    return help_operators.MANUAL


@pytest.mark.parametrize("problem", ["pose", "lighting", "armature"])
def test_help_button_of_a_panel_opens_its_page(registered, manual, monkeypatch, problem):
    layout, opened = FakeLayout(), []
    panel = getattr(panels, f"DEEP_FEEDBACK_PT_{problem}")
    panel.draw_header_preset(SimpleNamespace(layout=layout, problem=panel.problem), bpy.context)
    monkeypatch.setattr(help_operators.webbrowser, "open", opened.append)

    bpy.ops.deep_feedback.open_manual(problem=problem)

    assert layout.drawn == [("operator", "deep_feedback.open_manual")]
    address, _, section = opened[0].partition("#")
    assert address == manual.as_uri()
    assert f'id="{section}">' in manual.read_text(encoding="utf-8")


def test_manual_says_where_it_is_when_it_does_not_travel_along(registered, monkeypatch):
    monkeypatch.setattr(help_operators, "MANUAL", Path("nowhere"))

    with pytest.raises(RuntimeError, match=r"read docs/user-guide\.md"):
        bpy.ops.deep_feedback.open_manual()


def test_manual_shows_the_still_pictures_of_the_guide(manual):
    page = manual.read_text(encoding="utf-8")
    pictures = re.findall(r'src="([^"]+)"', page)

    assert pictures
    assert all((manual.parent / picture).is_file() for picture in pictures)
    assert ".gif" not in page


def test_versions_for_a_report_say_what_takes_part(registered):
    result = some_result(FakeSolve("Thing"))
    results.keep(result)
    results.conclude(result, FakeSolve("Thing").report())

    text = help_operators.versions(bpy.context)

    assert solver_core.__version__ in text
    assert bpy.app.version_string in text
    assert "Solve Pose: good. It fits." in text


@pytest.mark.parametrize("place", ["object", "pose"])
def test_menus_offer_the_buttons(registered, place):
    layout = FakeLayout()
    getattr(menus, f"_draw_in_{place}")(SimpleNamespace(layout=layout), bpy.context)
    menu = getattr(menus, f"DEEP_FEEDBACK_MT_{place}")
    menu.draw(SimpleNamespace(layout=layout), bpy.context)

    assert ("operator", "deep_feedback.solve_armature") in layout.drawn
