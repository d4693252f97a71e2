# SPDX-License-Identifier: Apache-2.0
"""How long a solve keeps Blender's own thread busy, between two looks at mouse and keyboard."""

import pytest

from tests.gui.test_buttons import solve

RECORD = """
import sys, time
operator = sys.modules["bl_ext.user_default.deep_feedback.operators.pose"].DEEP_FEEDBACK_OT_solve_pose
busy = sys.modules.setdefault("busy", type(sys)("busy"))
busy.seconds = {"invoke": [], "modal": []}

def timed(name):
    original = getattr(busy, name, None) or getattr(operator, name)
    setattr(busy, name, original)

    def call(self, context, event):
        start = time.thread_time()  # of this thread only: what else the machine does is not its fault
        try:
            return original(self, context, event)
        finally:
            busy.seconds[name].append(time.thread_time() - start)

    return call

for name in busy.seconds:
    setattr(operator, name, timed(name))
"""
DIVIDE = """
thing = bpy.data.objects["Biplane"]

def count():
    return len(thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.loop_triangles)

modifier = thing.modifiers.new("Divide", "SUBSURF")
modifier.subdivision_type = "SIMPLE"
while count() < {faces}:
    modifier.levels += 1
thing.modifiers.new("Decimate", "DECIMATE").ratio = {faces} / count()
answer = count()
"""

# Blender decodes a picture's file when it is first asked for its size or shows it: tens of milliseconds that are its own.
DECODE = "answer = [tuple(image.size) for image in bpy.data.images]"


@pytest.mark.parametrize(("faces", "limit"), [(50_000, 0.05), (1_000_000, 1.0)])
def test_tick_is_short(window, faces, limit):
    window.open_demo("pose")
    assert window.ask(DIVIDE.format(faces=faces)) == pytest.approx(faces, rel=0.01)
    window.ask(DECODE)
    window.ask(RECORD)

    solve(window, "pose")

    seconds = window.value("__import__('sys').modules['busy'].seconds")
    longest = {name: max(times) for name, times in seconds.items()}
    print(f"Blender {window.version}, {faces} faces: {longest}")  # noqa: T201  (shown by `make test-gui`)
    assert longest["modal"] < limit
    assert longest["invoke"] < max(limit, 0.25)  # the click itself, which moves the object and looks where its vertices went
