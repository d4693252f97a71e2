# SPDX-License-Identifier: Apache-2.0
"""The public way to a light: image, geometry and camera in, direction or position and strength out."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, combinations_with_replacement, permutations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from solver_core.errors import ConfigError, SetupError
from solver_core.frames import Camera
from solver_core.loop import LoopSettings
from solver_core.network.update import network_update
from solver_core.network.weights import load_networks, shipped_weights
from solver_core.options import Options, keyword_options, option
from solver_core.problem import Update
from solver_core.problems.lighting.disc import WIDE_DEG, SunSize, softness, sun_size
from solver_core.problems.lighting.features import GRID_SIZE, INPUT_LAYOUT
from solver_core.problems.lighting.known import KnownLight
from solver_core.problems.lighting.lights import CHOICES, LIGHTS, MIXED, Light, kinds_of
from solver_core.problems.lighting.lights.several import NUMBERS
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.misread import LOOKED_INTO, MISTAKES, may_be_misread
from solver_core.problems.lighting.observation import mean_square
from solver_core.problems.lighting.problem import MAP_SIZE, LightingPrediction, LightingProblem
from solver_core.problems.lighting.refine import (
    FINE_LOOP,
    FINE_REACHES,
    REFINE_LOOP,
    SORT_LOOP,
    gauss_newton_update,
    shading_update,
)
from solver_core.problems.lighting.report import DISTINCT_DEG, FLOOR, PROBABLE, Answers, Report, examine, log_evidence
from solver_core.problems.lighting.search import BasisImages, contradicted, distinct_best
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.sky import SKIES, FoundSky, SkyShape
from solver_core.problems.lighting.verdict import judge
from solver_core.render.gbuffer import Albedo, Passes
from solver_core.session import Phase, Session
from solver_core.solution import Iteration, Solution, StopReason, Verdict

TINY = float(np.finfo(np.float32).tiny)
SEARCH_GRID, SEARCH_MAP = 32, 48  # the look at all lights: cells of the grid and texels of the shadow map along a side
NEAR_DEG = 6.0  # lights that are followed are at first at least so far apart
LOOKED_AT = 3  # lights of that look that are compared on the middle grid for each that is followed
FREE_STARTS = 2  # lights that are followed without regard to a strength that is known
# Energies up to which lights are followed: at first, after the first steps of refinement, and on the finest grid.
START_RATIO, START_MORE = 3.0, 0.05
LIKELY_RATIO, LIKELY_MORE = 1.3, 0.005
# Of the light, ambient light that a picture must hold before its surfaces can be seen to light each other: clean pictures of
# validation meshes hold up to 0.03, scenes on a ground from 0.037 on.
LEAST_AMBIENT = 0.035
HOPELESS = 1.3  # times as much is left of the image with indirect light, or by lamps of other kinds: it need not be tried
SET_ASIDE = 1.1  # times as large must the energy be with the strength that is known before it is set aside
FINE_GRID, FINE_MAP = 128, 384  # the last refinement
STARTS_OF_SEVERAL, STARTS_OF_DOUBT = 6, 3  # sets of lamps that are followed, where they were asked for and where not
LEAST_GAIN = 6.0  # logarithm of how much likelier an image must be with one more lamp
# Two lamps are tried if in the look at all lights they leave less than this part of what one leaves, and so much less of the
# squared image.
LEFT_BY_TWO, LEAST_LEFT = 0.85, 0.0005
# As LEAST_GAIN, but unasked: pictures of one sun reached 3.3 on validation meshes, those of two 15 to 60.  Also of how much
# likelier an image must be with its values read otherwise: those that were read rightly lose, misread ones gained 20 or more.
UNASKED_GAIN = 10.0
SOFT_GAIN = 3.0  # as UNASKED_GAIN, of a wide sun: then shadows are soft, and two lamps are tried as well
LEAST_SOFT_GAIN = (
    1.0  # as SOFT_GAIN, where the interval reaches two suns near each other: small suns of validation scenes gain less
)
# Lamps nearer to each other than the first are one that is wide, but for two suns that explain the image by UNASKED_GAIN better
# than a wide one, which pictures of wide suns do but rarely.  None count that are nearer than the second.
LEAST_APART_DEG, NEAREST_DEG = 20.0, 8.0
NAMED = {2: "two", 3: "three"}
POSITION_GAIN = 3.0  # as LEAST_GAIN, of a point light in the place of a sun: it has a number more, and a far one is a sun
UNEXPLAINED = 0.04  # of the energy: from here on a lamp of another kind is thought of, too; most pictures of one sun leave less
FINE_STARTS, FINE_DISTINCT_DEG = 3, 1.5  # answers that it starts from: edges of shadows tell at full size which one is right


@dataclass(frozen=True)
class LightingOptions(Options):
    """What a user may choose about a solve."""

    kind: str = option("sun", "Kind", "Kind of light", choices=CHOICES)
    steps: int = option(  # 7 as in the paper
        7, "Steps", "Number of first steps, each from the difference to the relit image", minimum=0, maximum=50
    )
    refine: bool = option(True, "Refine", "Fits shading and shadow edges closely after the first steps")
    restarts: int = option(
        4,
        "Restarts",
        "Number of other lights, the best of a look at all, that are followed as well",
        minimum=0,
        maximum=64,
    )
    indirect: bool = option(
        True,
        "Indirect Light",
        "Lets surfaces hide the sky from each other and light each other, if that explains the image better; needs restarts",
    )
    lamps: int = option(
        1,
        "Lamps",
        "Number of lamps that are looked for at most; more than one if they explain the image better",
        minimum=1,
        maximum=3,
    )
    sky: str = option("auto", "Sky", "Light from all around that is fitted as well", choices=SKIES)
    fill: bool = option(False, "Fill", "Lets what shines from below the horizon differ from the sky")
    size: bool = option(False, "Sun's Size", "Finds the angle across the sun's disc from how soft its shadows are")
    weights: Path | None = option(None, "Weights", "Networks of the first steps", unset="those that ship")


@dataclass(frozen=True)
class LightingStep:
    """One step of a solve, as the user may watch it.  Within a phase the energy never rises.

    phase: "start", "first", "refine", "fine" or "doubt", in which two lamps, or another way to read the image, are tried and
    the light stays.  kind: of the light.  light: (3,) unit direction towards the sun or position of the light, in the camera's
    frame.  energy: 0 explains the image, 1 nothing.  damping: factor by which the step was taken, 0 = not at all.  seconds
    since the start.
    """

    phase: str
    kind: str
    light: np.ndarray
    energy: float
    damping: float
    seconds: float


@dataclass(frozen=True)
class LightingAlternative:
    """Another light (3,) that explains the image: a direction or a position, as in LightingSolution.light."""

    light: np.ndarray
    probability: float


@dataclass(frozen=True)
class FoundLamp:
    """A lamp of a result, in the camera's frame.

    kind: of the light.  direction: (3,) unit, from the scene towards it.  position: (3,) of one that has it, or None.
    strength: (3,) linear RGB, W/m2 of a sun and W of a point light as in Blender; it includes the albedo where that is unknown.
    report: what the image tells of it.  verdict and explanation: how far it can be trusted, and why.  alternatives: other
    lights that explain the image, the likeliest first.  size: of a sun, if that was asked for.
    """

    kind: str
    direction: np.ndarray
    position: np.ndarray | None
    strength: np.ndarray
    report: Report
    verdict: Verdict
    explanation: str
    alternatives: list[LightingAlternative]
    size: SunSize | None

    @property
    def light(self) -> np.ndarray:
        """(3,) position of a lamp that has one, else its direction."""
        return self.direction if self.position is None else self.position

    @property
    def uncertainty_deg(self) -> float:
        """The angle around the answer within which the lamp lies with a probability of 90 %."""
        return self.report.uncertainty_deg

    @property
    def probability(self) -> float:
        """That this answer is the right one of those found."""
        return float(self.report.probabilities[0])


@dataclass(frozen=True)
class LightingSolution:
    """Result of a solve, in the camera's frame.

    lamps: what was found, the one that lights the scene most first; direction, position, strength, uncertainty_deg,
    probability, report, alternatives, size and light are those of the first.  sky: what shines from all around, None if nothing
    was looked for.  albedo: (M, 3) found for each mesh, relative to that which the strength includes; NaN where it was given
    or is not seen.  image_error: root mean square difference to the relit image, of its bright level.  verdict and explanation:
    how far the lamps can be trusted, and why; they are those of the worst.  reason: why the last phase stopped.  history: all
    steps.  seconds: time of the solve.  known: the known lights that were counted.
    """

    lamps: list[FoundLamp]
    sky: FoundSky | None
    albedo: np.ndarray
    image_error: float
    reason: StopReason
    history: list[LightingStep]
    seconds: float
    known: tuple[KnownLight, ...]

    @property
    def direction(self) -> np.ndarray:
        """(3,) unit, towards the first lamp."""
        return self.lamps[0].direction

    @property
    def position(self) -> np.ndarray | None:
        """(3,) of the first lamp, None of a sun."""
        return self.lamps[0].position

    @property
    def light(self) -> np.ndarray:
        """(3,) position or direction of the first lamp."""
        return self.lamps[0].light

    @property
    def strength(self) -> np.ndarray:
        """(3,) of the first lamp."""
        return self.lamps[0].strength

    @property
    def ambient(self) -> np.ndarray:
        """(3,) mean radiance of the sky."""
        return np.zeros(3) if self.sky is None else self.sky.mean

    @property
    def uncertainty_deg(self) -> float:
        """Of the first lamp."""
        return self.lamps[0].uncertainty_deg

    @property
    def probability(self) -> float:
        """Of the first lamp."""
        return self.lamps[0].probability

    @property
    def report(self) -> Report:
        """On the first lamp; its notes are on all of them."""
        return self.lamps[0].report

    @property
    def alternatives(self) -> list[LightingAlternative]:
        """To the first lamp."""
        return self.lamps[0].alternatives

    @property
    def size(self) -> SunSize | None:
        """Of the first lamp."""
        return self.lamps[0].size

    @property
    def verdict(self) -> Verdict:
        """Of the lamp that is known worst."""
        return self._worst.verdict

    @property
    def explanation(self) -> str:
        """Of that verdict."""
        return self._worst.explanation

    @property
    def _worst(self) -> FoundLamp:
        return max(self.lamps, key=lambda lamp: list(Verdict).index(lamp.verdict))


OnStep = Callable[[LightingStep], None]


@keyword_options(LightingOptions)
def solve_lighting(
    image: np.ndarray,
    vertices: np.ndarray | Sequence[np.ndarray],
    faces: np.ndarray | Sequence[np.ndarray],
    camera: Camera,
    camera_from_object: np.ndarray | Sequence[np.ndarray],
    *,
    albedo: Albedo | Sequence[Albedo] = None,
    strength: float | np.ndarray | None = None,
    mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
    normals: np.ndarray | Sequence[np.ndarray | None] | None = None,
    known: Sequence[KnownLight | Mapping[str, Any]] | None = None,
    passes: Passes | Mapping[str, Any] | None = None,
    up: np.ndarray | None = None,
    options: LightingOptions,
    on_step: OnStep | None = None,
) -> LightingSolution:
    """Sun or point light from one image of known geometry (Ma et al. 2020), refined on the image with its shadows.

    Args:
        image: (H, W, 3) float, linear RGB.
        vertices: (V, 3) in metres, or a list with one entry for each mesh; so are faces, camera_from_object, albedo, normals.
        faces: (F, 3) int, indices into vertices.
        camera: of the image's aspect; the distortion of its lens is taken out of image and mask.
        camera_from_object: (4, 4) rigid transform.
        albedo: linear RGB (3,), by vertex (V, 3) or by face (F, 3), or a Texture; None = unknown and uniform on the mesh.
            Where no albedo is known, the strength includes that of the mesh of which most is seen.
        strength: one number or (3,) RGB, W/m2 of a sun and W of a point light as in Blender; None = unknown.  With it known
            there is no ambient light.
        mask: (H, W), the pixels to use are those of at least 0.5; None = all.
        start: (3,) direction towards the light or its position, in the camera's frame; None = over the camera.
        normals: of smooth surfaces, by vertex (V, 3) or by corner (F, 3, 3); None = flat faces.
        known: other lights that shine as well, such as {"kind": "point", "position": [0, 1, -2], "strength": 60}; see
            KnownLight.  They need the albedo.  One that the image contradicts is set aside, and a note says so.
        passes: pictures by another renderer of albedo, normal and depth, as large as the image and seen through its lens, which
            count instead of those of the meshes; see Passes.
        up: (3,) away from the ground, in the camera's frame, for sky and fill; None = the z axis of the first mesh.
        options: the following all at once, instead of as keyword arguments.
        {options}
        on_step: called with every LightingStep; it cancels the solve by raising Cancelled.

    Returns:
        LightingSolution in the camera's frame.

    Raises:
        ObservationError: if image or mask cannot be used.
        SetupError: if geometry, camera, albedo, strength, start or known lights cannot be used.
        ConfigError: if an option is out of its range.
        WeightsError: if the weights are no networks for this kind of light.
    """
    setup = LightingSetup.checked(
        *(image, vertices, faces, camera, camera_from_object, kinds_of(options.kind)[0].name),
        *(albedo, strength, mask, start, normals, known, passes, up),
    )
    return LightingSession(setup, options).run(on_step)


class _Found(NamedTuple):
    """Lights (B, 3 K) in the scene's frame, and how well they explain the image.

    energy: (B,) with what it costs to set the known strength aside; is_free: (B,) whether that is done.  reasons: why each
    stopped.
    """

    x: np.ndarray
    energy: np.ndarray
    is_free: np.ndarray
    reasons: list[StopReason]

    def of(self, rows: np.ndarray) -> _Found:
        return _Found(self.x[rows], self.energy[rows], self.is_free[rows], [self.reasons[row] for row in rows])

    def best(self) -> _Found:
        """The one of least energy."""
        return self.of(np.array([np.argmin(self.energy)]))


class _State(NamedTuple):
    """An answer and the problems that it answers."""

    problem: LightingProblem
    final: LightingProblem
    found: _Found
    best: _Found

    @property
    def kinds(self) -> tuple[Light, ...]:
        return self.problem.lamps.kinds


class LightingSession(Session[LightingStep, LightingSolution]):
    """A solve under way: first steps, refinement of their answer and of the best of a look at all lights, a finer grid."""

    def __init__(self, setup: LightingSetup, options: LightingOptions) -> None:
        super().__init__()
        if options.kind == MIXED and setup.strength is not None:
            raise SetupError("a known strength is W/m2 of a sun or W of a point light: choose the kind, or leave it out")
        if options.lamps > 1 and setup.strength is not None:
            raise SetupError("a known strength is that of a single light: leave it out, or count the other lights as known")
        missing = _contradicted_lights(setup)
        counted = tuple(light for light in setup.known if light not in missing)
        setup = replace(setup, known=counted, sky=_sky_shape(setup, options))
        self.setup, self.options = setup, options
        self.kinds = kinds_of(MIXED) if options.kind == MIXED else (setup.kind,)
        task, weights = setup.kind.weights, options.weights
        is_known = weights is not None or shipped_weights(task).exists()
        self.networks = load_networks(weights, task, INPUT_LAYOUT) if is_known and options.steps else []
        self.problem = setup.problem(GRID_SIZE, MAP_SIZE)
        self.final = self.problem
        # The best with indirect light if the answer has none, without it if it has; energy: over that of the answer then.
        self.otherwise: _Found | None = None
        self.images: BasisImages | None = None
        self.best = _Found(self._start(), np.array([np.inf]), np.array([False]), [StopReason.MAX_STEPS])
        self.found = self.best
        # Two lamps that explain the image much better than the one, and their lights (K, 3): the stronger, of near ones both.
        self.likelier: tuple[Light, ...] = ()
        # Of a sun that may be wide, as two near each other explain the image as well then, and how much better it does so.
        self.soft: SunSize | None = None
        self.soft_gain = 0.0
        self.stronger: np.ndarray | None = None
        self.read_rightly: np.ndarray | None = None  # (1, 3) the light if the image's values were misread
        unseen = (f"The image does not show the known light {light.name}, so it was not counted." for light in missing)
        self.notes = [*setup.notes, *unseen]

    def phases(self) -> list[Phase]:
        first = [Phase(self._first, self.options.steps)]
        if not self.options.refine:
            return first
        refine_steps = SORT_LOOP.steps + REFINE_LOOP.steps
        one = [*first, Phase(self._refine, refine_steps), Phase(self._finish, FINE_LOOP.steps)]
        steps = refine_steps + FINE_LOOP.steps
        for count in range(1 if len(self.kinds) > 1 else 2, self.options.lamps + 1):
            one.append(Phase(partial(self._with_lamps, count), steps))
        doubts = [Phase(self._doubt, steps), Phase(self._doubt_values, REFINE_LOOP.steps)]
        return [*one, *doubts] if self.options.lamps == 1 and self.options.restarts else one

    def result(self) -> LightingSolution:
        is_free = self.best.is_free
        final, middle = _hypotheses(self.final, is_free), _hypotheses(self.problem, is_free)
        prediction = final.forward(self.best.x, np.zeros(1, dtype=int))
        image_error = self._image_error(prediction)
        order = _brightest_first(final, prediction)
        answers, final, middle = self._answers(order), _in_order(final, order), _in_order(middle, order)
        prediction = prediction._replace(strength=prediction.strength[:, order])
        level, units = self.final.observation.level[0], [kind.strength_unit(final.scene.scale) for kind in final.lamps.kinds]
        strength = prediction.strength[0] * np.stack(units) * level
        notes = list(self.notes)
        if self.setup.strength is not None and is_free[0]:
            ratio = float(strength.mean() / max(self.setup.strength.mean(), TINY))
            notes.insert(
                0, f"The image is {ratio:.2g} times as bright as the known strength makes it, so the strength was fitted."
            )
        lamps = []
        for index, lights in enumerate(final.lamps.each(answers.x)):
            report = examine(final, middle, answers, index)
            if self.stronger is not None:
                off_deg = float(angle_deg(lights[:1], self.stronger).max()) + report.uncertainty_deg
                report = replace(report, uncertainty_deg=min(off_deg, 180.0), notes=[*report.notes, self._two_lamps])
            elif (size := self.soft) is not None:
                is_soft = self.soft_gain >= LEAST_SOFT_GAIN
                off_deg = report.uncertainty_deg + (size.angle_deg / 2 if is_soft else 0)
                report = replace(report, uncertainty_deg=min(off_deg, 180.0), notes=[*report.notes, self._wide_or_two(size)])
            if self.read_rightly is not None:
                off_deg = float(angle_deg(lights[:1], self.read_rightly)[0]) + report.uncertainty_deg
                report = replace(report, uncertainty_deg=min(off_deg, 180.0))
            lamps.append(self._lamp(final, answers, index, lights, strength[index], report, image_error))
        notes = [note for lamp in lamps for note in lamp.report.notes] + notes
        lamps[0].report.notes[:] = dict.fromkeys(notes)
        sky = None
        if self.setup.sky.kind != "none":
            sky = FoundSky(self.setup.sky, prediction.sky[0] * level, self.setup.up)
        return LightingSolution(
            lamps,
            sky,
            self._albedo(prediction),
            image_error,
            StopReason.CANCELLED if self.is_cancelled else self.best.reasons[0],
            self.history,
            self.seconds,
            self.setup.known,
        )

    def _lamp(
        self,
        final: LightingProblem,
        answers: Answers,
        index: int,
        lights: np.ndarray,
        strength: np.ndarray,
        report: Report,
        image_error: float,
    ) -> FoundLamp:
        kind, x = final.lamps.kinds[index], lights[0]
        others = [
            LightingAlternative(self._to_camera(kind, other), float(probability))
            for other, probability in zip(lights[1:], report.probabilities[1:], strict=True)
            if probability >= PROBABLE and angle_deg(x[None], other[None])[0] >= DISTINCT_DEG
        ]
        return FoundLamp(
            kind.name,
            x / np.linalg.norm(x),
            self._to_camera(kind, x) if kind.has_position else None,
            strength,
            report,
            *judge(image_error, report.uncertainty_deg, len(others), bool(self.likelier), self.read_rightly is not None),
            others,
            sun_size(final, answers.x[:1], index) if self.options.size and not kind.has_position else None,
        )

    def _first(self) -> Iterator[LightingStep]:
        """Steps of the networks, or where none ship for this kind of light, least squares on the shading equation."""
        update = network_update(self.problem, self.networks) if self.networks else shading_update(self.problem)
        yield from self._run("first", self.problem, update, self.best, LoopSettings(steps=self.options.steps))

    def _refine(self) -> Iterator[LightingStep]:
        """The first answer and the best of a look at all lights on the middle grid; after a few steps the likely ones only."""
        if self.options.restarts:
            yield from self._sort()
        else:
            yield from self._follow(self.best, SORT_LOOP)
        yield from self._follow(_likely(self.found, LIKELY_RATIO, LIKELY_MORE), REFINE_LOOP)

    def _sort(self) -> Iterator[LightingStep]:
        """A few steps from many starts, without indirect light and, where shadows are not black, with it; the better stays."""
        setup, first = replace(self.setup, has_indirect=True), self.best
        straight = self._look
        yield from self._follow(_likely(self._starts(straight, first), START_RATIO, START_MORE), SORT_LOOP)
        if not self.options.indirect or self._ambient_share() < LEAST_AMBIENT:
            return
        indirect = BasisImages(setup.problem(SEARCH_GRID, SEARCH_MAP), shadings=straight.shadings)
        if indirect.least_rest() > HOPELESS * straight.least_rest():
            return
        before = self.setup, self.images, self.problem, self.found, self.best
        self.setup, self.images, self.problem = setup, indirect, setup.problem(GRID_SIZE, MAP_SIZE)
        yield from self._follow(_likely(self._starts(indirect, first), START_RATIO, START_MORE), SORT_LOOP)
        lost, won = before[-1], self.best
        if won.energy[0] >= lost.energy[0]:
            lost, won = won, lost
            self.setup, self.images, self.problem, self.found, self.best = before
        self.otherwise = lost._replace(energy=(lost.energy + FLOOR) / (won.energy + FLOOR))

    def _ambient_share(self) -> float:
        """How much ambient light a picture holds beside that of the best light, whether or not its strength is known."""
        free = replace(_hypotheses(self.problem, np.ones(1, bool)), alone=None)
        prediction = free.forward(self.best.x, np.zeros(1, dtype=int))
        brightest = max(float(prediction.strength.mean() * prediction.shading.max()), TINY)
        return float(prediction.ambient.mean()) / brightest

    def _starts(self, images: BasisImages, first: _Found) -> _Found:
        """The first answer and the best distinct mixtures of the basis, with the known strength and without."""
        image = images.problem.observation.image[0].mean(axis=1)
        count = 1 + self.options.restarts
        known = None if self.setup.strength is None else float(images.problem.strength.mean())
        found = self._chosen(np.concatenate([first.x, self._mixed(images, image, known)]), False, count)
        if known is None:
            return found
        free = self._chosen(self._mixed(images, image, None), True, min(FREE_STARTS, self.options.restarts))
        x, energy, is_free = (np.concatenate(pair) for pair in zip(found[:3], free[:3], strict=True))
        return _Found(x, energy, is_free, found.reasons + free.reasons)

    def _mixed(self, images: BasisImages, image: np.ndarray, strength: float | None) -> np.ndarray:
        """(N, 3) the best distinct lights of a look at all."""
        mixtures = images.mixtures(image, strength)
        return mixtures.x[distinct_best(mixtures.x, mixtures.left, LOOKED_AT * self.options.restarts, NEAR_DEG)]

    def _chosen(self, x: np.ndarray, is_free: bool, count: int) -> _Found:
        """The best distinct of lights (B, 3) on the middle grid."""
        rows = np.arange(len(x))
        problem = _hypotheses(self.problem, rows < len(x) * is_free)
        energy = problem.energy(problem.forward(x, rows), problem.observation, rows)
        chosen = distinct_best(x, energy, count, NEAR_DEG)
        flags = np.full(len(chosen), is_free)
        return _Found(x[chosen], _cost(energy[chosen], flags), flags, [StopReason.MAX_STEPS] * len(chosen))

    def _finish(self) -> Iterator[LightingStep]:
        """The likeliest answers on a finer grid."""
        self.final = self.setup.problem(FINE_GRID, FINE_MAP)
        yield from self._fine(self.found)

    @property
    def _two_lamps(self) -> str:
        """The sentence that two explain the image better."""
        uneven = "" if self.setup.sky.kind == "gradient" else "a sky that is brighter to one side (sky=gradient), "
        first, second = self.likelier
        if first is not second:
            return (
                f"A {first.label} and a {second.label} explain the image much better than one {self.problem.kind.label}: "
                f"look for both (kind={MIXED}, lamps=2), {uneven}or count the other light as known."
            )
        wide = "or for one that is wide (size=True), " if self.stronger is not None and len(self.stronger) == 2 else ""
        return (
            f"Two {first.label}s explain the image much better than one: look for two (lamps=2), {wide}{uneven}"
            "or count the other light as known."
        )

    def _wide_or_two(self, size: SunSize) -> str:
        """The sentence that a sun may be wide, or two near each other."""
        if self.soft_gain >= LEAST_SOFT_GAIN:
            return (
                f"Shadows are as soft as those of a sun {size.angle_deg:.0f} degrees across (size=True), or of two suns "
                "near each other (lamps=2)."
            )
        return (
            f"Shadows do not tell a small sun from one up to {size.high_deg:.0f} degrees across (size=True), nor from two "
            "suns within that (lamps=2)."
        )

    @property
    def _look(self) -> BasisImages:
        """At all lights, on a coarse grid."""
        self.images = self.images or BasisImages(self.setup.problem(SEARCH_GRID, SEARCH_MAP))
        return self.images

    def _fine(self, found: _Found) -> Iterator[LightingStep]:
        likely = _likely(found, LIKELY_RATIO, LIKELY_MORE)
        likely = likely.of(distinct_best(likely.x, likely.energy, FINE_STARTS, FINE_DISTINCT_DEG))
        finest = _hypotheses(self.final, likely.is_free)
        yield from self._run("fine", finest, gauss_newton_update(finest, FINE_REACHES), likely, FINE_LOOP)

    def _with_lamps(self, count: int) -> Iterator[LightingStep]:
        """As many lamps, if one fewer was found and the image is explained better by them.

        One lamp is already there, and another kind of it counts if it explains the image better.
        """
        if len(self.problem.lamps.kinds) < count - 1:
            return
        fewer = self._state
        if_wide, _ = self._softness() if count == 2 else (0.0, None)
        wanted = [kinds for kinds in combinations_with_replacement(self.kinds, count) if kinds != self.problem.lamps.kinds]
        look = self._look_at(self.kinds)
        left = [look.left_by(kinds) for kinds in wanted] if count < 3 else [0.0] * len(wanted)
        for kinds, kinds_left in zip(wanted, left, strict=True):
            if kinds_left > HOPELESS * min(left):
                continue
            lost = self._state
            yield from self._look_for(look, kinds, STARTS_OF_SEVERAL)
            if count == 1 or lost.problem is not fewer.problem:  # against as many lamps of other kinds
                is_better = self._gain_over(lost.best) >= POSITION_GAIN * (_positions(kinds) - _positions(lost.kinds))
            else:
                is_better = self._is_better(fewer.best, LEAST_GAIN, if_wide)
            if not is_better:
                self._state = lost
        if count == 1 and self.problem is not fewer.problem:
            self.otherwise = None
        elif count > 1 and self.problem is fewer.problem:
            number = "One lamp explains" if count == 2 else "Two lamps explain"
            self.notes.append(f"{number} the image as well as {NAMED[count]}, so no more were counted.")

    def _doubt(self) -> Iterator[LightingStep]:
        """Whether two lamps explain the image much better where only one was looked for: then that one may be wrong."""
        if_wide, size = self._softness()
        if size is not None and size.high_deg > WIDE_DEG and not self.options.size:
            self.soft, self.soft_gain = size, if_wide
        if log_evidence(np.zeros(1))[0] - log_evidence(self.best.energy)[0] < UNASKED_GAIN:
            return  # not even a perfect answer would be so much better
        look, kinds = self._doubted(if_wide)
        if not kinds:
            return
        before = self._state
        try:
            answer = self._to_camera(self.problem.kind, self.best.x[0])
            for step in self._look_for(look, kinds, STARTS_OF_DOUBT):
                shown = {"kind": before.kinds[0].name, "light": answer, "energy": float(before.best.energy[0])}
                yield replace(step, phase="doubt", damping=0.0, **shown)
            if self._is_better(before.best, UNASKED_GAIN + if_wide, if_wide):
                final = _hypotheses(self.final, self.best.is_free)
                order = _brightest_first(final, final.forward(self.best.x, np.zeros(1, dtype=int)))
                lamps = np.concatenate(self.problem.lamps.each(self.best.x))[order]
                are_near = _least_angle_deg(self.problem.lamps.each(self.best.x)) < LEAST_APART_DEG
                self.likelier, self.stronger = kinds, lamps if are_near else lamps[:1]
        finally:  # also where the solve is cancelled on the way
            self._state = before

    def _doubted(self, if_wide: float) -> tuple[BasisImages, tuple[Light, ...]]:
        """A look at all lights, and the kinds of two lamps that may explain the image much better than the one; () = none."""
        kind, look = self.problem.kind, self._look_at((self.problem.kind,))
        with_one, with_two = look.left_by((kind,)), look.left_by((kind, kind))

        def is_less(left: float) -> bool:
            return left <= LEFT_BY_TWO * with_one and with_one - left >= LEAST_LEFT

        if is_less(with_two) or if_wide >= SOFT_GAIN:
            return look, (kind, kind)
        if self.best.energy[0] < UNEXPLAINED:
            return look, ()
        kinds = (kind, *(other for other in LIGHTS.values() if other is not kind))
        look = self._look_at(kinds)
        return look, kinds if is_less(look.left_by(kinds)) else ()

    def _doubt_values(self) -> Iterator[LightingStep]:
        """Whether another light explains the image much better as if its values had been misread."""
        if self.setup.known or not may_be_misread(self.problem):  # what known lights leave is not what was read
            return
        before, look, row = self._state, self._look, np.zeros(1, dtype=int)
        answer = self._to_camera(self.problem.kind, self.best.x[0])
        shown = {"kind": self.problem.kind.name, "light": answer, "energy": float(self.best.energy[0])}

        def evidence(problem: LightingProblem) -> float:
            here = _hypotheses(problem, self.best.is_free)
            return log_evidence(here.energy(here.forward(self.best.x, row), here.observation, row))[0]

        grids = self.problem, self.final  # a coarse one leaves edges unexplained, which count less in flat pictures
        as_read = np.array([evidence(problem) for problem in grids])
        for mistake in MISTAKES:
            other = BasisImages(mistake.undone(look.problem), shadings=look.shadings)
            if other.least_left() > LOOKED_INTO * look.least_left():
                continue
            x = before.best.x
            if other.kind is self.problem.kind:
                x = np.concatenate([x, self._mixed(other, other.problem.observation.image[0].mean(axis=1), None)[:1]])
            is_free = np.repeat(before.best.is_free, len(x))
            starts = _Found(x, np.zeros(len(x)), is_free, [StopReason.MAX_STEPS] * len(x))
            problem = _hypotheses(mistake.undone(self.problem), is_free)
            try:
                for step in self._run("doubt", problem, gauss_newton_update(problem), starts, REFINE_LOOP):
                    yield replace(step, phase="doubt", damping=0.0, **shown)
                gains = [evidence(mistake.undone(problem)) for problem in grids] - as_read
                if min(gains) >= UNASKED_GAIN:
                    self.read_rightly = self.best.x
                    self.notes.insert(0, mistake.sentence)
                    return
            finally:  # also where the solve is cancelled on the way
                self._state = before

    def _look_at(self, kinds: tuple[Light, ...]) -> BasisImages:
        """At all lights of these kinds, as the answer counts light from other surfaces."""
        look = self._look
        return look if kinds == (look.kind,) else BasisImages(look.problem, kinds, look.shadings)

    def _look_for(self, look: BasisImages, kinds: tuple[Light, ...], num_starts: int) -> Iterator[LightingStep]:
        """The best set of lamps of these kinds, from the best of a look."""
        sets = look.sets(kinds, num_starts)
        self.problem, self.final = (replace(one, kind=kinds[0], more=kinds[1:]) for one in (self.problem, self.final))
        x = look.lights[sets].reshape(len(sets), -1).astype(np.float32)
        is_free = np.full(len(x), self.setup.strength is not None)  # a known strength is that of one
        starts = _Found(x, np.zeros(len(x)), is_free, [StopReason.MAX_STEPS] * len(x))
        yield from self._follow(starts, SORT_LOOP)
        yield from self._follow(_likely(self.found, LIKELY_RATIO, LIKELY_MORE), REFINE_LOOP)
        yield from self._fine(self.found)

    def _softness(self) -> tuple[float, SunSize | None]:
        """How much better one sun explains the image if it is wide, and its size; 0 and None of a light that has a position."""
        if self.problem.kind.has_position:
            return 0.0, None
        return softness(_hypotheses(self.problem, self.best.is_free), self.best.x)

    def _gain_over(self, other: _Found) -> float:
        """Logarithm of how much likelier the image is with the answer than with another."""
        return float(log_evidence(self.best.energy)[0] - log_evidence(other.energy)[0])

    def _is_better(self, fewer: _Found, least_gain: float, if_wide: float) -> bool:
        """Whether the lamps explain the image so much better than fewer do, and are really several."""
        gain, kinds = self._gain_over(fewer), self.problem.lamps.kinds
        apart_deg = _least_angle_deg(self.problem.lamps.each(self.best.x))
        if apart_deg >= LEAST_APART_DEG:
            return gain >= least_gain
        if len(kinds) != 2 or _positions(kinds) == 2:
            return False
        is_mixed = _positions(kinds) == 1  # light that falls off with distance differs from a sun's on the same side
        return (is_mixed or apart_deg >= NEAREST_DEG) and gain >= UNASKED_GAIN + if_wide

    def _follow(self, starts: _Found, settings: LoopSettings) -> Iterator[LightingStep]:
        """Refinement on the middle grid."""
        problem = _hypotheses(self.problem, starts.is_free)
        yield from self._run("refine", problem, gauss_newton_update(problem), starts, settings)

    def _run(
        self, phase: str, problem: LightingProblem, update: Update, starts: _Found, settings: LoopSettings
    ) -> Generator[LightingStep, None, None]:
        """Runs the feedback loop and shows the best instance of every iteration, which is self.best at any time."""

        def keep(x: np.ndarray, energy: np.ndarray, reasons: list[StopReason]) -> None:
            self.found = _Found(x, _cost(energy, starts.is_free), starts.is_free, reasons)
            self.best = self.found.best()

        def show(iteration: Iteration) -> LightingStep:
            keep(iteration.x, iteration.energy, [StopReason.CANCELLED] * len(iteration.x))
            row = int(np.argmin(self.found.energy))
            return LightingStep(
                phase if iteration.index else "start",
                problem.kind.name,
                self._to_camera(problem.kind, iteration.x[row]),
                float(self.found.energy[row]),
                float(iteration.damping[row]),
                self.seconds,
            )

        solution: Solution = yield from self._loop(show, problem, update, problem.observation, starts.x, settings)
        keep(solution.x, solution.energy, solution.reasons)

    @property
    def _state(self) -> _State:
        return _State(self.problem, self.final, self.found, self.best)

    @_state.setter
    def _state(self, state: _State) -> None:
        self.problem, self.final, self.found, self.best = state

    def _start(self) -> np.ndarray:
        """(1, 3) the given start or the usual one."""
        if self.setup.start is None:
            return self.setup.kind.start
        return self.setup.kind.from_camera(self.setup.start, self.problem.scene).astype(np.float32)

    def _to_camera(self, kind: Light, x: np.ndarray) -> np.ndarray:
        """(3,) light of a kind, the first in x, in the camera's frame."""
        return kind.to_camera(x[None, :NUMBERS], self.problem.scene)[0]

    def _albedo(self, prediction: LightingPrediction) -> np.ndarray:
        """(M, 3) what was found for each mesh."""
        found = np.full((self.setup.scene.face_object[-1] + 1, 3), np.nan)
        if self.setup.gauge is not None:
            found[self.setup.gauge] = 1
        found[list(self.setup.tinted)] = prediction.tint[0]
        return found

    def _image_error(self, prediction: LightingPrediction) -> float:
        observation = self.final.observation
        squared = mean_square(prediction.image - observation.image)
        return math.sqrt(np.sum(observation.weight * squared) / np.sum(observation.weight))

    def _answers(self, order: np.ndarray) -> Answers:
        """The answer, its lamps (K,) in an order, and the other lights that were followed to the end and are elsewhere.

        Of a single lamp also the best of the other way to count light from other surfaces.
        """
        followed, rows = self.found, np.arange(len(self.found.x))
        problem = _hypotheses(self.final, followed.is_free)
        energy = _cost(problem.image_energy(problem.forward(followed.x, rows), problem.observation), followed.is_free)
        is_best = rows == np.argmin(followed.energy)
        chosen = distinct_best(followed.x, np.where(is_best, -1, energy), len(rows), DISTINCT_DEG)
        lamps = followed.x[chosen].reshape(len(chosen), -1, NUMBERS)
        kinds = self.problem.lamps.kinds
        lamps = np.stack([_matched(one, lamps[0, order], kinds, [kinds[index] for index in order]) for one in lamps])
        x, energy = lamps.reshape(len(chosen), -1), energy[chosen]
        other = self.otherwise
        if other is not None and len(order) == 1 and angle_deg(x, other.x).min() >= FINE_DISTINCT_DEG:
            x, energy = np.concatenate([x, other.x]), np.append(energy, (energy[0] + FLOOR) * other.energy - FLOOR)
        return Answers(x, energy)


