# SPDX-License-Identifier: Apache-2.0
"""The installed extension without a window: `blender -b -c deep_feedback`."""

import json
from pathlib import Path

JOB = Path(__file__).resolve().parents[2] / "assets" / "demo" / "job.json"


def test_installed_command_solves_a_task_of_the_demo_job(blender, tmp_path):
    run = blender.run("-b", "-c", "deep_feedback", JOB, "--only", "armature", "--out", tmp_path)

    (line,) = (json.loads(line) for line in run.stdout.splitlines() if line.startswith("{"))
    assert line["status"] == "done"
    assert line["report"]["mean_cm"] < 1
    assert (tmp_path / "armature.blend").exists()
