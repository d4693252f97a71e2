"""`solver_core solve pose`: its options, files and pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.command import console
from solver_core.command.arguments import add_options, options_from
from solver_core.command.files import read_mask, read_mesh, read_photo, read_pose
from solver_core.command.pictures import write_animation, write_picture
from solver_core.errors import ObservationError
from solver_core.frames import Camera
from solver_core.problems.pose import drawing
from solver_core.problems.pose.solve import PoseOptions, PoseSolution, PoseStep, solve_pose

HELP = "Finds where an object stands from a mask of it, its mesh and the camera."
EXAMPLE = "solver_core solve pose --mesh car.obj --mask mask.png --camera camera.json --picture car.png"

STEP_MILLISECONDS = 450  # long enough to see what a step changed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    files.add_argument("--mesh", type=Path, required=True, metavar="FILE", help="obj, ply, glb, off or stl, in metres")
    files.add_argument("--mask", type=Path, required=True, metavar="PNG", help="white, or opaque, where the object is")
    files.add_argument(
        "--camera",
        type=Path,
        required=True,
        metavar="FILE",
        help="JSON with width, height, fx, fy, cx, cy (pixels), or a file of BOP, COLMAP, OpenCV, ROS, fSpy, ...",
    )
    files.add_argument("--start", type=Path, metavar="JSON", help="camera_from_object, a rough guess (4 x 4)")
    files.add_argument("--photo", type=Path, metavar="IMAGE", help="to draw on, of the mask's size; not used to solve")
    files.add_argument("--out", action=console.Output, metavar="JSON", help="also write the result here")
    files.add_argument("--picture", action=console.Output, metavar="PNG", help="outlines of mask and object, before and after")
    files.add_argument("--animation", action=console.Output, metavar="GIF", help="outlines at every step")
    add_options(parser, PoseOptions)


def run(args: argparse.Namespace) -> int:
    """Exit code of the verdict.  Raises SolverError for wrong input."""
    mesh, mask = read_mesh(args.mesh), read_mask(args.mask)
    camera = Camera.read(args.camera, mask.shape[::-1])
    start = None if args.start is None else read_pose(args.start)
    photo = None if args.photo is None else _photo_of_size(args.photo, mask)
    if photo is not None:
        photo = camera.undistorted(photo)
    with console.progress("solving") as show:
        result = solve_pose(
            mask,
            mesh.vertices,
            mesh.faces,
            camera,
            start=start,
            options=options_from(args, PoseOptions),
            on_step=lambda step: show(f"{step.phase}, {_overlap(1 - step.energy)}"),
        )

    console.print_result(_content(result), args.out)  # before the pictures: a folder that is missing must not lose it
    if args.picture is not None:
        canvas = drawing.PoseCanvas.of_size(mesh, camera.undistorted(mask), camera.pinhole, photo, drawing.PANEL_PX)
        first = result.history[0]
        captions = [f"before: {_overlap(1 - first.energy)} with the mask (white)", f"after: {_overlap(result.iou)}"]
        picture = drawing.draw_before_and_after(canvas, first.camera_from_object, result.camera_from_object, captions)
        write_picture(args.picture, picture)
    if args.animation is not None:
        canvas = drawing.PoseCanvas.of_size(mesh, camera.undistorted(mask), camera.pinhole, photo, drawing.FRAME_PX)
        write_animation(args.animation, _frames(canvas, result), STEP_MILLISECONDS)

    return console.conclude(result.verdict, result.explanation)


def _photo_of_size(path: Path, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) the photograph.  Raises ObservationError if it is no image or not of the mask's size (H, W)."""
    photo = read_photo(path)
    if photo.shape[:2] != mask.shape:
        wanted, came = (f"{image.shape[1]} x {image.shape[0]}" for image in (mask, photo))
        raise ObservationError(f"the photograph must have the size of the mask, {wanted}; it has {came} pixels")
    return photo


def _frames(canvas: drawing.PoseCanvas, result: PoseSolution) -> list[np.ndarray]:
    """A frame for the start, each step that moved the object, and the result."""
    moves = [step for step in result.history if step.phase == "start" or step.damping > 0]
    last = len(moves) - 1
    return [
        drawing.draw_step(canvas, step.camera_from_object, _caption(index, step), index == last)
        for index, step in enumerate(moves)
    ]


def _content(result: PoseSolution) -> dict[str, Any]:
    """The result as it is printed; the steps without their poses, which would be most of it."""
    return {
        "camera_from_object": result.camera_from_object.tolist(),
        "iou": round(result.iou, 4),
        "verdict": result.verdict.value,
        "explanation": result.explanation,
        "reason": result.reason.value,
        "seconds": round(result.seconds, 4),
        "alternatives": [
            {"camera_from_object": other.camera_from_object.tolist(), "iou": round(other.iou, 4)}
            for other in result.alternatives
        ],
        "steps": [
            {
                "phase": step.phase,
                "iou": round(1 - step.energy, 4),
                "damping": step.damping,
                "seconds": round(step.seconds, 4),
            }
            for step in result.history
        ],
    }


def _caption(index: int, step: PoseStep) -> str:
    return f"{index}  {step.phase}: {_overlap(1 - step.energy)}"


def _overlap(iou: float) -> str:
    return f"overlap {iou:.1%}"
