"""solve_inverse_kinematics: joint rotations from joint positions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver_core.loop import LoopSettings
from solver_core.network.update import network_update
from solver_core.options import Options, keyword_options, option
from solver_core.problem import in_parts, put, take
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.files.targets import NamedTargets
from solver_core.problems.inverse_kinematics.names.mapping import Matching
from solver_core.problems.inverse_kinematics.problem import KinematicProblem
from solver_core.problems.inverse_kinematics.refine import (
    FAR,
    NATURAL,
    POOR,
    REFINE,
    bone_length,
    least_squares_update,
    random_starts,
)
from solver_core.problems.inverse_kinematics.setup import KinematicSetup
from solver_core.problems.inverse_kinematics.skeleton.kinematics import AT_ONCE
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.guide import Trained
from solver_core.problems.inverse_kinematics.solver.smooth import continuous_signs, smoothed
from solver_core.problems.inverse_kinematics.solver.start import mean_pose_start
from solver_core.problems.inverse_kinematics.verdict import judge
from solver_core.session import Phase, Session
from solver_core.solution import Iteration, Solution, StopReason, Verdict

STEPS = LoopSettings(steps=4, halvings=3)  # as in the paper
HISTORY_BYTES = 64e6  # of poses in the history; a step of 10,000 frames of a human is 7e6


@dataclass(frozen=True)
class KinematicOptions(Options):
    """What a user may choose about a solve."""

    refine: bool = option(True, "Refine", "Meets the targets exactly after the learned steps")
    restarts: int = option(  # a 6-axis arm needs about 5 without networks, 1 with its own
        16,
        "Restarts",
        "Number of other starts that are tried for a non-human skeleton where it does not meet its targets",
        minimum=0,
        maximum=64,
    )
    smooth: float = option(
        0.0, "Smooth", "Evens out the rotations over time, by a Gaussian of this width", minimum=0, maximum=1000, unit="frames"
    )
    seed: int = option(0, "Seed", "Random seed; the same seed gives the same result", minimum=0)


@dataclass(frozen=True, eq=False)
class KinematicStep:
    """One step of a solve, as the user may watch it.

    phase: "start", "network", "refine", "restart" or "smooth".  x: (F, J, 4) wxyz of the skeleton's joints, the best so far;
    None in the history of a long motion but for its last steps.  energies: (F,) root mean square distances to the targets,
    metres.  num_active: frames that go on.  seconds since the start.
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
    root: (F, 3) position of the root, metres.  position_error: (F, N) metres, nan where no target was given.
    verdict and explanation: how far the motion can be trusted, and why.  reasons: why each frame stopped.
    history: all steps.  seconds: time of the solve.  notices: sentences about what was found in the input.
    matching: which named targets were taken for which nodes, and which were guessed and left out; None where targets had no
    names.
    """

    rotations: np.ndarray
    root: np.ndarray
    position_error: np.ndarray
    verdict: Verdict
    explanation: str
    reasons: list[StopReason]
    history: list[KinematicStep]
    seconds: float
    notices: tuple[str, ...]
    matching: Matching | None = None

    @property
    def reason(self) -> StopReason:
        """The reason of the frame that is farthest off."""
        return self.reasons[int(np.argmax(np.nan_to_num(self.position_error).max(axis=1)))]


OnStep = Callable[[KinematicStep], None]


@keyword_options(KinematicOptions)
def solve_inverse_kinematics(
    targets: np.ndarray | NamedTargets,
    skeleton: Skeleton,
    weights: np.ndarray | None = None,
    start: np.ndarray | None = None,
    limits: np.ndarray | None = None,
    *,
    options: KinematicOptions,
    on_step: OnStep | None = None,
    mapping: Mapping[str, str] | None = None,
    target_map: Mapping[str, str | Sequence[str]] | None = None,
    trained: Trained | None = None,
    limit_axes: np.ndarray | None = None,
) -> KinematicResult:
    """The rotations of a skeleton whose nodes are nearest to the targets and, where those leave a choice, natural.

    Non-human skeletons are refined with restarts, from the answer of their own networks or else from the rest pose.

    Args:
        targets: (F, N, 3) or (N, 3) metres, one for each node, nan = not given; or named ones, as read_targets gives them.
        skeleton: with N nodes.
        weights: (N,) or (F, N), at least 0; 0 = not given.  None = all alike.
        start: (F, N, 4) or (N, 4) wxyz to refine from, instead of the networks' answer.
        limits: (N, 3, 2) lowest and highest Euler angle about x, y and z, radians in Blender's XYZ order; infinite where
            free, equal where locked.
        options: the following all at once, instead of as keyword arguments.
        {options}
        on_step: called with every KinematicStep; it cancels the solve by raising Cancelled.
        mapping: nodes of the trained body -> nodes of the skeleton; None finds it by the names or the shape.
        target_map: nodes of the skeleton -> names of targets, several mean the middle of them; None finds it by the names.
        trained: other networks than those for humans.
        limit_axes: (N, 3, 3) rotations whose columns are the x, y and z that the limits are about, such as a rolled bone's.

    Returns:
        KinematicResult with the rotations and the root's positions.

    Raises:
        ObservationError: if the targets cannot be used.
        SetupError: if skeleton, start, limits or mapping cannot be used.
        ConfigError: if an option is out of its range.
    """
    setup = KinematicSetup.checked(targets, skeleton, weights, start, limits, mapping, target_map, trained, limit_axes)
    return KinematicSession(setup, options).run(on_step)


Steps = Generator[KinematicStep, None, None]


class KinematicSession(Session[KinematicStep, KinematicResult]):
    """A solve under way: the networks, refinement, restarts, smoothing.

    x: (F, J, 4) wxyz of the skeleton's joints, the best so far.  reasons: why each frame stopped.
    """

    def __init__(self, setup: KinematicSetup, options: KinematicOptions) -> None:
        super().__init__()
        self.setup, self.options = setup, options
        self.x = self._first_pose()
        self.reasons = [StopReason.MAX_STEPS] * len(self.x)

    def phases(self) -> list[Phase]:
        """The targets never get farther, but where rotations are smoothed."""
        setup, options, guide = self.setup, self.options, self.setup.guide
        refined = REFINE.steps + (0 if guide is None else NATURAL.steps)
        phases = []
        if setup.start is None and guide is not None:
            phases.append(Phase(self._ask_networks, STEPS.steps))
        if options.refine and (setup.start is not None or guide is not None):
            phases.append(Phase(lambda: self._refine("refine"), refined))
        if options.refine and setup.start is None and (guide is None or guide.transfer.body is not human()):
            phases.append(Phase(self._refine_from_several, FAR.steps))
        if options.smooth > 0 and len(self.x) > 1:
            phases.append(Phase(self._smooth, refined if options.refine else 1))
        return phases

    def result(self) -> KinematicResult:
        problem, request, x = self.setup.problem, self.setup.request, self.x
        skeleton, observation = problem.skeleton, request.observation
        posture = problem.forward(x, np.arange(len(x)))
        shift = problem.shift(observation.positions - posture.positions, observation)
        error = np.linalg.norm(problem.residuals(posture, observation), axis=-1)
        error = np.where(observation.weights > 0, error, np.nan)
        every_rotation = np.zeros((len(x), skeleton.num_nodes, 4))
        every_rotation[..., 0] = 1
        every_rotation[:, skeleton.joints] = continuous_signs(x)
        return KinematicResult(
            every_rotation,
            (request.origin + shift)[:, 0],
            error,
            *judge(error, skeleton, () if self.setup.matching is None else self.setup.matching.missing_parts),
            [StopReason.CANCELLED] * len(x) if self.is_cancelled else self.reasons,
            self.history,
            self.seconds,
            request.notices,
            self.setup.matching,
        )

    def _first_pose(self) -> np.ndarray:
        """(F, J, 4) the given start or the rest pose."""
        problem = self.setup.problem
        if self.setup.start is not None:
            return self.setup.start
        shape = (len(problem.offsets), problem.skeleton.num_joints, 1)
        return problem.within_limits(np.tile(np.array([1, 0, 0, 0], np.float32), shape))

    def _ask_networks(self) -> Steps:
        guide, observation = self.setup.guide, self.setup.request.observation
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

    def _refine(self, phase: str) -> Steps:
        """As motions go and then, where that does not meet the targets, anyhow."""
        problem, guide = self.setup.problem, self.setup.guide
        if guide is not None:
            yield from self._improve(phase, replace(problem, body=guide.transfer.natural_body), NATURAL)
        yield from self._improve(phase, problem, REFINE)

    def _refine_from_several(self) -> Steps:
        """From the present pose; then, frame by frame where that fails, from others.

        Far from the answer least squares gets stuck; a body without trained networks needs several tries.
        """
        problem, observation = self.setup.problem, self.setup.request.observation
        starts = random_starts(problem, self.x, self.options.restarts, np.random.default_rng(self.options.seed))
        first = yield from self._improve("refine", problem, FAR)
        best, energies = first.x, first.energy
        for start in starts:
            rows = np.flatnonzero(energies > POOR * bone_length(problem))
            if len(rows) == 0:
                return
            part = replace(problem, offsets=problem.offsets[rows])

            def improved(tried: Iteration | Solution, rows=rows, best=best, energies=energies) -> tuple[np.ndarray, np.ndarray]:
                """Poses and energies of all frames, if those of a try that explains them better are taken."""
                is_better = tried.energy < energies[rows]
                better = rows[is_better]
                return put(best, better, tried.x[is_better]), put(energies, better, tried.energy[is_better])

            def show(iteration: Iteration, improved=improved) -> KinematicStep:
                x, energy = improved(iteration)
                return self._show("restart", replace(iteration, x=x, energy=energy))

            tried = yield from self._loop(show, part, least_squares_update(part), take(observation, rows), start[rows], FAR)
            for number in np.flatnonzero(tried.energy < energies[rows]):
                self.reasons[rows[number]] = tried.reasons[number]
            best, energies = improved(tried)
            self.x = best

    def _smooth(self) -> Steps:
        self.x = self.setup.problem.within_limits(smoothed(self.x, self.options.smooth))
        if self.options.refine:
            yield from self._refine("smooth")

    def _improve(
        self, phase: str, problem: KinematicProblem, settings: LoopSettings
    ) -> Generator[KinematicStep, None, Solution]:
        """Least squares from the present poses on."""
        observation = self.setup.request.observation
        update = in_parts(least_squares_update(problem), AT_ONCE)
        solution = yield from self._loop(
            lambda iteration: self._show(phase, iteration), problem, update, observation, self.x, settings
        )
        self.x, self.reasons = solution.x, solution.reasons
        return solution

    def _passed(self, iteration: Iteration) -> Iteration:
        return replace(iteration, x=iteration.x[:0])

    def _show(self, phase: str, iteration: Iteration) -> KinematicStep:
        self.x = iteration.x
        room = max(1, int(HISTORY_BYTES // self.x.nbytes))
        if room <= len(self.history):
            self.history[-room] = replace(self.history[-room], x=None)
        phase = phase if self.history else "start"
        return KinematicStep(phase, iteration.x, iteration.energy, int(iteration.is_active.sum()), self.seconds)
