# SPDX-License-Identifier: Apache-2.0
"""`solver_core mask`: a mask from a photograph and a word on where the object is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.camera_files import read_camera
from solver_core.command import console
from solver_core.command.files import CAMERA_HELP, read_mesh, read_photo
from solver_core.command.hints import add_hints, read_hints, write_mask
from solver_core.problems.pose.inputs import CONVENTIONS, read_start
from solver_core.segmentation.mask import mask_from_image

EXAMPLE = "solver_core mask photo.jpg --box 120,80,560,410 --out mask.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", type=Path, metavar="PHOTO", help="the photograph")
    parser.add_argument(
        "--out", action=console.Output, required=True, metavar="MASK", help="white where the object is: PNG, TIFF or BMP"
    )
    hints = add_hints(parser, "where the object is; at least one")
    hints.add_argument("--mesh", type=Path, metavar="FILE", help="of the object, with --camera and --start")
    hints.add_argument("--camera", type=Path, metavar="FILE", help=CAMERA_HELP)
    hints.add_argument("--start", type=Path, metavar="JSON", help="camera_from_object, a rough guess (4 x 4)")
    parser.add_argument(
        "--convention",
        choices=CONVENTIONS,
        default="opengl",
        help="of --start: opengl looks along -z (Blender), opencv along z (BOP, COLMAP, ROS) (default: opengl)",
    )


def run(args: argparse.Namespace) -> int:
    """0 once the mask is written.  Raises SolverError for wrong input."""
    with console.checked_outputs(args):
        photo = read_photo(args.photo)
        found = mask_from_image(photo, **read_hints(args), **_read_model(args, photo))
        write_mask(args.out, found.coverage)
    share = float(np.mean(found.coverage))
    console.print_result(
        {"mask": str(args.out), "share": round(share, 4), "alike": round(found.alike, 4), "notes": found.notes}
    )
    for note in found.notes:
        console.print_remark(note)
    return 0


def _read_model(args: argparse.Namespace, photo: np.ndarray) -> dict[str, Any]:
    mesh = None if args.mesh is None else read_mesh(args.mesh)
    return {
        "vertices": None if mesh is None else mesh.vertices,
        "faces": None if mesh is None else mesh.faces,
        "camera": None if args.camera is None else read_camera(args.camera, (photo.shape[1], photo.shape[0])),
        "start": read_start(args),
    }
