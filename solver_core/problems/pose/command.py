# SPDX-License-Identifier: Apache-2.0
"""`solver_core solve pose`: its options, files and pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.camera_files import read_camera
from solver_core.command import console
from solver_core.command.arguments import add_options, options_from
from solver_core.command.files import CAMERA_HELP, Surface, read_mesh, read_photo, read_pose
from solver_core.command.masks import MaskChoice, read_mask
from solver_core.command.pictures import write_animation, write_picture
from solver_core.errors import ObservationError
from solver_core.frames import Camera
from solver_core.problems.pose import drawing
from solver_core.problems.pose.setup import UP_AXES
from solver_core.problems.pose.solve import PoseOptions, PoseSolution, PoseStep, solve_pose

HELP = "Finds where an object stands from a mask of it, its mesh and the camera."
EXAMPLE = "solver_core solve pose --mesh car.obj --mask mask.png --camera camera.json --picture car.png"

# (4, 4) from the camera of a convention to ours.
CONVENTIONS = {"opengl": np.eye(4), "opencv": np.diag([1.0, -1.0, -1.0, 1.0])}
STEP_MILLISECONDS = 450  # long enough to see what a step changed


def add_inputs(parser: argparse.ArgumentParser) -> Any:
    """Adds the flags that say what is read; returns the group of the files."""
    files = parser.add_argument_group("files")
    files.add_argument("--mesh", type=Path, required=True, metavar="FILE", help="obj, ply, glb, gltf, off or stl, in any unit")
    files.add_argument(
        "--mask", type=Path, required=True, metavar="IMAGE", help="white, or opaque, where the object is; or COCO's JSON"
    )
    files.add_argument(
        "--camera",
        type=Path,
        required=True,
        metavar="FILE",
        help=CAMERA_HELP,
    )
    files.add_argument("--start", type=Path, metavar="JSON", help="camera_from_object, a rough guess (4 x 4)")
    files.add_argument(
        "--up",
        choices=UP_AXES,
        default=UP_AXES[0],
        help="which axis of the mesh points up, where there is no --start; either tries z and y, any tries all orientations "
        f"(default: {UP_AXES[0]})",
    )
    files.add_argument(
        "--focal",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="lowest and highest focal length (fx) in pixels, where that of the camera is not known; it is found",
    )
    mask = parser.add_argument_group("how the mask is read")
    mask.add_argument("--label", type=int, metavar="N", help="number of the object in a label image or COCO file")
    mask.add_argument("--threshold", type=float, metavar="X", help="brightness from 0 to 1 from which a pixel is object")
    mask.add_argument("--invert", action="store_true", help="the object is what the mask leaves out")
    mask.add_argument(
        "--ignore", type=Path, metavar="IMAGE", help="white where the mask says nothing, such as where a hand hides the object"
    )
    parser.add_argument(
        "--convention",
        choices=CONVENTIONS,
        default="opengl",
        help="of camera_from_object, in --start and in the result: opengl has y up and looks along -z, as Blender does; "
        "opencv has y down and looks along z, as BOP, COLMAP and ROS do (default: opengl)",
    )
    return files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    files = add_inputs(parser)
    files.add_argument("--photo", type=Path, metavar="IMAGE", help="image of the mask's size to draw on; not used to solve")
    files.add_argument("--out", action=console.Output, metavar="JSON", help="also write the result here")
    files.add_argument(
        "--picture", action=console.Output, metavar="PNG", help="draw outlines of mask and object, before and after"
    )
    files.add_argument("--animation", action=console.Output, metavar="GIF", help="draw outlines at every step")
    add_options(parser, PoseOptions)


def run(args: argparse.Namespace) -> int:
    """Exit code of the verdict.  Raises SolverError for wrong input."""
    inputs = read_inputs(args)
    mask, camera = inputs["mask"], inputs["camera"]
    photo = None if args.photo is None else _photo_of_size(args.photo, mask)
    if photo is not None:
        photo = camera.undistorted(photo)
    with console.progress("solving") as show:
        result = solve_pose(
            **inputs,
            options=options_from(args, PoseOptions),
            on_step=lambda step: show(f"{step.phase}, {_overlap(step.iou)}"),
        )

    console.print_result(
        _content(result, args.convention), args.out
    )  # before the pictures: a folder that is missing must not lose it
    mesh = Surface(inputs["vertices"], inputs["faces"])
    if args.picture is not None:
        canvas = drawing.PoseCanvas.of_size(mesh, camera.undistorted(mask), result.camera, photo, drawing.PANEL_PX)
        first = result.history[0]
        captions = [f"before: {_overlap(first.iou)} with the mask (white)", f"after: {_overlap(result.iou)}"]
        picture = drawing.draw_before_and_after(canvas, first.camera_from_object, result.camera_from_object, captions)
        write_picture(args.picture, picture)
    if args.animation is not None:
        canvas = drawing.PoseCanvas.of_size(mesh, camera.undistorted(mask), result.camera, photo, drawing.FRAME_PX)
        write_animation(args.animation, _frames(canvas, result), STEP_MILLISECONDS)

    code = console.conclude(result.verdict, result.explanation)
    for note in result.notes:
        console.print_remark(note)
    return code


def read_inputs(args: argparse.Namespace) -> dict[str, Any]:
    """What solve_pose and PoseSetup.checked take.  Raises SolverError."""
    mesh, (mask, camera) = read_mesh(args.mesh), _read_mask_and_camera(args)
    return {
        "mask": mask,
        "vertices": mesh.vertices,
        "faces": mesh.faces,
        "camera": camera,
        "start": None if args.start is None else CONVENTIONS[args.convention] @ read_pose(args.start),
        "ignore": None if args.ignore is None else read_mask(args.ignore).coverage,
        "up": args.up,
        "focal_range": args.focal,
    }


def _read_mask_and_camera(args: argparse.Namespace) -> tuple[np.ndarray, Camera]:
    """(H, W) coverage, after notes on what was understood; and the camera.  Either file may lack the image's size."""
    choice = MaskChoice(args.label, args.threshold, args.invert)
    if args.mask.suffix.lower() == ".json":
        camera = read_camera(args.camera)
        mask = read_mask(args.mask, choice, (camera.width, camera.height))
    else:
        mask = read_mask(args.mask, choice)
        height, width = mask.coverage.shape
        camera = read_camera(args.camera, (width, height))
    for note in mask.notes:
        console.print_remark(note)
    return mask.coverage, camera


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


