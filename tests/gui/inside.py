# SPDX-License-Identifier: Apache-2.0
"""Runs inside Blender: evaluates what tests/gui/window.py sends, between Blender's own events.

A request is a Python file FOLDER/request; its variable `answer` is written as JSON to FOLDER/answer, or the traceback to
FOLDER/error.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import bpy

FOLDER = Path(sys.argv[sys.argv.index("--") + 1])
PERIOD = 0.02


def serve():
    request = FOLDER / "request"
    if not request.exists():
        return PERIOD
    names = {"bpy": bpy, "answer": None}
    source = request.read_text(encoding="utf-8")
    request.unlink()
    try:
        exec(compile(source, "request", "exec"), names)  # noqa: S102  (our own tests)
        name, content = "answer", json.dumps(names["answer"])
    except Exception:
        name, content = "error", traceback.format_exc()
    (FOLDER / "unfinished").write_text(content, encoding="utf-8")
    os.replace(FOLDER / "unfinished", FOLDER / name)
    return PERIOD


bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(serve, persistent=True)