def _sky_shape(setup: LightingSetup, options: LightingOptions) -> SkyShape:
    """What was asked for; a fill needs a sky."""
    kind = options.sky
    if kind == "auto":
        kind = "uniform" if setup.strength is None or options.fill else "none"
    if options.fill and kind == "none":
        raise ConfigError("fill is the lower half of the sky: choose a sky, or leave fill off")
    return SkyShape(kind, options.fill)


def _brightest_first(problem: LightingProblem, prediction: LightingPrediction) -> np.ndarray:
    """(K,) order of the lamps by how much light they bring to what is seen."""
    weight = problem.observation.weight[0]
    return np.argsort(-(prediction.shading[0] @ weight) * prediction.strength[0].mean(axis=1), kind="stable")


def _least_angle_deg(lamps: list[np.ndarray]) -> float:
    """The smallest angle between two of K lamps (1, 3)."""
    return min(float(angle_deg(*pair)[0]) for pair in combinations(lamps, 2))


def _in_order(problem: LightingProblem, order: np.ndarray) -> LightingProblem:
    """The problem with its lamps in another order (K,)."""
    first, *more = (problem.lamps.kinds[index] for index in order)
    return replace(problem, kind=first, more=tuple(more))


def _positions(kinds: Sequence[Light]) -> int:
    """How many of the lamps have a position, which is a number more than a direction."""
    return sum(kind.has_position for kind in kinds)


