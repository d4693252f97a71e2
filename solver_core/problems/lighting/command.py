# SPDX-License-Identifier: Apache-2.0
"""`solver_core solve lighting`: its options, files and pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.camera_files import read_camera
from solver_core.command import console
from solver_core.command.arguments import add_options, options_from
from solver_core.command.files import CAMERA_HELP, read_albedo, read_mesh, read_pose, read_radiance, write_radiance
from solver_core.command.masks import read_mask
from solver_core.command.pictures import write_animation, write_picture
from solver_core.errors import ConfigError, SetupError
from solver_core.problems.lighting import drawing
from solver_core.problems.lighting.environment import found_environment
from solver_core.problems.lighting.lights import LIGHTS, kinds_of
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.solve import (
    FoundLamp,
    LightingOptions,
    LightingSession,
    LightingSolution,
    LightingStep,
)
from solver_core.reading import read_json
from solver_core.render.gbuffer import Albedo, Passes

HELP = "Finds the suns and point lights of an image from the geometry it shows and the camera."
EXAMPLE = "solver_core solve lighting --mesh car.obj --image car.png --camera camera.json --picture lit.png"

STEP_MILLISECONDS = 350  # long enough to see what a step changed


def add_inputs(parser: argparse.ArgumentParser) -> Any:
    """Adds the flags that say what is read; returns the group of the files."""
    files = parser.add_argument_group("files")
    files.add_argument(
        "--mesh", type=Path, required=True, nargs="+", metavar="M", help="obj, ply, glb, gltf, off or stl, in metres"
    )
    files.add_argument(
        "--image", type=Path, required=True, metavar="IMAGE", help="the photograph: png of 8 or 16 bits, jpg or exr"
    )
    files.add_argument("--camera", type=Path, required=True, metavar="FILE", help=CAMERA_HELP)
    files.add_argument(
        "--pose", type=Path, nargs="+", metavar="P", help="camera_from_object of the meshes, one for all or one each"
    )
    files.add_argument("--mask", type=Path, metavar="PNG", help="white, or opaque, where the image may be used")
    known = parser.add_argument_group("what is known of surfaces, light and image")
    albedo = known.add_mutually_exclusive_group()
    albedo.add_argument(
        "--albedo",
        type=float,
        nargs=3,
        metavar=("R", "G", "B"),
        help="albedo of all meshes, linear RGB (default: unknown, and fitted)",
    )
    albedo.add_argument(
        "--mesh-colors", action="store_true", help="take the albedo from the mesh files: textures, vertex colours"
    )
    albedo.add_argument(
        "--albedo-image",
        type=Path,
        metavar="IMAGE",
        help="the albedo as a picture, as large as the image: a renderer's pass of diffuse colour, or of the base colour",
    )
    known.add_argument(
        "--strength", type=float, metavar="W", help=f"of the light, if it is known, in {_units()}; needs a known albedo"
    )
    known.add_argument(
        "--known-lights",
        type=Path,
        metavar="JSON",
        help="other lights that shine as well, a list with kind, strength and place of each; needs a known albedo",
    )
    known.add_argument("--linear", action="store_true", help="the values of png and jpg are linear, not sRGB")
    return files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    files = add_inputs(parser)
    files.add_argument("--out", action=console.Output, metavar="JSON", help="also write the result here")
    files.add_argument(
        "--picture", action=console.Output, metavar="PNG", help="draw photograph, relit estimate and difference, with the light"
    )
    files.add_argument("--animation", action=console.Output, metavar="GIF", help="draw the relit estimate at every step")
    files.add_argument(
        "--environment",
        action=console.Output,
        metavar="HDR",
        help="also write sun and ambient light for other renderers, hdr or exr: all around, z of the first mesh's file up",
    )
    add_options(parser, LightingOptions)


def run(args: argparse.Namespace) -> int:
    """Exit code of the verdict.  Raises SolverError for wrong input."""
    if args.environment is not None and kinds_of(args.kind)[0].has_position:
        raise ConfigError("--environment holds light from far away, and a point light is near: use --kind sun")
    setup = read_setup(args, kinds_of(args.kind)[0].name)
    session = LightingSession(setup, options_from(args, LightingOptions))
    with console.progress("solving") as show:
        result = session.run(lambda step: show(f"{step.phase}, {_explained(step.energy)}"))

    console.print_result(_content(result), args.out)  # before the pictures: a folder that is missing must not lose it
    if args.picture is not None:
        canvas = drawing.LightingCanvas.of(replace(setup, sky=session.setup.sky))
        captions = ["photograph and light", "estimate", f"difference: {result.image_error:.1%}"]
        lights, kinds = np.array([lamp.light for lamp in result.lamps]), [LIGHTS[lamp.kind] for lamp in result.lamps]
        write_picture(args.picture, drawing.draw_result(canvas, lights, captions, kinds))
    if args.animation is not None:
        write_animation(args.animation, _frames(drawing.LightingCanvas.of(setup), result), STEP_MILLISECONDS)

    if args.environment is not None:
        pose = read_pose(args.pose[0]) if args.pose else np.eye(4)
        write_radiance(args.environment, found_environment(result, pose))
        if near := sum(lamp.position is not None for lamp in result.lamps):
            console.print_remark(f"The environment holds suns and sky only, not the point lights: {near}.")

    for note in result.report.notes:
        console.print_remark(note)
    return console.conclude(result.verdict, result.explanation)


def _units() -> str:
    return ", ".join(f"{kind.unit} ({kind.label})" for kind in LIGHTS.values())


def read_setup(args: argparse.Namespace, kind: str) -> LightingSetup:
    """What is solved for a kind of light, by its name in LIGHTS.  Raises SolverError."""
    meshes = [read_mesh(path) for path in args.mesh]
    poses = [read_pose(path) for path in args.pose or []] or [np.eye(4)]
    if len(poses) not in (1, len(meshes)):
        raise SetupError(f"{len(meshes)} meshes need one pose for all or one each, got {len(poses)}")
    return LightingSetup.checked(
        read_radiance(args.image, args.linear),
        [mesh.vertices for mesh in meshes],
        [mesh.faces for mesh in meshes],
        read_camera(args.camera),
        poses * (len(meshes) // len(poses)),
        kind,
        _read_albedos(args),
        args.strength,
        None if args.mask is None else read_mask(args.mask).coverage,
        known=None if args.known_lights is None else read_json(args.known_lights, "known lights"),
        passes=None if args.albedo_image is None else Passes(read_radiance(args.albedo_image, args.linear)),
    )


def _read_albedos(args: argparse.Namespace) -> Sequence[Albedo] | None:
    if args.mesh_colors:
        return [read_albedo(path) for path in args.mesh]
    return None if args.albedo is None else [np.array(args.albedo)] * len(args.mesh)


def _frames(canvas: drawing.LightingCanvas, result: LightingSolution) -> list[np.ndarray]:
    last = len(result.history) - 1
    return [
        drawing.draw_step(canvas, step.light, _caption(index, step), index == last, LIGHTS[step.kind])
        for index, step in enumerate(result.history)
    ]


def _content(result: LightingSolution) -> dict[str, Any]:
    """The result as it is printed."""
    return {
        **_lamp_content(result.lamps[0]),
        "lamps": [
            {
                "kind": lamp.kind,
                **_lamp_content(lamp),
                "verdict": lamp.verdict.value,
                "explanation": lamp.explanation,
            }
            for lamp in result.lamps
        ],
        "ambient": result.ambient.tolist(),
        "sky": None if result.sky is None else {"above": result.sky.above.tolist(), "below": result.sky.below.tolist()},
        "albedo": [None if np.isnan(found).any() else found.tolist() for found in result.albedo],
        "image_error": round(result.image_error, 4),
        "notes": result.report.notes,
        "known_lights": [light.name for light in result.known],
        "verdict": result.verdict.value,
        "explanation": result.explanation,
        "reason": result.reason.value,
        "seconds": round(result.seconds, 4),
        "steps": [
            {
                "phase": step.phase,
                "kind": step.kind,
                "light": step.light.tolist(),
                "energy": round(step.energy, 5),
                "damping": step.damping,
                "seconds": round(step.seconds, 4),
            }
            for step in result.history
        ],
    }


def _lamp_content(lamp: FoundLamp) -> dict[str, Any]:
    """A lamp as it is printed."""
    return {
        "direction": lamp.direction.tolist(),
        "position": None if lamp.position is None else lamp.position.tolist(),
        "strength": lamp.strength.tolist(),
        "size_deg": None if lamp.size is None else [round(value, 3) for value in lamp.size],
        "uncertainty_deg": round(lamp.uncertainty_deg, 2),
        "distance_uncertainty": round(lamp.report.distance_uncertainty, 4),
        "probability": round(lamp.probability, 4),
        "alternatives": [
            {"light": other.light.tolist(), "probability": round(other.probability, 4)} for other in lamp.alternatives
        ],
    }


def _caption(index: int, step: LightingStep) -> str:
    return f"{index}  {step.phase}: {_explained(step.energy)}"


def _explained(energy: float) -> str:
    return f"{max(0.0, 1 - energy):.1%} explained"