def _content(result: PoseSolution, convention: str) -> dict[str, Any]:
    """The result as it is printed; the steps without their poses, which would be most of it."""
    theirs_from_camera = np.linalg.inv(CONVENTIONS[convention])
    return {
        "convention": convention,
        "camera_from_object": (theirs_from_camera @ result.camera_from_object).tolist(),
        "iou": round(result.iou, 4),
        "verdict": result.verdict.value,
        "explanation": result.explanation,
        **({} if result.focal_range is None else {"fx": result.camera.fx, "fx_range": result.focal_range}),
        "confidence": round(result.confidence, 4),
        "interval": result.interval._asdict(),
        "covariance": result.covariance.tolist(),
        "evidence": {name: round(float(value), 4) for name, value in result.evidence._asdict().items()},
        "notes": result.notes,
        "reason": result.reason.value,
        "seconds": round(result.seconds, 4),
        "alternatives": [
            {
                "camera_from_object": (theirs_from_camera @ other.camera_from_object).tolist(),
                "iou": round(other.iou, 4),
                "probability": round(other.probability, 3),
            }
            for other in result.alternatives
        ],
        "steps": [
            {
                "phase": step.phase,
                "iou": round(step.iou, 4),
                "damping": step.damping,
                "seconds": round(step.seconds, 4),
            }
            for step in result.history
        ],
    }


def _caption(index: int, step: PoseStep) -> str:
    return f"{index}  {step.phase}: {_overlap(step.iou)}"


def _overlap(iou: float) -> str:
    return f"overlap {iou:.1%}"
