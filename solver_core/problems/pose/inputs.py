# SPDX-License-Identifier: Apache-2.0
"""What `solver_core solve pose` and `evaluate pose` read: the flags that name it, and files as arguments of a solve."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.camera_files import read_camera
from solver_core.command import console
from solver_core.command.files import CAMERA_HELP, Surface, read_mesh, read_pose
from solver_core.command.masks import MaskChoice, read_labels, read_mask
from solver_core.errors import ConfigError
from solver_core.frames import Camera
from solver_core.problems.pose.labels import labels_in
from solver_core.problems.pose.setup import UP_AXES, checked_focal_range

# (4, 4) from the camera of a convention to ours.
CONVENTIONS = {"opengl": np.eye(4), "opencv": np.diag([1.0, -1.0, -1.0, 1.0])}
ALL_LABELS = "all"


def add_inputs(parser: argparse.ArgumentParser, is_one_view: bool = True) -> Any:
    """Adds the flags that say what is read; returns the group of the files.

    is_one_view: whether mask and camera must be given, or several views may be instead.
    """
    files = parser.add_argument_group("files")
    files.add_argument("--mesh", type=Path, required=True, metavar="FILE", help="obj, ply, glb, gltf, off or stl, in any unit")
    files.add_argument(
        "--mask",
        type=Path,
        required=is_one_view,
        metavar="IMAGE",
        help="white, or opaque, where the object is; COCO's JSON; or a folder of such images",
    )
    files.add_argument(
        "--camera",
        type=Path,
        required=is_one_view,
        metavar="FILE",
        help=CAMERA_HELP,
    )
    files.add_argument("--start", type=Path, metavar="JSON", help="camera_from_object, a rough guess (4 x 4)")
    files.add_argument(
        "--up",
        choices=UP_AXES,
        default=UP_AXES[0],
        metavar="AXIS",
        help=f"of the mesh that points up, without --start: z, y, either or any (default: {UP_AXES[0]})",
    )
    files.add_argument(
        "--focal",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="lowest and highest focal length (fx) in pixels, where it is not known; it is found",
    )
    mask = parser.add_argument_group("how the mask is read")
    mask.add_argument(
        "--label",
        type=_label,
        metavar="N",
        help=f"number of the object in a label image or COCO file, or {ALL_LABELS} of a label image",
    )
    mask.add_argument(
        "--threshold", type=console.fraction, metavar="X", help="brightness from 0 to 1 from which a pixel is object"
    )
    mask.add_argument("--invert", action="store_true", help="the object is what the mask leaves out")
    mask.add_argument(
        "--ignore", type=Path, metavar="IMAGE", help="white where the mask says nothing, such as where a hand hides the object"
    )
    parser.add_argument(
        "--convention",
        choices=CONVENTIONS,
        default="opengl",
        help="of --start and result: opengl looks along -z (Blender), opencv along z (BOP, COLMAP, ROS) (default: opengl)",
    )
    return files


def _label(text: str) -> int | str:
    """The type of --label."""
    try:
        return text if text == ALL_LABELS else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a whole number or {ALL_LABELS}, got {text!r}") from error


def read_inputs(args: argparse.Namespace) -> dict[str, Any]:
    """What solve_pose and PoseSetup.checked take.  Raises SolverError."""
    mesh, (mask, camera) = mesh_of(args.mesh), _read_mask_and_camera(args, args.mask, args.camera)
    return {
        "mask": mask,
        "vertices": mesh.vertices,
        "faces": mesh.faces,
        "camera": camera,
        "start": read_start(args),
        "ignore": None if args.ignore is None else read_mask(args.ignore).coverage,
        "up": args.up,
        "focal_range": args.focal,
    }


def read_labelled(args: argparse.Namespace, mesh_by_label: Mapping[int, Path]) -> dict[str, Any]:
    """What solve_pose_labels takes, of all labels of an image; those without a mesh of their own have that of --mesh.

    Raises SolverError.
    """
    labels = read_labels(args.mask)
    surface_by_path = {path: read_mesh(path) for path in {args.mesh, *mesh_by_label.values()}}
    surfaces = {label: surface_by_path[mesh_by_label.get(label, args.mesh)] for label in {*labels_in(labels), *mesh_by_label}}
    height, width = labels.shape
    return {
        "labels": labels,
        "meshes": {label: (surface.vertices, surface.faces) for label, surface in sorted(surfaces.items())},
        "camera": read_camera(args.camera, (width, height)),
        "ignore": None if args.ignore is None else read_mask(args.ignore).coverage,
        "up": args.up,
    }


def read_views(args: argparse.Namespace, views: Sequence[Sequence[Path]]) -> dict[str, Any]:
    """What solve_pose_views takes, of the mask, camera and pose of each view.  Raises SolverError."""
    mesh = mesh_of(args.mesh)
    masks, cameras = zip(*(_read_mask_and_camera(args, mask, camera) for mask, camera, _ in views), strict=True)
    ours_from_theirs = CONVENTIONS[args.convention]
    return {
        "masks": masks,
        "vertices": mesh.vertices,
        "faces": mesh.faces,
        "cameras": cameras,
        "worlds_from_cameras": [read_pose(pose, "world_from_camera") @ ours_from_theirs.T for _, _, pose in views],
        "start": None if args.start is None else read_pose(args.start, "world_from_object"),
        "up": args.up,
    }


def check_shared_inputs(args: argparse.Namespace) -> None:
    """Raises SolverError for what would fail with every mask, before the first is read."""
    _require_one_object(args)
    mesh_of(args.mesh)
    read_start(args)
    if args.focal is not None:
        checked_focal_range(args.focal)


def _require_one_object(args: argparse.Namespace) -> None:
    """Raises ConfigError."""
    if args.label == ALL_LABELS:
        raise ConfigError(f"--label {ALL_LABELS} belongs to one label image; give the number of the object")


@functools.lru_cache(maxsize=1)
def mesh_of(path: Path) -> Surface:
    """Of several masks it is read once."""
    return read_mesh(path)


def read_start(args: argparse.Namespace) -> np.ndarray | None:
    """(4, 4) camera_from_object in our convention, or None.  Raises SetupError."""
    return None if args.start is None else CONVENTIONS[args.convention] @ read_pose(args.start)


def _read_mask_and_camera(args: argparse.Namespace, mask_file: Path, camera_file: Path) -> tuple[np.ndarray, Camera]:
    """(H, W) coverage, after notes on what was understood; and the camera.  Either file may lack the image's size."""
    _require_one_object(args)
    choice = MaskChoice(args.label, args.threshold, args.invert)
    if mask_file.suffix.lower() == ".json":
        camera = read_camera(camera_file)
        mask = read_mask(mask_file, choice, (camera.width, camera.height))
    else:
        mask = read_mask(mask_file, choice)
        height, width = mask.coverage.shape
        camera = read_camera(camera_file, (width, height))
    for note in mask.notes:
        console.print_remark(note)
    return mask.coverage, camera
