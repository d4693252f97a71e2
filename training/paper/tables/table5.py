# SPDX-License-Identifier: Apache-2.0
"""Table 5: inverse kinematics on every 4th frame of the test clips, and beside other solvers on fewer of them. [torch]"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core import render, rotations
from solver_core.command.pictures import Panel, side_by_side
from solver_core.loop import LoopSettings, solve
from solver_core.network.torch_modules import TorchNetwork
from solver_core.network.update import Network
from solver_core.network.weights import SHIPPED, load_weights
from solver_core.problems.inverse_kinematics.drawing import View
from solver_core.problems.inverse_kinematics.features import INPUT_LAYOUT
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.metrics import joint_angles_deg
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.refine import FAR, REFINE, least_squares_update
from solver_core.problems.inverse_kinematics.sampler import effectors, limbs
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solve import KinematicOptions, KinematicStep, solve_inverse_kinematics
from solver_core.problems.inverse_kinematics.solver.guide import Trained
from solver_core.problems.inverse_kinematics.solver.start import mean_pose_start
from solver_core.problems.inverse_kinematics.training.clips import load_rotations, split_clips
from solver_core.solution import Iteration, Solution
from training.paper.baselines import deep6d, kinematics
from training.paper.evaluation import Errors, Row, Run, warn_missing
from training.paper.histories import (
    at_steps,
    at_times,
    best_median_worst,
    success_by_start,
    times_sooner,
    where_it_changes,
)
from training.paper.plots import Plot

logger = logging.getLogger(__name__)

TITLE = "Table 5: inverse kinematics"
NUM_SAMPLES = 3120  # every 4th frame of the 20 test clips
QUICK_SAMPLES = 50
FRAME_STEP = 4
BATCH = 256
FRAMES_OF_BODY = 64  # other bodies: frames solved together, of one body
MAX_SCALE = 1.25
COMPARED_STEP = 10  # the slow solvers, and all others beside them, get every 10th of the frames, every 40th of the clips
COMPARED_BATCH = 104
COMPARED = "every 40th frame"
NUM_STEPS = 60  # shown of the errors against the step
OWN_FINAL = 1.01  # a solver is taken to be done when its mean error is within 1 % of its last
SOLVED_DEG = 1.0  # mean over the joints, for the plot of success: positions alone do not tell a right pose
# Weights trained without some subjects, by training/configs/inverse_kinematics_held_out.toml: they are measured, not shipped.
HELD_OUT_SUBJECTS = ("05", "60", "61", "94")
HELD_OUT_WEIGHTS = Path("runs/held_out/inverse_kinematics_held_out.safetensors")
DEEP6D_WEIGHTS = Path("runs/deep6d/deep6d.safetensors")  # training/paper/train_deep6d.py


class Cases(NamedTuple):
    """True rotations x (B, J, 4), rest offsets (B, N, 3) and target weights (N,)."""

    x: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray

    def of(self, rows: np.ndarray | slice) -> Cases:
        return Cases(self.x[rows], self.offsets[rows], self.weights)

    def positions(self, x: np.ndarray) -> np.ndarray:
        """(B, N, 3) float64 of the nodes for rotations x (B, J, 4)."""
        return forward_kinematics(human().skeleton, self.offsets, x.astype(np.float64)).positions


class Answers(NamedTuple):
    """Rotations (B, J, 4), the seconds that the whole batch took, and rotations on the way with the seconds up to each."""

    x: np.ndarray
    seconds: float
    history: list[tuple[float, np.ndarray]]


Method = Callable[[Cases], Answers]
Solver = Callable[[KinematicProblem, Targets, np.ndarray], Solution]  # from rotations x0 (B, J, 4)


def rows(run: Run) -> list[Row]:
    """Errors of every method; all rows of a condition are on the same frames."""
    render.set_num_threads(1)
    rng = np.random.default_rng(run.seed)
    frames = _test_frames(run.data, rng, run.num_samples)
    skeleton = human().skeleton
    offsets = np.broadcast_to(skeleton.offsets, (len(frames), *skeleton.offsets.shape))
    plain = Cases(frames, offsets, np.ones(skeleton.num_nodes))
    conditions = {
        "as recorded": plain,
        "random yaw": plain._replace(x=_with_random_yaw(frames, rng)),
        "hands, feet, head, hip": plain._replace(weights=effectors(skeleton).astype(float)),
        "other bodies": plain._replace(offsets=_other_bodies(rng, len(frames))),
    }
    trained = _trained(SHIPPED / "inverse_kinematics.safetensors")
    table = [_row("refine alone", "as recorded", plain, _measure(run, "refine alone", "as recorded", plain, _REFINE_ALONE))]
    for condition, cases in conditions.items():
        for method, is_refined in (("ours, 4 steps", False), ("ours + refine", True)):
            errors = _measure(run, method, condition, cases, _ours(trained, is_refined))
            table.append(_row(method, condition, cases, errors))
            if condition == "as recorded":
                run.pictures[f"gallery-ik-{'refined' if is_refined else 'steps'}"] = partial(_draw_ranked, plain, errors)
    table += _compared(run, plain.of(slice(None, None, COMPARED_STEP)), trained)
    if HELD_OUT_WEIGHTS.exists():
        cases = plain._replace(x=_test_frames(run.data, rng, run.num_samples, HELD_OUT_SUBJECTS))
        cases = cases._replace(offsets=offsets[: len(cases.x)])
        for seen, networks in (("their other clips seen", trained), ("never seen", _trained(HELD_OUT_WEIGHTS))):
            condition = f"subjects {', '.join(HELD_OUT_SUBJECTS)}, {seen}"
            for method, is_refined in (("ours, 4 steps", False), ("ours + refine", True)):
                errors = _measure(run, method, condition, cases, _ours(networks, is_refined))
                table.append(_row(method, condition, cases, errors))
    else:
        warn_missing("subjects never seen", HELD_OUT_WEIGHTS)
    return table


def _compared(run: Run, cases: Cases, trained: Trained) -> list[Row]:
    """Rows of all solvers on the same frames, with how much earlier ours is as good as each ends; and the plots."""
    poses = load_rotations(split_clips(run.data, "train"))[::FRAME_STEP]
    prior = kinematics.AnglePrior.of_poses(human().skeleton, poses)
    steps, refined = _ours(trained, False), _ours(trained, True)
    lbfgs, adam = partial(kinematics.lbfgs, prior=prior), partial(kinematics.adam, prior=prior)
    methods: dict[str, Method] = {
        "L-BFGS": _from(None, lbfgs),
        "Adam": _from(None, adam),
        "refine alone": _REFINE_ALONE,
        "ours, 4 steps": steps,
        "ours + refine": refined,
        "ours, 4 steps, then L-BFGS": _from(steps, lbfgs),
    }
    if DEEP6D_WEIGHTS.exists():
        regression = _from(None, partial(deep6d.deep6d, deep6d.load(DEEP6D_WEIGHTS)))
        methods["Deep6D"] = regression
        methods["Deep6D + refine"] = _from(regression, _least_squares(REFINE))
    else:
        logger.warning("no rows for Deep6D: %s is missing; training/paper/train_deep6d.py makes it", DEEP6D_WEIGHTS)
    errors = {name: _measure(run, name, COMPARED, cases, method, COMPARED_BATCH) for name, method in methods.items()}
    table = [_row(name, COMPARED, cases, of_method) for name, of_method in errors.items()]
    by_time = {name: of_method["by_time"].mean(axis=0) for name, of_method in errors.items()}
    for row in table:
        row["speed_up_at_equal_accuracy"] = times_sooner(by_time["ours + refine"], by_time[str(row["method"])], OWN_FINAL)
    run.plots += _plots(errors)
    return table


def _plots(errors: dict[str, Errors]) -> list[Plot]:
    """Errors against time and against the step, and success against how far off the start is, of each method."""
    against_time, against_step, success = {}, {}, {}
    for name, of_method in errors.items():
        against_time[name] = where_it_changes(of_method["by_time"].mean(axis=0))
        against_step[name] = (list(range(NUM_STEPS)), of_method["by_step"].mean(axis=0).tolist())
        is_solved = of_method["rotation_deg"].mean(axis=1) < SOLVED_DEG
        success[name] = success_by_start(of_method["by_step"][:, 0], is_solved)
    distance = "mean distance of the nodes, cm"
    return [
        Plot("ik-error-against-time", "ms a frame, in batches, one thread", distance, against_time, True, True),
        Plot("ik-error-against-step", "step", distance, against_step, is_y_log=True),
        Plot("ik-success", "mean distance at the start, cm", f"frames within {SOLVED_DEG:g} degree, %", success),
    ]


def _draw_ranked(cases: Cases, errors: Errors) -> np.ndarray:
    """Picture of the best, median and worst frame: bones as found, dots where the nodes should be."""
    distance_cm = errors["position_cm"].mean(axis=1)
    chosen = best_median_worst(distance_cm)
    rows = np.array(list(chosen.values()))
    found, wanted = (cases.of(rows).positions(x[rows]) for x in (errors["x"], cases.x))
    view = View(human().skeleton, np.concatenate([found, wanted]))
    captions = [f"{rank}: {distance_cm[row]:.2g} cm" for rank, row in chosen.items()]
    pictures = [view.draw(found[number], wanted[number]) for number in range(len(rows))]
    return side_by_side([Panel(picture, caption) for picture, caption in zip(pictures, captions, strict=True)])


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
    stages, info = load_weights(path, "inverse_kinematics", INPUT_LAYOUT)
    networks: list[Network] = []
    for weights in stages:
        network = TorchNetwork(info.spec)
        network.load_numpy_weights(weights)
        networks.append(network.predict)
    return Trained(human(), networks)


def _ours(trained: Trained, is_refined: bool) -> Method:
    def method(cases: Cases) -> Answers:
        skeleton = human().skeleton
        body = Skeleton(skeleton.names, skeleton.parents, cases.offsets[0])
        targets = cases.positions(cases.x)
        began = time.perf_counter()
        result = solve_inverse_kinematics(
            targets, body, cases.weights, options=KinematicOptions(refine=is_refined), trained=trained
        )
        seconds = time.perf_counter() - began
        return Answers(result.rotations[:, skeleton.joints], seconds, _timed(result.history, seconds))

    return method


def _from(start: Method | None, solver: Solver) -> Method:
    """A solver that starts from another method's answer or else from the mean pose, turned towards the targets."""

    def method(cases: Cases) -> Answers:
        problem = KinematicProblem(human(), cases.offsets.astype(np.float32))
        positions = cases.positions(cases.x).astype(np.float32)
        targets = Targets.exact(positions, np.broadcast_to(cases.weights.astype(np.float32), positions.shape[:2]))
        first = None if start is None else start(cases)
        began = time.perf_counter()
        x0 = mean_pose_start(problem, targets) if first is None else first.x.astype(np.float32)
        solution = solver(problem, targets, x0)
        seconds = time.perf_counter() - began
        history = _timed(solution.history, seconds)
        if first is None:
            return Answers(solution.x, seconds, history)
        later = [(first.seconds + since, x) for since, x in history]
        return Answers(solution.x, first.seconds + seconds, first.history + later)

    return method


