# SPDX-License-Identifier: Apache-2.0
"""Damaged masks: poses from silhouettes as they come, and whether the answer knows how good it is.

Networks are trained on boxes, ellipses and strips that hide up to half of the object, on holes, blobs, moved edges, wrong focal
lengths and stretched meshes (solver_core/recipes/pose_damaged.toml).  Objects hidden by another mesh and a principal point that
is off are never trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from solver_core import render, rotations
from solver_core.command.files import Surface
from solver_core.command.pictures import CYAN, Panel, side_by_side
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.problems.pose.confidence import RIGHT_PLACE, PoseInterval
from solver_core.problems.pose.damage import BOX, ELLIPSE, beside, random_pixels, shapes, smooth_noise
from solver_core.problems.pose.drawing import PoseCanvas
from solver_core.problems.pose.metrics import is_outlier, pose_errors
from solver_core.problems.pose.sampler import PoseSampling, draw_poses
from solver_core.problems.pose.solve import PoseOptions, PoseSolution, solve_pose
from solver_core.problems.pose.symmetry import errors_modulo, find_symmetries
from solver_core.solution import Verdict
from solver_core.views import VERTICAL_FOV
from training.paper.baselines.pose_descent import PoseDescent
from training.paper.evaluation import Errors, Row, Run
from training.paper.plots import Plot
from training.paper.pyrender_depth import PyrenderDepth
from training.paper.tables.pose_cases import PoseCase, PoseMethod, load_test_meshes, neural_mesh_renderer, soft_rasterizer

TITLE = "Damaged masks: poses from silhouettes as they come"
NUM_SAMPLES = 200  # a row
QUICK_SAMPLES = 6
SLOW_SHARE = 10
WRONG_DEG, WRONG_TRANSLATION = 5.0, RIGHT_PLACE  # beyond either, modulo symmetry, a pose is wrong
SMOOTHED_PX = 3.0  # of the noise that moves edges
STRETCH, OFF_CENTRE = 1.05, 0.03
RELIABILITY_PARTS = 8
GALLERY_PX, GALLERY_COLUMNS = 400, 3  # of a panel; and panels beside each other
SHARE_TOLERANCE, TRIES = 0.02, 50  # of what is hidden
MIN_PIXELS = {32: 30, 128: 100, 480: 1000}
UNKNOWN_FOCAL = 2.0  # up to so many times longer or shorter
OURS = "ours"
METHODS = {
    OURS: PoseOptions(),
    "ours, no network": PoseOptions(steps=0),
    "ours, 5 steps alone": PoseOptions(refine=False, restarts=0),
}
DESCENT = PoseDescent()
BASELINES = {"soft rasteriser": soft_rasterizer(DESCENT), "neural mesh renderer": neural_mesh_renderer(DESCENT)}


class DamagedCase(NamedTuple):
    """A mask (H, W) bool, where it is known (H, W) bool or None, what the user is told, and the truth (7,)."""

    mesh: Mesh
    mask: np.ndarray
    known: np.ndarray | None
    camera: Camera
    start: np.ndarray
    truth: np.ndarray
    true_camera: Camera
    focal_range: tuple[float, float] | None


Damage = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # mask (H, W) bool -> damaged mask


@dataclass(frozen=True)
class Kind:
    """A row: what is done to the mask, and what of the camera and the mesh the user is told wrong.

    hides: pixels (H, W) bool that are hidden, from the mask; marked: whether they are known to be.  focal: given focal length
    over the true one; is_focal_known: whether the user believes it, or leaves it to the solve.  stretched: whether the true
    mesh is longer on an axis.  centre: how far the true principal point is off, as a share of the image.
    """

    size: int = 128
    damage: Damage | None = None
    hides: Damage | None = None
    marked: bool = False
    focal: float = 1.0
    is_focal_known: bool = True
    stretched: bool = False
    centre: float = 0.0


def hidden_by(shape: int, share: float) -> Damage:
    """A box or an ellipse over a share of the mask."""

    def hide(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for _ in range(TRIES):
            centre, angle, aspect = random_pixels(mask[None], rng), rng.uniform(0, np.pi, 1), np.exp(rng.uniform(-0.7, 0.7))
            hidden = _grown_to(share, mask, _turned_shape(shape, centre, aspect, angle, mask.shape))
            if _hides_about(share, hidden, mask):
                break
        return hidden

    return hide


def another_mesh(meshes: list[Mesh], share: float) -> Damage:
    """The silhouette of another mesh over a share of the mask."""

    def hide(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for _ in range(TRIES):
            other, wxyz = meshes[rng.integers(len(meshes))], rotations.random_wxyz(rng)
            column, row = random_pixels(mask[None], rng)[0]

            def silhouette(size: float, other: Mesh = other, wxyz: np.ndarray = wxyz, at: tuple = (column, row)) -> np.ndarray:
                pose = matrix_from_pose(np.concatenate([wxyz, [0.0, 0.0, -3.0]])[None])
                intrinsics = np.array([[3 * size, 3 * size, *at]])
                return np.isfinite(render.render_depth([other], pose, intrinsics, *mask.shape)[0])

            hidden = _grown_to(share, mask, silhouette)
            if _hides_about(share, hidden, mask):
                break
        return hidden

    return hide


def hole(share: float) -> Damage:
    hide = hidden_by(ELLIPSE, share)
    return lambda mask, rng: mask & ~hide(mask, rng)


def blob(share: float) -> Damage:
    """A disc that sticks out of the mask, adding a share of its area."""

    def damage(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        centre = random_pixels(mask[None] & beside(~mask[None]), rng)
        disc = _turned_shape(ELLIPSE, centre, 1.0, np.zeros(1), mask.shape)
        added = _grown_to(share * mask.sum() / (~mask).sum(), ~mask, disc)
        return mask | added

    return damage


def moved_edge(offset_px: float, noise_px: float) -> Damage:
    """The edge moved outwards, and by smooth noise."""

    def damage(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = mask.shape
        noise = noise_px * smooth_noise(rng, 1, height, width, SMOOTHED_PX * 2)[0]
        return render.signed_distance(mask[None])[0] < offset_px + noise

    return damage


def kinds(meshes: list[Mesh]) -> dict[str, Kind]:
    hidden = {f"hidden {share:.0%} by a box": Kind(hides=hidden_by(BOX, share)) for share in (0.1, 0.25, 0.4)}
    return {
        "clean": Kind(),
        "32 px": Kind(size=32),
        **hidden,
        "hidden 25% by a box, marked": Kind(hides=hidden_by(BOX, 0.25), marked=True),
        "hidden 25% by a disc": Kind(hides=hidden_by(ELLIPSE, 0.25)),
        "hidden 25% by another mesh": Kind(hides=another_mesh(meshes, 0.25)),
        "hidden 25% by another mesh, marked": Kind(hides=another_mesh(meshes, 0.25), marked=True),
        "hole of 3%": Kind(damage=hole(0.03)),
        "blob of 3%": Kind(damage=blob(0.03)),
        "480 px": Kind(size=480),
        "480 px, jitter 2 px": Kind(size=480, damage=moved_edge(0, 2.0)),
        "480 px, jitter 4 px": Kind(size=480, damage=moved_edge(0, 4.0)),
        "480 px, grown by 2 px": Kind(size=480, damage=moved_edge(2.0, 0)),
        "480 px, shrunk by 2 px": Kind(size=480, damage=moved_edge(-2.0, 0)),
        "480 px, focal length 10% too long": Kind(size=480, focal=1.1),
        "480 px, focal length 20% too long": Kind(size=480, focal=1.2),
        "480 px, focal length 15% too short": Kind(size=480, focal=0.85),
        "mesh 5% longer on an axis": Kind(stretched=True),
        "principal point off by 3%": Kind(centre=OFF_CENTRE),
        "480 px, focal length unknown, 20% too long to begin with": Kind(size=480, focal=1.2, is_focal_known=False),
    }


def rows(run: Run) -> list[Row]:
    """Errors of every method on the same samples, kind by kind."""
    render.set_num_threads(1)
    meshes = load_test_meshes(run.data)
    table: list[Row] = []
    ours: dict[str, Errors] = {}
    drawn: dict[str, DamagedCase] = {}
    for number, (name, kind) in enumerate(kinds(meshes).items()):
        cases = draw_damaged(meshes, kind, np.random.default_rng([run.seed, 40, number]), run.num_samples)
        for method, options in METHODS.items():
            errors = run.measure(
                f"{name}, {method}",
                len(cases),
                lambda part, cases=cases, options=options: measure(cases, part, options),
                options,
                10,
            )
            table.append({"mask": name, "method": method, **summary(errors), **_of_focal(cases, errors)})
            if method == OURS:
                ours[name] = errors
                drawn[name] = cases[0]
        for method, descend in BASELINES.items():
            errors = run.measure(
                f"{name}, {method}",
                max(2, run.num_samples // SLOW_SHARE),
                lambda part, cases=cases, descend=descend: measure_baseline(cases, part, descend),
                DESCENT,
                10,
            )
            table.append({"mask": name, "method": method, **pose_summary(errors)})
    run.plots.append(_reliability({"all masks": ours, "but for wrong cameras": _without_wrong_cameras(ours)}))
    run.pictures["gallery-pose-damaged"] = _gallery(drawn, ours)
    return table


def draw_damaged(meshes: list[Mesh], kind: Kind, rng: np.random.Generator, count: int) -> list[DamagedCase]:
    """Random test samples of a kind, in any view; one of which too little is seen is drawn again."""
    camera = Camera.from_fov(kind.size, kind.size, VERTICAL_FOV)
    focal_px, centre = camera.fx / kind.focal, camera.cx + kind.centre * kind.size
    true_camera = replace(camera, fx=focal_px, fy=focal_px, cx=centre)
    cases: list[DamagedCase] = []
    with ExitStack() as stack:
        pyrender = stack.enter_context(PyrenderDepth(true_camera))
        while len(cases) < count:
            mesh = meshes[rng.integers(len(meshes))]
            start, truth = draw_poses(PoseSampling(), rng, 1)
            mask = pyrender.render_depth(_stretched(mesh, rng) if kind.stretched else mesh, matrix_from_pose(truth[0])) > 0
            if mask.sum() < MIN_PIXELS[kind.size]:
                continue
            known = None
            if kind.hides is not None:
                hidden = kind.hides(mask, rng)
                mask, known = mask & ~hidden, ~hidden if kind.marked else None
            if kind.damage is not None:
                mask = kind.damage(mask, rng)
            focal_range = None if kind.is_focal_known else (camera.fx / UNKNOWN_FOCAL, camera.fx * UNKNOWN_FOCAL)
            cases.append(DamagedCase(mesh, mask, known, camera, start[0], truth[0], true_camera, focal_range))
    return cases


def measure(cases: list[DamagedCase], part: np.ndarray, options: PoseOptions) -> Errors:
    """Errors of solves, and what they say of themselves."""
    each = []
    for row in part:
        case = cases[row]
        ignore = None if case.known is None else ~case.known
        start = matrix_from_pose(case.start)
        solution = solve_pose(
            case.mask, case.mesh.vertices, case.mesh.faces, case.camera, start, ignore, focal_range=case.focal_range,
            options=options, rng=np.random.default_rng(int(row)),
        )  # fmt: skip
        focal = abs(np.log(solution.camera.fx / case.true_camera.fx))
        each.append({**errors_of(solution, case.mesh, case.truth), "focal": focal})
    return _stacked(each)


def measure_baseline(cases: list[DamagedCase], part: np.ndarray, descend: PoseMethod) -> Errors:
    """Errors of a method that believes the mask and says nothing of itself."""
    each = []
    for row in part:
        case = cases[row]
        trace = descend(PoseCase(case.mesh, case.mask, case.camera, case.start, case.truth), int(row))
        each.append({**_errors_of_pose(trace.poses[-1], case.mesh, case.truth), "seconds": trace.seconds[-1]})
    return _stacked(each)


def _stacked(each: list[dict[str, float | np.ndarray]]) -> Errors:
    return {name: np.array([one[name] for one in each]) for name in each[0]}


def errors_of(solution: PoseSolution, mesh: Mesh, truth: np.ndarray) -> dict[str, float | np.ndarray]:
    """Errors of a solution, plain and to the nearest pose that looks the same, and its verdict on itself."""
    pose = pose_from_matrix(solution.camera_from_object)
    parts = parts_of(find_symmetries(mesh).nearest(pose, truth[:4]), truth)
    return {
        **_errors_of_pose(pose, mesh, truth),
        "is_good": float(solution.verdict is Verdict.GOOD),
        "confidence": solution.confidence,
        "evidence": np.array(solution.evidence),
        "parts": parts,
        "is_within": parts <= np.array(solution.interval),
        "says_focal": float(any("focal length" in note for note in solution.notes)),
        "seconds": solution.seconds,
    }


def _errors_of_pose(pose: np.ndarray, mesh: Mesh, truth: np.ndarray) -> dict[str, float | np.ndarray]:
    rotation_deg, translation = pose_errors(pose[None], truth[None])
    same_deg, same_translation, mssd = errors_modulo(find_symmetries(mesh), pose, truth, mesh)
    return {
        "rotation_deg": float(rotation_deg[0]),
        "translation": float(translation[0]),
        "same_rotation_deg": same_deg,
        "same_translation": same_translation,
        "mssd": mssd,
        "pose": pose,
    }


def parts_of(pose: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(3,) errors of a pose (7,) of a unit mesh as its interval has them: degrees, and diagonals across and along the view."""
    step = SE3().difference(truth, pose)
    return np.array([np.degrees(np.linalg.norm(step[:3])), -truth[6] * np.linalg.norm(step[3:5]), -truth[6] * abs(step[5])])


