# SPDX-License-Identifier: Apache-2.0
"""`solver_core solve pose`: its options, files and pictures."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import solver_core
from solver_core.camera_files import read_camera
from solver_core.command import console
from solver_core.command.arguments import add_options, add_places, add_shard, options_from
from solver_core.command.files import Surface, read_photo
from solver_core.command.folder import Task, Words, require_for_many, run_tasks, tasks_of
from solver_core.command.hints import box_of, write_mask
from solver_core.command.pictures import write_animation, write_picture
from solver_core.errors import ConfigError, ObservationError
from solver_core.problems.pose import drawing
from solver_core.problems.pose.film import Film, pose_before
from solver_core.problems.pose.folder import images_of, is_pattern
from solver_core.problems.pose.inputs import (
    ALL_LABELS,
    CONVENTIONS,
    add_inputs,
    check_shared_inputs,
    mesh_of,
    read_inputs,
    read_labelled,
    read_start,
    read_views,
)
from solver_core.problems.pose.labels import solve_pose_labels
from solver_core.problems.pose.photograph import solve_pose_from_image
from solver_core.problems.pose.solve import OnStep, PoseOptions, PoseSolution, PoseStep, solve_pose
from solver_core.problems.pose.solve_views import PoseViewsSolution, solve_pose_views
from solver_core.solution import Verdict
from solver_core.writing import refuse_overwriting

HELP = "Finds where an object stands from a mask or a photograph of it, its mesh and the camera."
EXAMPLE = "solver_core solve pose --mesh car.obj --mask mask.png --camera camera.json --picture car.png"

WORDS, OF_PHOTOS = Words("mask"), Words("photo")
OF_ONE_MASK = ("photo", "box", "mask_out", "picture", "animation")
STEP_MILLISECONDS = 450  # long enough to see what a step changed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    files = add_inputs(parser, is_one_view=False)
    files.add_argument(
        "--photo", type=Path, metavar="IMAGE", help="to draw on; without --mask the pose is found in it from --start"
    )
    files.add_argument("--box", metavar="L,T,R,B", help="around the object in a --photo without --mask, if that helps; pixels")
    files.add_argument("--mask-out", action=console.Output, metavar="MASK", help="write the mask that was found in the --photo")
    files.add_argument("--out", type=Path, metavar="JSON", help="also write the result here; a folder for a folder of masks")
    files.add_argument(
        "--picture", action=console.Output, metavar="PNG", help="draw outlines of mask and object, before and after or by view"
    )
    files.add_argument("--animation", action=console.Output, metavar="GIF", help="draw outlines at every step")
    add_places(files, "masks of a folder solved")
    add_shard(files)
    files.add_argument(
        "--track",
        action="store_true",
        help="they, or a folder of --photo, are frames of a film: each starts from the pose before",
    )
    files.add_argument(
        "--smooth", action=console.Output, metavar="JSON", help="with --track: poses smoothed over time, lost ones filled"
    )
    files.add_argument(
        "--view",
        type=Path,
        nargs=3,
        action="append",
        metavar=("MASK", "CAMERA", "POSE"),
        help="each of several cameras, instead of --mask and --camera; POSE is world_from_camera",
    )
    files.add_argument(
        "--mesh-of",
        type=_labelled_mesh,
        action="append",
        default=[],
        metavar="N=FILE",
        help="mesh of label N, with --label all; the other labels are of --mesh; can be repeated",
    )
    add_options(parser, PoseOptions)


def run(args: argparse.Namespace) -> int:
    """Exit code of the verdict, or 0 if those of several masks are good.  Raises SolverError for wrong input."""
    if args.smooth is not None and not args.track:
        raise ConfigError("--smooth belongs to --track, the frames of a film")
    if args.view is not None:
        return _run_views(args)
    if args.camera is None or (args.mask is None and (args.photo is None or args.start is None)):
        raise ConfigError(
            "give --mask and --camera, or --photo, --camera and --start, or --view with mask, camera and pose for each camera"
        )
    if args.mask is None:
        return _run_photo(args)
    if not args.mask.suffix and not args.mask.exists() and not is_pattern(args.mask):
        raise ObservationError(f"there is no folder of masks {args.mask}")
    if args.mask.is_dir() or is_pattern(args.mask):
        return _run_several(args, args.mask, WORDS)
    if args.track or args.jobs > 1 or args.cluster is not None or args.shard is not None:
        raise ConfigError(
            f"--track, --jobs, --cluster and --shard belong to a folder or pattern of masks, and {args.mask} is one file"
        )
    if args.mesh_of and args.label != ALL_LABELS:
        raise ConfigError(f"--mesh-of belongs to --label {ALL_LABELS}; give the mesh of one object as --mesh")
    if args.out is not None:
        console.name_output(args, "--out", args.out, console.ENDINGS["JSON"])
    with console.checked_outputs(args):
        return _run_labels(args) if args.label == ALL_LABELS else _run_one(args)


def _labelled_mesh(text: str) -> tuple[int, Path]:
    """The type of --mesh-of."""
    label, separator, path = text.partition("=")
    if not (label.isdecimal() and separator and path):
        raise argparse.ArgumentTypeError(f"must be a label and the file of its mesh, such as 2=cup.obj, got {text!r}")
    return int(label), Path(path)


def _run_labels(args: argparse.Namespace) -> int:
    """A result for each object of a label image, in one file; 0 if all are good."""
    unused = [name for name in ("start", "focal", "threshold", *OF_ONE_MASK) if getattr(args, name) is not None]
    if unused or args.invert:
        raise ConfigError(f"--{unused[0] if unused else 'invert'} belongs to one object; give its label as --label")
    inputs = read_labelled(args, dict(args.mesh_of))
    with console.progress("solving"):
        results = solve_pose_labels(**inputs, options=options_from(args, PoseOptions))
    objects = [{"label": label, **_content(result, args.convention)} for label, result in results.items()]
    for content in objects:
        del content["steps"]
    console.print_result({"objects": objects}, args.out)
    codes = []
    for label, result in results.items():
        with console.about(f"label {label}"):
            codes.append(console.conclude(result.verdict, result.explanation))
            for note in result.notes:
                console.print_remark(note)
    return max(codes)


def _run_views(args: argparse.Namespace) -> int:
    """The pose from several cameras."""
    others = ("mask", "camera", "ignore", "focal", *OF_ONE_MASK)
    unused = [name for name in others if name != "picture" and getattr(args, name) is not None]
    if unused or args.mesh_of or args.track:
        flag = unused[0] if unused else "mesh-of" if args.mesh_of else "track"
        raise ConfigError(f"--{flag} does not go with --view, which names the mask, camera and pose of each camera")
    if args.out is not None:
        console.name_output(args, "--out", args.out, console.ENDINGS["JSON"])
    with console.checked_outputs(args):
        inputs = read_views(args, args.view)
        with console.progress("solving") as show:
            options = options_from(args, PoseOptions)
            result = solve_pose_views(**inputs, options=options, on_step=lambda step: show(_words_of(step)))
        console.print_result(_content_of_views(result), args.out)
        if args.picture is not None:
            mesh, seen = Surface(inputs["vertices"], inputs["faces"]), zip(inputs["masks"], inputs["cameras"], strict=True)
            canvases = [
                drawing.PoseCanvas.of_size(mesh, camera.undistorted(mask), camera, None, drawing.FRAME_PX)
                for mask, camera in seen
            ]
            captions = [f"view {number}: {_overlap(iou)}" for number, iou in enumerate(result.ious, 1)]
            write_picture(args.picture, drawing.draw_views(canvases, result.cameras_from_object, captions))
    code = console.conclude(result.verdict, result.explanation)
    for note in result.notes:
        console.print_remark(note)
    return code


def _run_one(args: argparse.Namespace) -> int:
    with console.progress("solving") as show:
        solve = _solve_photo if args.mask is None else _solve_mask_file
        result, mesh, mask, photo = solve(args, lambda step: show(_words_of(step)))

    console.print_result(
        _content(result, args.convention), args.out
    )  # before the pictures: a folder that is missing must not lose it
    if args.picture is not None:
        canvas = drawing.PoseCanvas.of_size(mesh, mask, result.camera, photo, drawing.PANEL_PX)
        first = result.history[0]
        captions = [f"before: {_overlap(first.iou)} with the mask (white)", f"after: {_overlap(result.iou)}"]
        picture = drawing.draw_before_and_after(canvas, first.camera_from_object, result.camera_from_object, captions)
        write_picture(args.picture, picture)
    if args.animation is not None:
        canvas = drawing.PoseCanvas.of_size(mesh, mask, result.camera, photo, drawing.FRAME_PX)
        write_animation(args.animation, _frames(canvas, result), STEP_MILLISECONDS)

    code = console.conclude(result.verdict, result.explanation)
    for note in result.notes:
        console.print_remark(note)
    return code


class _Solved(NamedTuple):
    """A pose and what it is drawn with: mask (H, W) and photograph (H, W, 3) or None, both without distortion."""

    result: PoseSolution
    mesh: Surface
    mask: np.ndarray
    photo: np.ndarray | None


def _solve_mask_file(args: argparse.Namespace, on_step: OnStep) -> _Solved:
    for_photo = [name for name in ("box", "mask_out") if getattr(args, name) is not None]
    if for_photo:
        raise ConfigError(f"--{for_photo[0].replace('_', '-')} belongs to a --photo without --mask")
    inputs = read_inputs(args)
    mask, camera = inputs["mask"], inputs["camera"]
    photo = None if args.photo is None else camera.undistorted(_photo_of_size(args.photo, mask))
    result = solve_pose(**inputs, options=options_from(args, PoseOptions), on_step=on_step)
    return _Solved(result, Surface(inputs["vertices"], inputs["faces"]), camera.undistorted(mask), photo)


def _solve_photo(args: argparse.Namespace, on_step: OnStep) -> _Solved:
    photo, mesh = read_photo(args.photo), mesh_of(args.mesh)
    camera = read_camera(args.camera, (photo.shape[1], photo.shape[0]))
    start = read_start(args)
    assert start is not None
    options, box = options_from(args, PoseOptions), box_of(args.box)
    result = solve_pose_from_image(photo, mesh.vertices, mesh.faces, camera, start, box, options=options, on_step=on_step)
    if args.mask_out is not None:
        write_mask(args.mask_out, result.mask)
    return _Solved(result, mesh, result.mask, camera.undistorted(photo))


def _run_photo(args: argparse.Namespace) -> int:
    """The pose from a photograph without a mask, or from each of a film."""
    of_masks = ("focal", "ignore", "label", "threshold", "cluster", "shard")
    for_mask = [name for name in of_masks if getattr(args, name) is not None]
    for_mask += [name.replace("_", "-") for name in ("invert", "mesh_of") if getattr(args, name)]
    if for_mask or args.jobs > 1:
        raise ConfigError(f"--{for_mask[0] if for_mask else 'jobs'} belongs to a --mask, which the photograph has none of")
    is_film = args.photo.is_dir() or is_pattern(args.photo)
    if is_film != args.track:
        raise ConfigError(
            f"--track and several photographs belong together; {args.photo} is {'several' if is_film else 'one file'}"
        )
    if is_film:
        return _run_several(args, args.photo, OF_PHOTOS)
    if args.out is not None:
        console.name_output(args, "--out", args.out, console.ENDINGS["JSON"])
    with console.checked_outputs(args):
        return _run_one(args)


def _run_several(args: argparse.Namespace, sources: Path, words: Words) -> int:
    """A record for each mask, or for each photograph of a film."""
    require_for_many(args, words, sources, [name for name in OF_ONE_MASK if name != words.source])
    if args.track and (args.jobs > 1 or args.cluster is not None or args.shard is not None):
        raise ConfigError(
            "--track goes from one mask to the next, so nothing is done at a time; leave out --jobs, --cluster and --shard"
        )
    options = options_from(args, PoseOptions)
    names = ("mesh", "camera", "start", "ignore", "weights")
    files = {f"--{name}": path for name in names if (path := getattr(args, name)) is not None}
    choices = (args.up, args.focal, args.label, args.threshold, args.invert, args.convention, args.track)
    settings = repr((solver_core.__version__, options, choices))
    is_followed = args.track and args.ignore is None  # what hides the object is for the full solver to leave out
    check_shared_inputs(args)
    tasks = tasks_of(images_of(sources, words.source), args.out, words, files, is_series=args.track)
    if args.smooth is not None:
        of_film = {f"the frame {task.source.name}": task.source for task in tasks}
        of_film |= {f"the record of {task.source.name}": task.record for task in tasks}
        refuse_overwriting({"--smooth": args.smooth}, of_film)
    film = Film(args, options, is_of_photos=words is OF_PHOTOS, tasks=tasks)
    solve = film if is_followed else partial(_solve_mask, args, options)
    code = run_tasks(tasks, solve, words, args, list(files.values()), settings)
    if args.smooth is not None:
        film.smooth(words)
    return code


def _solve_mask(args: argparse.Namespace, options: PoseOptions, task: Task) -> dict[str, Any]:
    """The result of one of several masks, without its steps."""
    inputs = read_inputs(argparse.Namespace(**{**vars(args), "mask": task.source}))
    before = None if task.follows is None else pose_before(task.follows, args.convention)
    solve = partial(solve_pose, options=options, on_step=lambda step: console.print_step(_words_of(step)))
    result = solve(**(inputs if before is None else {**inputs, "start": before}))
    if before is not None and result.verdict is not Verdict.GOOD:
        result = max(result, solve(**inputs), key=lambda one: one.confidence)
    content = _content(result, args.convention)
    del content["steps"]
    return content


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
        **({} if result.focal_range is None else {"fx": result.camera.fx, "fx_range": result.focal_range}),
        **_judgement(result),
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


def _content_of_views(result: PoseViewsSolution) -> dict[str, Any]:
    """The result as it is printed."""
    return {
        "world_from_object": result.world_from_object.tolist(),
        "ious": [round(iou, 4) for iou in result.ious],
        **_judgement(result),
        "alternatives": [
            {"world_from_object": other.world_from_object.tolist(), "probability": round(other.probability, 3)}
            for other in result.alternatives
        ],
    }


def _judgement(result: PoseSolution | PoseViewsSolution) -> dict[str, Any]:
    """How sure a result is, and why."""
    return {
        "verdict": result.verdict.value,
        "explanation": result.explanation,
        "confidence": round(result.confidence, 4),
        "interval": result.interval._asdict(),
        "covariance": result.covariance.tolist(),
        "evidence": {name: round(float(value), 4) for name, value in result.evidence._asdict().items()},
        "notes": result.notes,
        "reason": result.reason.value,
        "seconds": round(result.seconds, 4),
    }


def _caption(index: int, step: PoseStep) -> str:
    return f"{index}  {step.phase}: {_overlap(step.iou)}"


def _words_of(step: PoseStep) -> str:
    return f"{step.phase}, {_overlap(step.iou)}"


def _overlap(iou: float) -> str:
    return f"overlap {iou:.1%}"