def _matched(lamps: np.ndarray, wanted: np.ndarray, kinds: Sequence[Light], wanted_kinds: Sequence[Light]) -> np.ndarray:
    """Lamps (K, 3) of these kinds in the order in which they are nearest to others (K, 3), which have theirs."""
    orders = [list(order) for order in permutations(range(len(lamps)))]
    orders = [order for order in orders if [kinds[index] for index in order] == list(wanted_kinds)]
    return lamps[min(orders, key=lambda order: float(angle_deg(lamps[order], wanted).sum()))]


def unexplained(setup: LightingSetup) -> float:
    """Share of the squared image that a look at all lights leaves; it tells which of two ways to read a photograph is right."""
    return BasisImages(setup.problem(SEARCH_GRID, SEARCH_MAP)).least_left()


def _contradicted_lights(setup: LightingSetup) -> list[KnownLight]:
    """Those of the known lights that are not in the image."""
    if not setup.known:
        return []
    problem = replace(setup, known=()).problem(SEARCH_GRID, SEARCH_MAP)
    albedo, level = problem.scene.surface.albedo[0], problem.observation.level[0]
    parts = [albedo * light.radiance(problem.scene, SEARCH_MAP) / level for light in setup.known]
    return [setup.known[index] for index in contradicted(problem, np.stack(parts))]


def _hypotheses(problem: LightingProblem, is_free: np.ndarray) -> LightingProblem:
    """One instance once for each of (B,).  is_free: where a known strength is to be found and ambient light is not."""
    many = problem.of(np.zeros(len(is_free), dtype=int))
    return replace(many, strength=np.where(is_free[:, None], np.float32(np.nan), many.strength))


def _cost(energy: np.ndarray, is_free: np.ndarray) -> np.ndarray:
    """(B,) energies, larger where the known strength was set aside."""
    return np.where(is_free, SET_ASIDE * (energy + FLOOR) - FLOOR, energy)


def _likely(found: _Found, ratio: float, more: float) -> _Found:
    """Those whose energy is not much larger than the least, or than the least with the known strength if they have that."""
    is_likely = found.energy <= ratio * found.energy.min() + more
    is_known = ~found.is_free
    if is_known.any():
        is_likely |= is_known & (found.energy <= ratio * found.energy[is_known].min() + more)
    return found.of(np.flatnonzero(is_likely))