def is_wrong(errors: Errors) -> np.ndarray:
    """(N,) bool, modulo symmetry."""
    return (errors["same_rotation_deg"] > WRONG_DEG) | (errors["same_translation"] > WRONG_TRANSLATION)


def summary(errors: Errors) -> Row:
    """A row of a table: errors, and what was said of them."""
    wrong, good = is_wrong(errors), errors["is_good"] > 0
    percent = lambda part, whole: float(100 * np.sum(part & whole) / max(1, np.sum(whole)))
    return {
        **pose_summary(errors),
        "good_percent": float(100 * np.mean(good)),
        "wrong_of_good_percent": percent(wrong, good),
        "right_not_good_percent": percent(~good, ~wrong),
        "brier": float(np.mean((errors["confidence"] - ~wrong) ** 2)),
        **{
            f"{name}_within_percent": float(100 * np.mean(within))
            for name, within in zip(PoseInterval._fields, errors["is_within"].T, strict=True)
        },
        "says_focal_percent": float(100 * np.mean(errors["says_focal"])),
    }


def pose_summary(errors: Errors) -> Row:
    rotation_deg, translation = errors["rotation_deg"], errors["translation"]
    return {
        "num_samples": len(rotation_deg),
        "rotation_mean_deg": float(np.mean(rotation_deg)),
        "rotation_median_deg": float(np.median(rotation_deg)),
        "rotation_p95_deg": float(np.percentile(rotation_deg, 95)),
        "translation_median": float(np.median(translation)),
        "outliers_percent": float(100 * np.mean(is_outlier(rotation_deg, translation))),
        "modulo_symmetry_median_deg": float(np.median(errors["same_rotation_deg"])),
        "mssd_median": float(np.median(errors["mssd"])),
        "wrong_percent": float(100 * np.mean(is_wrong(errors))),
        "median_ms": float(1000 * np.median(errors["seconds"])),
    }


