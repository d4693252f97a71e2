"""Table 5: inverse kinematics on every 4th frame of the test clips. [torch]"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.network.torch_modules import TorchNetwork
from solver_core.network.update import Network
from solver_core.network.weights import SHIPPED, load_weights
from solver_core.problems.inverse_kinematics.body import human
from solver_core.problems.inverse_kinematics.clips import load_rotations, split_clips
from solver_core.problems.inverse_kinematics.features import INPUT_LAYOUT
from solver_core.problems.inverse_kinematics.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.metrics import joint_angles_deg
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.refine import FAR, refine
from solver_core.problems.inverse_kinematics.sampler import effectors, limbs
from solver_core.problems.inverse_kinematics.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solve import Trained, solve_ik
from solver_core.problems.inverse_kinematics.start import mean_pose_start

logger = logging.getLogger(__name__)

TITLE = "Table 5: inverse kinematics"
NUM_SAMPLES = 3120  # every 4th frame of the 20 test clips
FRAME_STEP = 4
BATCH = 256
FRAMES_OF_BODY = 64  # other bodies: frames solved together, of one body
MAX_SCALE = 1.25
# Weights trained without some subjects, by training/configs/ik_held_out.toml: they are measured, not shipped.
HELD_OUT_SUBJECTS = ("05", "60", "61", "94")
HELD_OUT_WEIGHTS = Path("runs/ik_held_out/ik_held_out.safetensors")

Row = dict[str, str | float | int]


class Cases(NamedTuple):
    """True rotations x (B, J, 4), rest offsets (B, N, 3) and target weights (N,)."""

    x: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray


class Answers(NamedTuple):
    """Rotations (B, J, 4) and the milliseconds a frame took in each batch."""

    x: np.ndarray
    frame_ms: np.ndarray


def rows(data: Path, num_samples: int, seed: int) -> list[Row]:
    """Errors of every method; all rows but those of the held-out subjects are on the same frames."""
    rng = np.random.default_rng(seed)
    frames = _test_frames(data, rng, num_samples)
    skeleton = human().skeleton
    everything = np.ones(skeleton.num_nodes)
    offsets = np.broadcast_to(skeleton.offsets, (len(frames), *skeleton.offsets.shape))
    plain = Cases(frames, offsets, everything)
    conditions = {
        "as recorded": plain,
        "random yaw": plain._replace(x=_with_random_yaw(frames, rng)),
        "hands, feet, head, hip": plain._replace(weights=effectors(skeleton).astype(float)),
        "other bodies": plain._replace(offsets=_other_bodies(rng, len(frames))),
    }
    trained = _trained(SHIPPED / "ik.safetensors")
    table = [_row("refine alone", "as recorded", plain, _refine_alone(plain))]
    for condition, cases in conditions.items():
        for method, is_refined in (("ours, 4 steps", False), ("ours + refine", True)):
            table.append(_row(method, condition, cases, _solve(cases, trained, is_refined)))
    if HELD_OUT_WEIGHTS.exists():
        cases = plain._replace(x=_test_frames(data, rng, num_samples, HELD_OUT_SUBJECTS))
        cases = cases._replace(offsets=offsets[: len(cases.x)])
        condition = f"subjects {', '.join(HELD_OUT_SUBJECTS)}"
        for name, networks in (("their other clips seen", trained), ("never seen", _trained(HELD_OUT_WEIGHTS))):
            for method, is_refined in (("ours, 4 steps", False), ("ours + refine", True)):
                table.append(_row(method, f"{condition}, {name}", cases, _solve(cases, networks, is_refined)))
    else:
        logger.warning("no rows for subjects never seen: %s is missing", HELD_OUT_WEIGHTS)
    return table


def _test_frames(data: Path, rng: np.random.Generator, count: int, subjects: tuple[str, ...] = ()) -> np.ndarray:
    """(B, J, 4) up to count of every 4th frame of the test clips, of these subjects only if any are named."""
    clips = [clip for clip in split_clips(data, "test") if not subjects or clip.name.split("_")[0] in subjects]
    frames = np.concatenate([load_rotations([clip])[::FRAME_STEP] for clip in clips])
    if count < len(frames):
        frames = frames[np.sort(rng.choice(len(frames), count, replace=False))]
    return frames


def _with_random_yaw(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    skeleton = human().skeleton
    root = skeleton.joint_of_node[skeleton.root]
    angles = rng.uniform(0, 2 * np.pi, size=(len(x), 1))
    turned = x.copy()
    turned[:, root] = rotations.multiply(rotations.wxyz_from_rotvec(angles * np.array([[0, 1, 0]])), x[:, root])
    return turned


def _other_bodies(rng: np.random.Generator, count: int) -> np.ndarray:
    """(B, N, 3) offsets of bodies whose limbs are 0.8 to 1.25 times as long, each by its own factor."""
    skeleton = human().skeleton
    of_bone = limbs(skeleton)
    num_bodies = -(-count // FRAMES_OF_BODY)
    factors = np.exp(rng.uniform(-1, 1, size=(num_bodies, of_bone.max() + 1)) * np.log(MAX_SCALE))
    bodies = factors[:, of_bone, None] * skeleton.offsets
    return bodies.repeat(FRAMES_OF_BODY, axis=0)[:count]


def _trained(path: Path) -> Trained:
    """The networks of a weights file, in torch."""
    stages, info = load_weights(path, "ik", INPUT_LAYOUT)
    networks: list[Network] = []
    for weights in stages:
        network = TorchNetwork(info.spec)
        network.load_numpy_weights(weights)
        networks.append(network.predict)
    return Trained(human(), networks)


def _solve(cases: Cases, trained: Trained, is_refined: bool) -> Answers:
    skeleton = human().skeleton
    targets = forward_kinematics(skeleton, cases.offsets, cases.x.astype(np.float64)).positions
    is_one_body = (cases.offsets == cases.offsets[:1]).all()
    size = BATCH if is_one_body else FRAMES_OF_BODY
    answers, frame_ms = [], []
    for start in range(0, len(targets), size):
        body = Skeleton(skeleton.names, skeleton.parents, cases.offsets[start])
        batch = targets[start : start + size]
        began = time.perf_counter()
        result = solve_ik(batch, body, cases.weights, refine=is_refined, trained=trained)
        frame_ms.append(1000 * (time.perf_counter() - began) / len(batch))
        answers.append(result.rotations[:, skeleton.joints])
    return Answers(np.concatenate(answers), np.array(frame_ms))


def _refine_alone(cases: Cases) -> Answers:
    """Damped least squares from the mean pose, turned towards the targets, without networks."""
    answers, frame_ms = [], []
    for start in range(0, len(cases.x), BATCH):
        rows = slice(start, start + BATCH)
        problem = KinematicProblem(human(), cases.offsets[rows].astype(np.float32))
        positions = problem.forward(cases.x[rows], np.arange(len(problem.offsets))).positions
        began = time.perf_counter()
        targets = Targets(positions, np.broadcast_to(cases.weights.astype(np.float32), positions.shape[:2]))
        answers.append(refine(problem, targets, mean_pose_start(problem, targets), FAR).x)
        frame_ms.append(1000 * (time.perf_counter() - began) / len(positions))
    return Answers(np.concatenate(answers), np.array(frame_ms))


def _row(method: str, condition: str, cases: Cases, answers: Answers) -> Row:
    """Means and medians over all pairs of a frame and a node or joint; times are medians over batches."""
    logger.info("%s, %s: %d frames", method, condition, len(cases.x))
    skeleton = human().skeleton
    wanted, found = (forward_kinematics(skeleton, cases.offsets, x.astype(np.float64)).positions for x in (cases.x, answers.x))
    position_cm = 100 * np.linalg.norm(found - wanted, axis=-1)  # (B, N)
    rotation_deg = joint_angles_deg(answers.x.astype(np.float64), cases.x.astype(np.float64))
    return {
        "method": method,
        "condition": condition,
        "num_samples": len(cases.x),
        "position_mean_cm": float(position_cm.mean()),
        "position_median_cm": float(np.median(position_cm)),
        "given_mean_cm": float(position_cm[:, cases.weights > 0].mean()),
        "worst_frame_cm": float(position_cm.mean(axis=1).max()),
        "rotation_mean_deg": float(rotation_deg.mean()),
        "rotation_median_deg": float(np.median(rotation_deg)),
        "ms_per_frame": float(np.median(answers.frame_ms)),
    }
