# SPDX-License-Identifier: Apache-2.0
"""Command lines and job files in which something is left out, repeated or exchanged, or that name what they must not."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import warnings
from pathlib import Path

from hypothesis import strategies as st

from solver_core.command import cli

from . import calls, seeds
from .guard import LONGEST_SENTENCE, guarded

FILES = {
    "mesh.off": b"OFF\n4 4 0\n0 0 0\n3 0 0\n0 2 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n",
    "camera.json": json.dumps({"width": 32, "height": 24, "fx": 40.0, "fy": 40.0, "cx": 16.0, "cy": 12.0}).encode(),
    "pose.json": json.dumps({"camera_from_object": calls.POSE.tolist()}).encode(),
    "rest.bvh": seeds.BVH,
    "targets.csv": b"hip_x,hip_y,hip_z,left arm_x,left arm_y,left arm_z\n0,0,0,0.2,0.2,0\n",
    "map.json": b'{"targets": {"hip": "hip"}}',
    "limits.json": seeds.LIMITS,
    "empty": b"",
}
SOLVES = {
    "pose": {"--mesh": "mesh.off", "--mask": "mask.png", "--camera": "camera.json", "--start": "pose.json", "--restarts": "0"},
    "lighting": {
        "--mesh": "mesh.off",
        "--image": "image.png",
        "--camera": "camera.json",
        "--pose": "pose.json",
        "--restarts": "0",
    },
    "inverse_kinematics": {"--skeleton": "rest.bvh", "--targets": "targets.csv", "--restarts": "0"},
}
FLAGS = {
    "pose": ("--steps", "--seed", "--out", "--picture", "--photo", "--label", "--threshold", "--invert", "--no-refine"),
    "lighting": ("--mask", "--out", "--picture", "--albedo", "--mesh-colors", "--strength", "--linear", "--kind", "--steps"),
    "inverse_kinematics": (
        *("--map", "--write-map", "--limits", "--weights", "--out", "--json", "--picture", "--unit", "--skeleton-unit", "--up"),
        *("--fps", "--jobs", "--format", "--smooth", "--no-refine", "--noise"),
    ),
}
OUTPUTS = ("--out", "--json", "--picture", "--animation", "--write-map")
VALUES = (
    *("0", "1", "-1", "1e308", "nan", "inf", "", " ", "--", "-", "²", "9" * 5000, "1_0", "x" * 300, "true", "sun", "cm", "-y"),
    *(".", "..", "/", "no such file", "no/such/folder/a.json", "empty", "\udcff", "a\nb", "/dev/null", "out.json", "out.bvh"),
    *("out.png", "out.xyz", "http://example.org/a.png", "~", "*"),
)


def write_files(folder: Path) -> None:
    from PIL import Image

    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    for name, pixels in {
        "mask.png": calls.MASK.astype("uint8") * 255,
        "image.png": (calls.IMAGE * 255).astype("uint8"),
    }.items():
        Image.fromarray(pixels).save(folder / name)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    problem = draw(st.sampled_from(sorted(SOLVES)))
    options = dict(SOLVES[problem])
    names = [*FILES, "mask.png", "image.png"]
    line = ["solve", problem]
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from([*options, *FLAGS[problem]]))
        options[name] = draw(st.one_of(st.sampled_from(names), st.sampled_from(VALUES), st.none()))
    for name, value in options.items():
        line += [name] if value is None else [name, value]
    for _ in range(draw(st.integers(0, 1))):
        place = draw(st.integers(0, len(line)))
        line[place : place + draw(st.integers(0, 2))] = [draw(st.sampled_from((*VALUES, *names, "--help", "--no-limits")))]
    return line


def run_command_line(line: list[str], folder: Path) -> None:
    """Runs a command line in a folder: it ends with a result or one sentence, and changes no input."""
    write_files(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    inputs = [value for option, value in itertools.pairwise(line) if value in files and option not in OUTPUTS]
    said = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(said),
        warnings.catch_warnings(),
        guarded(),
    ):
        try:
            code = cli.main(line)
        except SystemExit as error:  # of argparse
            code = error.code
        finally:
            root.handlers[:], root.level = handlers, level
    assert code in (0, 1, 2), (code, said.getvalue())
    complaints = [text for text in said.getvalue().splitlines() if text.startswith("solver_core: ")]
    assert code == 0 or len(complaints) == 1 or (code == 1 and complaints), said.getvalue()  # results may have notes, too
    assert all(len(text) <= LONGEST_SENTENCE for text in complaints)
    for name in inputs:
        assert (folder / name).read_bytes() == files[name], f"{name} was written over"
    for path in folder.iterdir():
        if path.name not in files:
            assert path.is_file(), path
            path.unlink()


JOBS = [
    json.dumps(
        [
            {
                "name": "car",
                "scene": "car.blend",
                "problem": "pose",
                "object": "Car",
                "camera": "Camera",
                "silhouette": {"file": "car.png"},
                "mask": {"key": "LUMINANCE"},
                "restarts": 2,
                "outputs": {"blend": "car.blend.blend", "png": "car_solved.png"},
            },
            {
                "scene": "yard.blend",
                "problem": "lighting",
                "image": {"use_background": True},
                "camera": "Camera",
                "kind": "sun",
                "light": "Sun",
                "timeout": 60,
            },
            {
                "name": "walk",
                "scene": "rig.blend",
                "problem": "inverse_kinematics",
                "armature": "Rig",
                "source": "FILE",
                "file": "walk.bvh",
                "frame_start": 1,
                "frame_end": 60,
                "bones": [{"target": "goal", "bone": "hand_end", "weight": 0.5}],
                "outputs": {"json": "walk.json"},
            },
        ]
    ).encode()
]


def read_job_file(content: bytes, folder: Path) -> None:
    """Reads a job: tasks whose outputs are inside of their folder, or sentences."""
    from addon.job import JobError, read_job

    path, out = folder / "job.json", folder / "out"
    path.write_bytes(content)
    with guarded(), contextlib.suppress(JobError):
        for task in read_job(path, out):
            task.fingerprint()
            assert all(output.resolve().is_relative_to(out.resolve()) for output in task.outputs.values())