def _of_focal(cases: list[DamagedCase], errors: Errors) -> Row:
    """How well a focal length that was not known was found, and with it the distance."""
    if cases[0].focal_range is None:
        return {}
    distance = np.abs(np.log(errors["pose"][:, 6] / np.stack([case.truth[6] for case in cases])))
    return {
        "focal_median_percent": float(100 * np.median(errors["focal"])),
        "distance_median_percent": float(100 * np.median(distance)),
    }


def _without_wrong_cameras(ours: dict[str, Errors]) -> dict[str, Errors]:
    return {name: errors for name, errors in ours.items() if "focal length" not in name and "principal" not in name}


def _reliability(groups: dict[str, dict[str, Errors]]) -> Plot:
    """Of the poses that are sure to some degree, how many are right."""
    curves = {"as it should be": ([0.0, 1.0], [0.0, 1.0])}
    for label, ours in groups.items():
        right = np.concatenate([~is_wrong(errors) for errors in ours.values()])
        sure = np.concatenate([errors["confidence"] for errors in ours.values()])
        rows = [part for part in np.array_split(np.argsort(sure), RELIABILITY_PARTS) if len(part)]
        curves[label] = ([float(sure[part].mean()) for part in rows], [float(right[part].mean()) for part in rows])
    return Plot("pose-reliability", "confidence, mean of an eighth of the poses", "share of them that is right", curves)


