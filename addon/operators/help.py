# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual that travels with the extension, and what a report of a bug should say."""

from __future__ import annotations

import platform
import sys
import webbrowser
from pathlib import Path

import bpy
import numpy as np

import solver_core
from solver_core import render

from .. import results
from .result import PROBLEMS

MANUAL = Path(__file__).resolve().parents[1] / "manual" / "index.html"  # build_extension.py makes it of docs/user-guide.md
SECTIONS = {
    "pose": "an-object-in-a-photograph-solve-pose",
    "lighting": "the-light-of-a-picture-solve-lighting",
    "armature": "a-figure-from-points-solve-armature",
}


def versions(context: bpy.types.Context) -> str:
    """What takes part in a solve here, and how the last results went, as lines of text."""
    lines = [
        f"Deep Feedback Solver {solver_core.__version__}",
        f"Blender {bpy.app.version_string}, {bpy.app.build_hash.decode(errors='replace')}",
        f"{platform.platform()}, {platform.machine()}",
        f"Python {sys.version.split()[0]}, NumPy {np.__version__}",
        f"Kernel {render.kernel_name()}, {render.get_num_threads()} threads",
    ]
    for problem in PROBLEMS:
        report = results.report_of(problem, context.scene)
        if report is not None:
            lines.append(f"Solve {problem.capitalize()}: {report['verdict']}. {report['explanation']}")
    return "\n".join(lines)


class DEEP_FEEDBACK_OT_open_manual(bpy.types.Operator):
    bl_idname = "deep_feedback.open_manual"
    bl_label = "Manual"
    bl_description = "Opens the page about this panel in the browser; it is part of the extension and needs no network"

    problem: bpy.props.EnumProperty(
        name="Page",
        description="What the page is about",
        items=[(name, name.capitalize(), f"The page about Solve {name.capitalize()}") for name in PROBLEMS],
        options={"HIDDEN"},
    )

    def execute(self, _: bpy.types.Context) -> set[str]:
        if not MANUAL.is_file():
            self.report({"ERROR"}, "Manual: it is not part of this copy of the extension: read docs/user-guide.md instead.")
            return {"CANCELLED"}
        webbrowser.open(f"{MANUAL.as_uri()}#{SECTIONS[self.problem]}")
        return {"FINISHED"}


class DEEP_FEEDBACK_OT_copy_versions(bpy.types.Operator):
    bl_idname = "deep_feedback.copy_versions"
    bl_label = "Report a Bug"
    bl_description = "Copies the versions of all that takes part in a solve, and the last verdicts, to be pasted into a report"

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.window_manager.clipboard = versions(context)
        self.report({"INFO"}, "The versions are in the clipboard: paste them into the report, and say what you did and saw")
        return {"FINISHED"}


CLASSES = (DEEP_FEEDBACK_OT_open_manual, DEEP_FEEDBACK_OT_copy_versions)
