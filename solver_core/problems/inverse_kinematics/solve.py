# SPDX-License-Identifier: Apache-2.0
"""solve_inverse_kinematics: joint rotations from joint positions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from solver_core.loop import LoopSettings
from solver_core.network.update import network_update
from solver_core.options import Options, keyword_options, option
from solver_core.problem import Update, in_parts, put, take
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.files.targets import NamedTargets
from solver_core.problems.inverse_kinematics.names.mapping import Matching
from solver_core.problems.inverse_kinematics.placing import up_at_rest
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.refine import (
    END,
    FAR,
    NATURAL,
    POOR,
    REFINE,
    SPREADS,
    bone_length,
    least_squares_update,
    random_start,
)
from solver_core.problems.inverse_kinematics.setup import KinematicSetup
from solver_core.problems.inverse_kinematics.skeleton.kinematics import AT_ONCE
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.closed_form import closed_form_update
from solver_core.problems.inverse_kinematics.solver.evidence import gather
from solver_core.problems.inverse_kinematics.solver.feet import Feet, Footing
from solver_core.problems.inverse_kinematics.solver.follow import Follower
from solver_core.problems.inverse_kinematics.solver.guide import Trained
from solver_core.problems.inverse_kinematics.solver.posterior import Motion, Posterior
from solver_core.problems.inverse_kinematics.solver.smooth import bridged, continuous_signs, smoothed, smoothed_path
from solver_core.problems.inverse_kinematics.solver.start import mean_pose_start
from solver_core.problems.inverse_kinematics.verdict import judge
from solver_core.session import Phase, Session
from solver_core.solution import Iteration, Solution, StopReason, Verdict

STEPS = LoopSettings(steps=4, halvings=3)  # as in the paper
POINT = LoopSettings(steps=1, halvings=0, converged_energy=END)  # the closed form is one step, and worth no part of it
PLANT = replace(REFINE, min_decrease=1e-3)  # held feet are a small part of the energy
NO_FEET = "no feet were found in the skeleton, so none were planted"
WEIGHINGS = 4  # steps after which the motion of noisy targets hardly changes
HISTORY_BYTES = 64e6  # of poses in the history; a step of 10,000 frames of a human is 7e6

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KinematicOptions(Options):
    """What a user may choose about a solve."""

    refine: bool = option(True, "Refine", "Meets the targets exactly after the learned steps")
    restarts: int = option(  # a 6-axis arm needs about 5 without networks, 1 with its own
        16,
        "Restarts",
        "Other starts for a non-human skeleton that misses its targets",
        minimum=0,
        maximum=64,
    )
    noise: float | None = option(
        None,
        "Noise",
        "Noise of the targets, standard deviation of a coordinate; 0 meets them exactly",
        minimum=0,
        maximum=1,
        unit="m",
        unset="found from bones whose lengths change",
    )
    scale: float | None = option(
        None,
        "Scale",
        "Size of the body that was measured, in sizes of the skeleton; 1 takes the targets as they are",
        minimum=0.01,
        maximum=100,
        unset="found from the lengths of bones, for humans",
        named={"auto": None, "none": 1.0},
    )
    smooth: float = option(
        0.0,
        "Smooth",
        "Evens out the motion over time, by a Gaussian of this width",
        minimum=0,
        maximum=1000,
        unit="frames",
    )
    seed: int = option(0, "Seed", "Random seed; the same seed gives the same result", minimum=0)
    feet: str = option(
        "free",
        "Foot Contacts",
        "Whether feet that stand are held where they are, on the floor",
        choices={
            "free": "Feet are where targets and motion put them",
            "plant": "Feet that are low and slow stay where they are, and none goes below the floor",
        },
    )
    floor: float | None = option(
        None,
        "Floor",
        "Height of the floor for planted feet",
        minimum=-1e6,
        maximum=1e6,
        unit="m",
        unset="where they are lowest",
    )
    positions_only: bool = option(
        False,
        "Positions Only",
        "Leaves out how the targets are turned, where their source says so",
    )
    weights: Path | None = option(
        None,
        "Weights",
        "Networks of the learned steps",
        unset="those for humans",
    )


@dataclass(frozen=True, eq=False)
class KinematicStep:
    """One step of a solve, as the user may watch it.

    phase: "start", "network", "closed form", "orient", "refine", "restart", "follow", "weigh", "bridge", "smooth" or "plant".
    x: (F, J, 4) wxyz of the skeleton's joints, the best so far; None in the history of a long motion but for its last steps.
    energies: (F,) root mean square distances to the targets, metres.  num_active: frames that go on.  seconds since the start.
    """

    phase: str
    x: np.ndarray | None
    energies: np.ndarray
    num_active: int
    seconds: float

    @property
    def energy(self) -> float:
        """Mean over the frames, metres."""
        return float(self.energies.mean())


@dataclass(frozen=True, eq=False)
class KinematicResult:
    """Rotations of a skeleton that put its nodes on their targets.

    rotations: (F, N, 4) wxyz in the parents' frames, identity for end sites; their signs do not jump between frames.
    root: (F, 3) position of the root, metres.  position_error: (F, N) metres, nan where no target was given or it was left out.
    noise: of the targets, metres an axis, as given or found.  scale: of the measured body over the skeleton, as given or found;
    root and position_error are at the skeleton's size.  is_bridged: (F, N) targets that were missing or left out and bridged.
    verdict and explanation: how far the motion can be trusted, and why.  reasons: why each frame stopped.
    history: all steps.  seconds: time of the solve.  notices: sentences about what was found in the input.
    matching: which named targets were taken for which nodes, and which were guessed and left out; None where targets had no
    names.  footing: how far feet that stand slide and go below the floor, before they were planted and now; None where that
    was not asked for.
    """

    rotations: np.ndarray
    root: np.ndarray
    position_error: np.ndarray
    noise: float
    scale: float
    is_bridged: np.ndarray
    verdict: Verdict
    explanation: str
    reasons: list[StopReason]
    history: list[KinematicStep]
    seconds: float
    notices: tuple[str, ...]
    matching: Matching | None = None
    footing: tuple[Footing, Footing] | None = None

    @property
    def reason(self) -> StopReason:
        """The reason of the frame that is farthest off."""
        return self.reasons[int(np.argmax(np.nan_to_num(self.position_error).max(axis=1)))]


OnStep = Callable[[KinematicStep], None]


@keyword_options(KinematicOptions)
def solve_inverse_kinematics(
    targets: np.ndarray | NamedTargets,
    skeleton: Skeleton,
    target_weights: np.ndarray | None = None,
    start: np.ndarray | None = None,
    limits: np.ndarray | None = None,
    *,
    options: KinematicOptions,
    on_step: OnStep | None = None,
    mapping: Mapping[str, str] | None = None,
    target_map: Mapping[str, str | Sequence[str]] | None = None,
    trained: Trained | None = None,
    limit_axes: np.ndarray | None = None,
    rest: np.ndarray | None = None,
    orientations: np.ndarray | None = None,
) -> KinematicResult:
    """The rotations of a skeleton whose nodes are nearest to the targets and, where those leave a choice, natural.

    Non-human skeletons are refined with restarts, from the answer of their own networks or else from the rest pose.

    Args:
        targets: (F, N, 3) or (N, 3) metres, one for each node, nan = not given; or named ones, as read_targets gives them.
        skeleton: with N nodes.
        target_weights: (N,) or (F, N), at least 0; 0 = not given.  None = all alike.
        start: (F, N, 4) or (N, 4) wxyz to refine from, instead of the networks' answer.
        limits: (N, 3, 2) lowest and highest Euler angle about x, y and z, radians in Blender's XYZ order; infinite where
            free, equal where locked.
        options: the following all at once, instead of as keyword arguments.
        {options}
        on_step: called with every KinematicStep; it cancels the solve by raising Cancelled.
        mapping: nodes of the trained body -> nodes of the skeleton; None finds it by the names or the shape.
        target_map: nodes of the skeleton -> names of targets, several mean the middle of them; None finds it by the names.
        trained: networks that are not in a file, and the body that they are for; instead of the option weights.
        limit_axes: (N, 3, 3) rotations whose columns are the x, y and z that the limits are about, such as a rolled bone's.
        rest: (N, 4) wxyz rotations of the skeleton in a pose in which it stands upright, the arms lowered or stretched out;
            None where it stands so without any rotation.  Not together with limits.
        orientations: (F, N, 4) or (F, J, 4) wxyz of the nodes or the joints in the world, nan where unknown: they tell twist
            and how hands, feet and head are turned; where positions contradict, these are met.  None = those of named targets.

    Returns:
        KinematicResult with the rotations and the root's positions.

    Raises:
        ObservationError: if the targets cannot be used.
        SetupError: if skeleton, start, limits, mapping or rest cannot be used.
        ConfigError: if an option is out of its range.
        WeightsError: if the weights are no networks for this.
    """
    trained = trained or Trained.of(options.weights)
    setup = KinematicSetup.checked(
        targets, skeleton, target_weights, start, limits, mapping, target_map, trained, limit_axes, rest, orientations
    )
    return KinematicSession(setup, options).run(on_step)


Steps = Generator[KinematicStep, None, None]


class KinematicSession(Session[KinematicStep, KinematicResult]):
    """A solve under way: the networks or the closed form, refinement or weighing, restarts, gaps, smoothing.

    evidence: what is known of the targets.  x: (F, J, 4) wxyz of the skeleton's joints, the best so far.  root: (F, 3) where
    it is not simply where the targets want it, else None.  reasons: why each frame stopped.
    """

    def __init__(self, setup: KinematicSetup, options: KinematicOptions) -> None:
        super().__init__()
        self.setup, self.options = setup, options
        is_human = setup.guide is not None and setup.guide.transfer.body is human()
        scale = options.scale if is_human or options.scale is not None else 1.0
        self.evidence = gather(setup.given, setup.problem.skeleton, options.noise, scale)
        self.notices = (*setup.notices, *self.evidence.notices)
        for notice in self.evidence.notices:  # the others were logged when they were found
            log.warning(notice)
        self.x = self._first_pose()
        self.root: np.ndarray | None = None
        self.orientations = None if options.positions_only else setup.orientations
        self.footing: tuple[Footing, Footing] | None = None
        self.reasons = [StopReason.MAX_STEPS] * len(self.x)

    def phases(self) -> list[Phase]:
        """The targets never get farther, but where they are weighed or rotations are smoothed."""
        setup, options, guide = self.setup, self.options, self.setup.guide
        is_rig = guide is None or guide.transfer.body is not human()
        refined = REFINE.steps + (0 if guide is None else NATURAL.steps)
        is_exact = self.evidence.noise == 0
        phases = []
        if setup.start is None:
            phases.append(Phase(self._point, 1) if guide is None else Phase(self._ask_networks, STEPS.steps))
        if self.orientations is not None and self.orientations.is_aligned:
            phases.append(Phase(self._take_orientations, 1))
        if options.refine and is_rig and setup.start is None:
            phases.append(Phase(self._refine_from_several, FAR.steps))
        elif options.refine and is_exact:
            phases.append(Phase(lambda: self._refine("refine"), refined))
        if options.refine and is_exact and len(self.x) > 1:
            phases.append(Phase(self._follow, 1))
        if options.refine and self.orientations is not None:
            phases.append(Phase(self._orient if is_exact else self._take_orientations, 1))
        if options.refine and not is_exact:
            phases.append(Phase(self._weigh, WEIGHINGS))
        elif self.evidence.is_lost.any() and len(self.x) > 1:
            phases.append(Phase(self._bridge, refined if options.refine else 1))
        if options.smooth > 0 and len(self.x) > 1:
            phases.append(Phase(self._smooth, 1))
        if options.feet == "plant":
            phases.append(Phase(self._plant, REFINE.steps))
        return phases

    def result(self) -> KinematicResult:
        evidence, x, skeleton = self.evidence, self.x, self.setup.problem.skeleton
        root = self.root_of(x, np.arange(len(x)))
        nodes = self.setup.problem.forward(x, np.arange(len(x))).positions + root[:, None]
        error = np.linalg.norm(evidence.positions - nodes, axis=-1)
        error = np.where(np.isfinite(evidence.variance), error, np.nan)
        every_rotation = np.zeros((len(x), skeleton.num_nodes, 4))
        every_rotation[..., 0] = 1
        every_rotation[:, skeleton.joints] = continuous_signs(self.setup.to_own(x))
        return KinematicResult(
            every_rotation,
            root,
            error,
            evidence.noise * evidence.scale,
            evidence.scale,
            evidence.is_lost,
            *judge(error, skeleton, () if self.setup.matching is None else self.setup.matching.missing_parts),
            [StopReason.CANCELLED] * len(x) if self.is_cancelled else self.reasons,
            self.history,
            self.seconds,
            self.notices,
            self.setup.matching,
            self.footing,
        )

    def root_of(self, x: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """(B, 3) position of the root, metres, for poses x (B, J, 4) of some frames (B,)."""
        if self.root is not None:
            return self.root[frames]
        problem, known = self.setup.problem, take(self.evidence.known, frames)
        posture = problem.forward(x, frames)
        return (self.evidence.origin[frames] + problem.shift(known.positions - posture.positions, known))[:, 0]

    def _first_pose(self) -> np.ndarray:
        """(F, J, 4) the given start or the rest pose."""
        problem = self.setup.problem
        if self.setup.start is not None:
            return self.setup.start
        shape = (len(problem.offsets), problem.skeleton.num_joints, 1)
        return problem.within_limits(np.tile(np.array([1, 0, 0, 0], np.float32), shape))

    def _point(self) -> Steps:
        """Bones at their targets, in closed form from the rest pose."""
        update = closed_form_update(self.setup.problem)
        yield from self._improve("closed form", self.setup.problem, POINT, self.evidence.observation, update)

    def _ask_networks(self) -> Steps:
        guide, observation = self.setup.guide, self.evidence.observation
        assert guide is not None
        transfer = guide.transfer
        problem = transfer.problem(len(observation.positions), self.setup.problem.limits)
        targets = transfer.targets(observation)
        update = in_parts(network_update(problem, guide.networks), AT_ONCE)

        def show(iteration: Iteration) -> KinematicStep:
            size = transfer.scale  # of the skeleton; the networks' body has its own
            x = self.setup.problem.within_limits(transfer.to_skeleton(iteration.x))
            return self._show("network", replace(iteration, x=x, energy=size * iteration.energy))

        solution = yield from self._loop(show, problem, update, targets, mean_pose_start(problem, targets), STEPS)
        self.reasons = solution.reasons

    def _take_orientations(self) -> Steps:
        """Joints turned as the targets are."""
        assert self.orientations is not None
        taken = self.orientations.aligned(self.setup.problem, self.x).taken(self.setup.problem, self.x)
        yield self._shown("orient", self.setup.problem.within_limits(taken))

    def _orient(self) -> Steps:
        """What positions leave open, turned as the targets are."""
        assert self.orientations is not None
        problem = self.setup.problem
        is_given = self.evidence.known.weights > 0
        turned = self.orientations.aligned(problem, self.x).with_positions(problem, self.x, is_given)
        yield self._shown("orient", problem.within_limits(turned))
        yield from self._improve("orient", problem, REFINE, self.evidence.known)

    def _refine(self, phase: str) -> Steps:
        """With joints turning as in motions and then, where that does not meet the targets, freely."""
        problem, guide, known = self.setup.problem, self.setup.guide, self.evidence.known
        if guide is not None:
            natural = replace(problem, body=guide.transfer.natural_body)
            yield from self._improve(phase, natural, NATURAL, known)
            yield from self._improve(phase, problem, POINT, known, closed_form_update(problem))
        yield from self._improve(phase, problem, REFINE, known)

    def _refine_from_several(self) -> Steps:
        """From the present poses; then, where that fails, from others: those of frames beside that succeeded, or random ones.

        Far from the answer least squares gets stuck; a body without trained networks needs several tries.
        """
        problem, known, rng = self.setup.problem, self.evidence.known, np.random.default_rng(self.options.seed)
        first = yield from self._improve("refine", problem, FAR, known)
        best, energies = first.x, first.energy
        bound = POOR * bone_length(problem) + self.evidence.noise
        has_spread = False  # whether the last try helped frames that others may now start from
        for spread in np.linspace(*SPREADS, self.options.restarts):
            rows = np.flatnonzero(energies > bound)
            if len(rows) == 0:
                return
            good = np.flatnonzero(energies <= bound)
            if len(good) and (has_spread or spread == SPREADS[0]):
                start = best[_nearest(rows, good)]
            else:
                start = random_start(problem, best[rows], spread, rng)
            part = replace(problem, offsets=problem.offsets[rows])

            def improved(tried: Iteration | Solution, rows=rows, best=best, energies=energies) -> tuple[np.ndarray, np.ndarray]:
                """Poses and energies of all frames, if those of a try that explains them better are taken."""
                is_better = tried.energy < energies[rows]
                better = rows[is_better]
                return put(best, better, tried.x[is_better]), put(energies, better, tried.energy[is_better])

            def show(iteration: Iteration, improved=improved) -> KinematicStep:
                x, energy = improved(iteration)
                return self._show("restart", replace(iteration, x=x, energy=energy))

            update = in_parts(least_squares_update(part), AT_ONCE)
            tried = yield from self._loop(show, part, update, take(known, rows), start, FAR)
            for number in np.flatnonzero(tried.energy < energies[rows]):
                self.reasons[rows[number]] = tried.reasons[number]
            has_spread = bool((tried.energy <= bound).any())
            best, energies = improved(tried)
            self.x = best

    def _follow(self) -> Steps:
        """Joints that turn over between two frames do not, where the targets can be met so."""
        followed = Follower(self.setup.problem, self.evidence.known).followed(self.x)
        if followed is not self.x:
            yield self._shown("follow", followed)

    def _weigh(self) -> Steps:
        """The likeliest motion: targets against networks and neighbouring frames."""
        evidence, guide, problem = self.evidence, self.setup.guide, self.setup.problem
        body = problem.body if guide is None else guide.transfer.natural_body
        posterior = Posterior(problem, evidence.positions, evidence.variance, self.x, body.axes)
        motion = posterior.start(Motion(self.x, self.root_of(self.x, np.arange(len(self.x)))))
        for _ in range(WEIGHINGS):
            motion = posterior.improved(motion)
            self.root = motion.root
            yield self._shown("weigh", motion.x.astype(np.float32))
        self.reasons = [StopReason.STALLED] * len(self.x)

    def _bridge(self) -> Steps:
        """Joints whose bones have lost their targets go on from where they were to where they are found again."""
        skeleton, is_lost = self.setup.problem.skeleton, self.evidence.is_lost
        is_guess = np.zeros((len(self.x), skeleton.num_joints), bool)
        for level in skeleton.levels:
            for joint, node in zip(level.parent_joints, level.nodes, strict=True):
                is_guess[:, joint] |= is_lost[:, node]
        if self.orientations is not None:
            is_guess &= ~self.orientations.is_known
        yield self._shown("bridge", self.setup.problem.within_limits(bridged(self.x, is_guess)))
        if self.options.refine:
            yield from self._improve("bridge", self.setup.problem, REFINE, self.evidence.known)

    def _smooth(self) -> Steps:
        width = self.options.smooth
        self.root = smoothed_path(self.root_of(self.x, np.arange(len(self.x))), width)
        yield self._shown("smooth", self.setup.problem.within_limits(smoothed(self.x, width)))

    def _plant(self) -> Steps:
        """Feet that stand are held, the other nodes stay near where they are."""
        setup, problem, rows = self.setup, self.setup.problem, np.arange(len(self.x))
        if not setup.ankles:
            self.notices = (*self.notices, NO_FEET)
            return
        skeleton = problem.skeleton
        root = self.root_of(self.x, rows)
        positions = problem.forward(self.x, rows).positions + root[:, None]
        up = up_at_rest(skeleton)
        feet = Feet.found(positions, skeleton, setup.ankles, up, setup.frame_time, self.options.floor)
        held = feet.held(positions, skeleton.root)
        yield from self._improve("plant", problem, PLANT, held)
        placed = problem.forward(self.x, rows).positions
        root = root + problem.shift(held.positions - placed, held)[:, 0]
        before, now = feet.footing(positions), feet.footing(placed + root[:, None])
        self.root, self.footing = root, (before, now)
        self.notices = (
            *self.notices,
            f"feet were planted on a floor at {feet.floor:.3f} m: where they stand they slide {1000 * now.slide:.2f} mm a "
            f"frame instead of {1000 * before.slide:.2f}, and are {1000 * now.penetration:.2f} mm below it instead of "
            f"{1000 * before.penetration:.2f}",
        )
        yield self._shown("plant", self.x)

    def _improve(
        self, phase: str, problem: KinematicProblem, settings: LoopSettings, targets: Targets, update: Update | None = None
    ) -> Generator[KinematicStep, None, Solution]:
        """Steps from the present poses on, of least squares unless another update is given."""
        update = in_parts(least_squares_update(problem) if update is None else update, AT_ONCE)
        solution = yield from self._loop(
            lambda iteration: self._show(phase, iteration), problem, update, targets, self.x, settings
        )
        self.x, self.reasons = solution.x, solution.reasons
        return solution

    def _passed(self, iteration: Iteration) -> Iteration:
        return replace(iteration, x=iteration.x[:0])

    def _shown(self, phase: str, x: np.ndarray) -> KinematicStep:
        """The step that takes all frames to poses x (F, J, 4)."""
        rows, known = np.arange(len(x)), self.evidence.known
        energy = self.setup.problem.energy(self.setup.problem.forward(x, rows), known, rows)
        every = np.ones(len(x), bool)
        return self._show(phase, Iteration(1, x, None, energy, every.astype(float), every, every, self.seconds))

    def _show(self, phase: str, iteration: Iteration) -> KinematicStep:
        self.x = iteration.x
        room = max(1, int(HISTORY_BYTES // self.x.nbytes))
        if room <= len(self.history):
            self.history[-room] = replace(self.history[-room], x=None)
        phase = phase if self.history else "start"
        x = self.setup.to_own(iteration.x)
        return KinematicStep(phase, x, iteration.energy, int(iteration.is_active.sum()), self.seconds)


def _nearest(frames: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each of the frames the nearest one of others, which are in order."""
    after = np.clip(np.searchsorted(among, frames), 1, len(among) - 1) if len(among) > 1 else np.zeros(len(frames), int)
    before = np.maximum(after - 1, 0)
    return np.where(frames - among[before] <= among[after] - frames, among[before], among[after])