def _gallery(cases: dict[str, DamagedCase], ours: dict[str, Errors]) -> Callable[[], np.ndarray]:
    """The first sample of every kind: the mask in white, the object as it was found in colour."""

    def picture() -> np.ndarray:
        panels = []
        for name, case in cases.items():
            surface = Surface(case.mesh.vertices, case.mesh.faces)
            canvas = PoseCanvas.of_size(surface, case.mask.astype(np.float32), case.camera, None, GALLERY_PX)
            errors = {key: values[0] for key, values in ours[name].items()}
            caption = f"{name}: {errors['same_rotation_deg']:.1f} deg"
            panels.append(Panel(canvas.draw(matrix_from_pose(errors["pose"]), CYAN), caption))
        firsts = range(0, len(panels) + 1 - GALLERY_COLUMNS, GALLERY_COLUMNS)
        return np.concatenate([side_by_side(panels[first : first + GALLERY_COLUMNS]) for first in firsts])

    return picture


def _grown_to(share: float, mask: np.ndarray, shape: Callable[[float], np.ndarray]) -> np.ndarray:
    """A shape (H, W) bool of the size at which it covers a share of a mask."""
    low, high = 0.3, 2000.0
    for _ in range(24):
        size = np.sqrt(low * high)
        low, high = (size, high) if (shape(size) & mask).sum() < share * mask.sum() else (low, size)
    return shape(low)


def _hides_about(share: float, hidden: np.ndarray, mask: np.ndarray) -> bool:
    return bool(abs((hidden & mask).sum() / mask.sum() - share) < SHARE_TOLERANCE)


def _turned_shape(
    kind: int, centre: np.ndarray, aspect: float, angle: np.ndarray, image: tuple[int, ...]
) -> Callable[[float], np.ndarray]:
    """A box or an ellipse about a centre (1, 2), by its size."""
    return lambda size: shapes(np.array([kind]), centre, np.array([[size * aspect, size / aspect]]), angle, *image[:2])[0]


def _stretched(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    vertices = mesh.vertices.copy()
    vertices[:, rng.integers(3)] *= STRETCH
    return Mesh(vertices, mesh.faces)