def _least_squares(settings: LoopSettings) -> Solver:
    return lambda problem, targets, x0: solve(problem, least_squares_update(problem), targets, x0, settings)


_REFINE_ALONE = _from(None, _least_squares(FAR))


def _timed(history: Sequence[Iteration] | Sequence[KinematicStep], seconds: float) -> list[tuple[float, np.ndarray]]:
    """Seconds since the beginning of a call and rotations, of its steps.

    What of the call's seconds was spent outside of them counts as spent before the first.
    """
    before = seconds - history[-1].seconds
    return [(before + step.seconds, step.x) for step in history if step.x is not None]


def _measure(run: Run, name: str, condition: str, cases: Cases, method: Method, batch: int = BATCH) -> Errors:
    """Per frame: rotations x, distances of the nodes, angles of the joints, time, and the mean distance on the way."""
    if (cases.offsets != cases.offsets[:1]).any():
        batch = FRAMES_OF_BODY

    def measured(rows: np.ndarray) -> Errors:
        part = cases.of(rows)
        wanted = part.positions(part.x)
        answers = method(part)
        seconds, on_the_way = zip(*answers.history, strict=True)
        distances = [np.linalg.norm(part.positions(x) - wanted, axis=-1) for x in (answers.x, *on_the_way)]
        by_iteration = 100 * np.mean(distances[1:], axis=2)  # (T, B)
        return {
            "x": answers.x.astype(np.float32),
            "position_cm": 100 * distances[0],
            "rotation_deg": joint_angles_deg(answers.x.astype(np.float64), part.x.astype(np.float64)),
            "ms": np.full(len(rows), 1000 * answers.seconds / len(rows)),
            "by_time": at_times(np.array(seconds) / len(rows), by_iteration),
            "by_step": at_steps(by_iteration, NUM_STEPS),
        }

    return run.measure(f"{name}, {condition}", len(cases.x), measured, chunk_size=batch)


def _row(method: str, condition: str, cases: Cases, errors: Errors) -> Row:
    """Means and medians over all pairs of a frame and a node or joint; times are medians over frames."""
    position_cm, rotation_deg = errors["position_cm"], errors["rotation_deg"]  # (B, N), (B, J)
    return {
        "method": method,
        "condition": condition,
        "num_samples": len(position_cm),
        "position_mean_cm": float(position_cm.mean()),
        "position_median_cm": float(np.median(position_cm)),
        "given_mean_cm": float(position_cm[:, cases.weights > 0].mean()),
        "worst_frame_cm": float(position_cm.mean(axis=1).max()),
        "rotation_mean_deg": float(rotation_deg.mean()),
        "rotation_median_deg": float(np.median(rotation_deg)),
        "ms_per_frame": float(np.median(errors["ms"])),
    }
