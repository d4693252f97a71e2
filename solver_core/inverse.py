# SPDX-License-Identifier: Apache-2.0
"""Any program as the forward process of an inverse problem, in a few lines.

    def landing(x):                                   # (D,) -> (K,)
        return ...

    problem = sc.inverse_problem(forward=landing, space=sc.Box([5, 20], [30, 70]), noise=0.1)
    weights = sc.train(problem, out="runs/landing")
    result = sc.solve(problem, observed, weights=weights)
    print(result.x, result.spread)

The network sees x, f(x), y and y - f(x), each in its usual size: numbers as a vector, pictures as an image.
"""

from __future__ import annotations

import functools
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.checks import checked_array
from solver_core.errors import ConfigError, ObservationError, SetupError, plain_line, shown
from solver_core.gauss_newton import Known, derivatives, gauss_newton_update, tangent
from solver_core.manifolds import Box, Euclidean, Manifold, Product, checked_start
from solver_core.network.spec import NetworkSpec
from solver_core.problem import Features, Samples, Update
from solver_core.problem_kind import Ends, Instance, ProblemKind
from solver_core.solution import Judgement, Verdict

NUM_PROBED = 64  # random points whose predictions say what size is usual; as many runs of f, once in a process
PROBE_SEED = 0
DRAWS = 20  # rounds of drawing again what failed before samples are given up
FAILED = 1e30  # energy of a run that gave no answer: more than any other, and finite
LARGEST = 10.0  # usual sizes; what is farther off looks as far to the network
SHARE_OF_WIDTH = 0.25  # of a box: a typical step, of which networks give multiples
TRIED = 1e-4  # of a typical step: how far derivatives look
HIDDEN = (128, 128, 128)
CONVOLUTIONS = ((16, 2), (32, 2), (64, 2))
GOOD_NOISES, DOUBTFUL_NOISES = 2.0, 4.0  # root mean square of what is left, where the noise is known
GOOD_SHARE, DOUBTFUL_SHARE = 0.05, 0.3  # the same of the usual size of an observation, where it is not
UNSEEN = 1e-3  # of the usual size of an observation: smaller changes tell nothing, where the noise is not known
UNDETERMINED = 0.5  # of the standard deviation that the space allows: an answer that is known no better is not determined
FLAT = 1e-12  # of the largest eigenvalue of a normal matrix: rounding
ALIKE = 9.0  # more squared errors than the answer leaves (three sigma): another fits about as well
DISTINCT_SPREADS, DISTINCT = 4.0, 0.03  # answers are distinct that are farther apart, in spreads and in what the space allows
ELSEWHERE = 2  # starts far from a good answer that are followed, for others
APART = 0.3  # of what the space allows, in root mean square: how far such starts are from the answer and from each other

Forward = Callable[[np.ndarray], Any]
Sampler = Callable[[np.random.Generator, int], np.ndarray]


def inverse_problem(
    forward: Forward,
    space: Manifold,
    sampler: Sampler | None = None,
    *,
    name: str = "inverse_problem",
    start: Any = None,
    noise: float | np.ndarray | None = None,
    is_batched: bool = False,
) -> InverseKind:
    """A problem to train, solve and measure, from a forward process f, where its unknown x lives, and which x are usual.

    Args:
        forward: f, from x to what is observed: a number, (K,) numbers, or a picture (H, W) or (H, W, C).  nan, or an
            ArithmeticError or ValueError, says that a run failed; the first error is told with the verdict, and every other
            exception, or one of a batched f, ends the solve.  Or an Executable.  Derivatives are never asked for.
        space: where x lives, such as Box(low, high), UnitSphere() or SO3Power(n); see manifolds.py.
        sampler: (rng, count) -> (count, ...) usual x to train on; None = random ones of the space.
        name: of the problem, in weights files and as it is registered.
        start: the x that every solve starts from; None = the middle of a box, else a usual x.
        noise: standard deviation of the observation's error, in its units, one or one for each number; samples get it too.
            None = not known, and samples have none.
        is_batched: whether f takes (B, ...) and gives (B, ...), all at once.

    Returns:
        A ProblemKind: for `train`, `solve`, `testing.check_problem` and entry points.  Workers of a training import the
        functions by name, so they cannot be lambdas.

    Raises:
        ConfigError: an argument is of another form.
    """
    for argument, value in (("forward", forward), ("sampler", sampler)):
        if not callable(value) and (argument == "forward" or value is not None):
            raise ConfigError(f"{argument} must be a function, got {shown(value)}")
    if not all(hasattr(space, needed) for needed in ("dim", "retract", "difference", "random")):
        raise ConfigError(f"space must be a manifold such as Box(low, high), got {shown(space)}")
    if not isinstance(name, str):
        raise ConfigError(f"name must be a text, got {shown(name)}")
    if start is not None:
        checked_start(start, space.random(np.random.default_rng(PROBE_SEED), 1).shape[1:], space, ConfigError)
    if noise is not None:
        error = checked_array(noise, "noise", "() or that of an observation", ConfigError)
        if not (error.size and np.isfinite(error).all() and (error > 0).all()):
            raise ConfigError(f"noise must be positive, got {shown(noise)}; None = not known")
        noise = error.astype(float)[()]
    return InverseKind(name, forward, space, sampler, start, noise, is_batched or getattr(forward, "is_batched", False))


@dataclass(frozen=True, eq=False)
class InverseKind(ProblemKind):
    """What inverse_problem gives; see there for the fields."""

    name: str
    forward: Forward
    space: Manifold
    sampler: Sampler | None
    start: Any
    noise: float | np.ndarray | None
    is_batched: bool
    failures: list[str] = field(default_factory=list, repr=False)  # what the first run that failed said, if one did

    @property
    def input_layout(self) -> str:
        return f"{self.name} 1: f(x), y, y - f(x), x of {self.space}"

    def make_sampler(self, data: Path, split: str, settings: dict[str, Any]) -> ProgramSampler:
        if settings:
            raise ConfigError(f"{self.name} takes nothing in [sampling], got {', '.join(sorted(settings))}")
        return ProgramSampler(self)

    def network_spec(self, settings: dict[str, Any]) -> NetworkSpec:
        """settings: `hidden`, widths; `convolutions`, a list of [channels, stride], of pictures."""
        unknown = set(settings) - {"hidden", "convolutions"}
        if unknown:
            raise ConfigError(f"unknown key {sorted(unknown)[0]!r} in [network]; known: hidden, convolutions")
        hidden, dim = tuple(settings.get("hidden", HIDDEN)), self.space.dim
        size = self.start_point.size
        if not self.is_picture:
            return NetworkSpec(dim, hidden, vector_size=size + 3 * self.usual.mean.size, skip=True)
        layers = settings.get("convolutions", CONVOLUTIONS)
        height, width, channels = _picture(np.zeros((1, *self.usual.mean.shape))).shape[1:]
        return NetworkSpec(
            outputs=dim,
            hidden=hidden,
            vector_size=size,
            image_size=max(height, width),
            image_channels=3 * channels,
            convolutions=tuple((channels, stride) for channels, stride in layers),
        )

    def measure(self, problem: Any, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"distance": self.space.distance(x, x_true)}

    def instance(self, observation: Any) -> Instance:
        """observation: (K,) or (H, W[, C]), or a batch of them, or a dict with it as "y"."""
        if isinstance(observation, dict) and "y" not in observation:
            raise ObservationError(f"a file of an observation must hold it under the key y, it has {shown(list(observation))}")
        shape = self.usual.mean.shape
        if self.noise is not None and np.shape(self.noise) not in ((), (1,), shape):
            raise ConfigError(f"noise must be one number or of shape {shape}, got {np.shape(self.noise)}")
        y = observation["y"] if isinstance(observation, dict) else observation
        y = checked_array(y, "the observation", str(shape), ObservationError).astype(float)
        y = y[None] if y.ndim == 0 else y
        y = y[None] if y.shape == shape else y
        if y.shape[1:] != shape or not np.isfinite(y).all():
            raise ObservationError(f"the observation must be finite numbers of shape {shape}, or a batch, got {y.shape}")
        return Instance(ProgramProblem(self, is_kept=True), y, np.repeat(self.start_point[None], len(y), axis=0))

    def refinement(self, instance: Instance) -> Update:
        assert isinstance(instance.problem, ProgramProblem)
        tried = TRIED * self.typical_step
        return gauss_newton_update(instance.problem, self.residual, tried, self.typical_step, instance.problem.known)

    def starts(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return self.points(rng, count)

    def elsewhere(self, instance: Instance, x: np.ndarray) -> np.ndarray | None:
        """(ELSEWHERE, B, ...) of the unknowns that `usual` asked f for, those which explain the observation best."""
        tried, prediction = self.usual.x, self.usual.prediction
        starts = []
        for one, observed in zip(x, instance.observation, strict=True):
            energy = np.square(self.residual(prediction, np.broadcast_to(observed, prediction.shape))).mean(axis=1)
            taken = [one]
            for number in np.argsort(energy):
                if len(taken) <= ELSEWHERE and all(self._apart(tried[number], other) > APART for other in taken):
                    taken.append(tried[number])
            if len(taken) <= ELSEWHERE:
                return None
            starts.append(taken[1:])
        return np.stack(starts, axis=1)

    def _apart(self, x: np.ndarray, other: np.ndarray) -> float:
        """Distance of two x, as a share of what the space allows."""
        step = self.space.difference(x[None], other[None])[0] / self._unit
        return float(np.sqrt(np.mean(step**2)))

    def spread(self, instance: Instance, x: np.ndarray) -> np.ndarray | None:
        """(B, D) standard deviation of x along each direction of a step, from the noise; None where that is not known.

        What f does not tell of is as uncertain as the space allows.
        """
        return None if self.noise is None else self._spread(instance, x)

    def _spread(self, instance: Instance, x: np.ndarray) -> np.ndarray:
        """The same in any case; asked for once, which runs f."""
        assert isinstance(instance.problem, ProgramProblem)
        known = instance.problem.spread
        if known is None or not np.array_equal(known[0], x):
            known = instance.problem.spread = x, self._measured_spread(instance, x)
        return known[1]

    def _measured_spread(self, instance: Instance, x: np.ndarray) -> np.ndarray:
        rows, scale = np.arange(len(x)), TRIED * self.typical_step
        left = self.residual(instance.problem.forward(x, rows), instance.observation)
        jacobian = derivatives(instance.problem, self.residual, scale, x, left, instance.observation, rows) * self._unit
        jacobian = jacobian if self.noise is not None else jacobian / UNSEEN
        tangents, spread = tangent(self.space, x, TRIED * self._unit), np.empty((len(x), len(scale)))
        for row in rows:
            is_step, axes = np.linalg.eigh(tangents[row])
            basis = axes[:, is_step > 0.5].T
            value, turn = np.linalg.eigh(basis @ jacobian[row].T @ jacobian[row] @ basis.T)
            axes = (turn.T @ basis) ** 2
            reach = np.min((self.allowed / self._unit) ** 2 / np.maximum(axes, FLAT), axis=1)  # as far as every number may go
            is_known = value > FLAT * max(value.max(), 1)
            variance = np.where(is_known, np.minimum(1 / np.where(is_known, value, 1), reach), reach)[:, None]
            with np.errstate(invalid="ignore"):  # none of what nothing bounds
                spread[row] = np.sqrt(np.sum(np.where(axes > FLAT, axes * variance, 0), axis=0))
        return np.minimum(spread * self._unit, self.allowed)

    def doubts(self, instance: Instance, x: np.ndarray) -> list[str]:
        """Which unknowns the observations do not determine."""
        is_open = self._spread(instance, x) >= UNDETERMINED * self.allowed
        if not is_open.any():
            return []
        name = "x[{}]" if isinstance(self.space, Box | Euclidean) else "direction {} of a step"
        names = ", ".join(name.format(number) for number in np.flatnonzero(is_open.any(axis=0)))
        which = "the observation does" if len(x) == 1 else f"{is_open.any(axis=1).sum()} of {len(x)} observations do"
        return [f"{which} not determine {names}"]

    def alternatives(self, instance: Instance, x: np.ndarray, energy: np.ndarray, ends: list[Ends]) -> list[np.ndarray]:
        """Ends that leave about as little and are farther from the answer, and from each other, than the noise explains."""
        size = instance.observation[0].size
        apart = DISTINCT_SPREADS * self._spread(instance, x) + DISTINCT * self._unit
        floor = UNSEEN**2 if self.noise is None else 1.0
        found = []
        for one, least, near, (others, left) in zip(x, energy, apart, ends, strict=True):
            distinct = [one]
            for number in np.argsort(left):
                far = [np.abs(self.space.difference(known[None], others[number][None])[0]) > near for known in distinct]
                if left[number] <= least + ALIKE * max(least, floor) / size and all(is_far.any() for is_far in far):
                    distinct.append(others[number])
            found.append(np.array(distinct[1:]).reshape(-1, *one.shape))
        return found

    def judge(self, energy: np.ndarray, start_energy: np.ndarray) -> Judgement:
        misfit = float(np.sqrt(energy.max()))
        unit, good, doubtful = "the usual size of an observation", GOOD_SHARE, DOUBTFUL_SHARE
        if self.noise is not None:
            unit, good, doubtful = "the noise", GOOD_NOISES, DOUBTFUL_NOISES
        if misfit >= FAILED**0.5:
            return Judgement(Verdict.BAD, f"every run of the forward process failed{self._failures_told}")
        verdict = Verdict.GOOD if misfit <= good else Verdict.DOUBTFUL if misfit <= doubtful else Verdict.BAD
        return Judgement(verdict, f"what the answer leaves unexplained is {misfit:.3g} times {unit}{self._failures_told}")

    @property
    def _failures_told(self) -> str:
        failures = self.failures or getattr(self.forward, "failures", [])
        return f"; some runs of f failed, the first with: {failures[0]}" if failures else ""

    def run(self, x: np.ndarray) -> np.ndarray:
        """F of every row, (B, ...) float64; nan where a run failed.  Raises SetupError for another shape."""
        y = self._run(x)
        return np.full((len(x), *self.usual.mean.shape), np.nan) if y is None else y

    def _run(self, x: np.ndarray) -> np.ndarray | None:
        """The same; None where every run failed, so that the shape is not known."""
        if self.is_batched:
            y = self._numbers(self.forward(x))
            if y.ndim < 2 or len(y) != len(x):
                raise SetupError(f"{self.name}: f of {len(x)} unknowns must give as many rows, got shape {y.shape}")
            return y
        runs = [self._run_one(one) for one in x]
        shapes = {run.shape for run in runs if run is not None}
        if len(shapes) > 1:
            raise SetupError(f"{self.name}: f must give arrays of one shape, got {', '.join(map(str, shapes))}")
        if not shapes:
            return None
        failed = np.full(shapes.pop(), np.nan)
        return np.stack([failed if run is None else run for run in runs])

    def _run_one(self, x: np.ndarray) -> np.ndarray | None:
        try:
            y = self.forward(x)
        except (ArithmeticError, ValueError) as error:
            if not self.failures:
                self.failures.append(plain_line(f"{type(error).__name__}: {error}"))
            return None
        return np.atleast_1d(self._numbers(y))

    def _numbers(self, y: Any) -> np.ndarray:
        if y is None:
            raise SetupError(f"{self.name}: f returned nothing; it must return what would be observed")
        try:
            if np.iscomplexobj(y):
                raise TypeError("complex")
            return np.asarray(y, dtype=float)
        except (TypeError, ValueError) as error:
            raise SetupError(f"{self.name}: f must return real numbers, got {shown(y)}") from error

    def points(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(B, ...) usual x.  Raises ConfigError for a sampler that gives something else."""
        if self.sampler is None:
            return self.space.random(rng, count)
        x = np.asarray(self.sampler(rng, count), dtype=float)
        if len(x) != count or not np.isfinite(x).all():
            raise ConfigError(f"{self.name}: the sampler must give {count} finite unknowns, got shape {x.shape}")
        return x

    @property
    def start_point(self) -> np.ndarray:
        """Where solves start."""
        if self.start is not None:
            return np.asarray(self.start, dtype=float)
        return self.space.centre if isinstance(self.space, Box) else self.points(np.random.default_rng(PROBE_SEED), 1)[0]

    def residual(self, prediction: np.ndarray, observation: np.ndarray) -> np.ndarray:
        """(B, M) f(x) - y in units of the noise or, where that is not known, of what is usual."""
        unit = self.usual.size if self.noise is None else self.noise
        return ((prediction - observation) / unit).reshape(len(observation), -1)

    @property
    def typical_step(self) -> np.ndarray:
        """(D,)"""
        return SHARE_OF_WIDTH * self.space.width if isinstance(self.space, Box) else np.ones(self.space.dim)

    @functools.cached_property
    def allowed(self) -> np.ndarray:
        """(D,) standard deviation of unknowns of which only the space is known, along each direction of a step."""
        return _allowed(self.space)

    @property
    def _unit(self) -> np.ndarray:
        """(D,) the same; a typical step where nothing bounds the space."""
        return np.where(np.isfinite(self.allowed), self.allowed, self.typical_step)

    @property
    def is_picture(self) -> bool:
        return self.usual.mean.ndim > 1

    @functools.cached_property
    def usual(self) -> Usual:
        """Mean and size of predictions; asked for once, which runs f."""
        x = self.points(np.random.default_rng(PROBE_SEED), NUM_PROBED)
        y = self._run(x)
        is_known = np.zeros(len(x), dtype=bool) if y is None else np.isfinite(y).reshape(len(y), -1).all(axis=1)
        if y is None or is_known.sum() < 2:
            raise SetupError(f"{self.name}: f gave no answer for {NUM_PROBED} usual unknowns{self._failures_told}")
        x, y = x[is_known], y[is_known]
        axes = 0 if y.ndim == 2 else (0, 1, 2)  # one size for all pixels of a picture
        mean, size = y.mean(axis=axes), y.std(axis=axes)
        largest = np.maximum(np.abs(mean).max(), size.max())
        changes = size > np.maximum(1e-6 * np.abs(mean), 1e-12 * largest)  # by more than rounding
        size = np.where(changes, size, 1e-6 * largest or 1.0)
        return Usual(np.broadcast_to(mean, y.shape[1:]), np.broadcast_to(size, y.shape[1:]), x, y)


@dataclass(frozen=True, eq=False)
class Usual:
    """Mean and standard deviation of predictions for usual x, each of the shape of one, and the x (K, ...) and all of them."""

    mean: np.ndarray
    size: np.ndarray
    x: np.ndarray
    prediction: np.ndarray


class ProgramProblem:
    """The inverse problem of an InverseKind; all instances have the same f.

    is_kept: whether what f gave last for each instance is kept, so that f is not called again for the same x.
    """

    def __init__(self, kind: InverseKind, is_kept: bool = False) -> None:
        self.kind, self.manifold, self.run, self.is_kept = kind, kind.space, kind.run, is_kept
        self.spread: tuple[np.ndarray, np.ndarray] | None = None  # of which x, and what it was
        self.num_kept = 2 * kind.space.dim + 2  # the points for all derivatives at one x, and those of the last steps
        self.tried: defaultdict[int, deque[tuple[np.ndarray, np.ndarray]]] = defaultdict(lambda: deque(maxlen=self.num_kept))

    def forward(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if not self.is_kept:
            return self.run(x)
        found = [self._found(one, row) for one, row in zip(x, rows, strict=True)]
        unknown = [number for number, y in enumerate(found) if y is None]
        for number, y in zip(unknown, self.run(x[unknown]) if unknown else (), strict=True):
            found[number] = y
            self.tried[rows[number]].append((x[number].copy(), y))
        return np.stack([y for y in found if y is not None])

    def _found(self, x: np.ndarray, row: int) -> np.ndarray | None:
        return next((y for other, y in self.tried[row] if np.array_equal(x, other)), None)

    def known(self, rows: np.ndarray) -> Known:
        """What f gave last for some of the instances."""
        shapes = self.kind.start_point.shape, self.kind.usual.mean.shape
        x, y = (np.full((len(rows), self.num_kept, *shape), np.nan) for shape in shapes)
        for number, row in enumerate(rows):
            for place, (one, prediction) in enumerate(self.tried[row]):
                x[number, place], y[number, place] = one, prediction
        return Known(x, y)

    def energy(self, prediction: np.ndarray, observation: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Mean square of what is left, in units of the noise or of what is usual."""
        energy = np.square(self.kind.residual(prediction, observation)).mean(axis=1)
        return np.where(np.isfinite(energy), np.minimum(energy, FAILED), FAILED)

    def features(self, x: np.ndarray, prediction: np.ndarray, observation: np.ndarray, rows: np.ndarray) -> Features:
        usual = self.kind.usual
        seen = [(prediction - usual.mean) / usual.size, (observation - usual.mean) / usual.size]
        seen = [np.clip(np.nan_to_num(part), -LARGEST, LARGEST) for part in (*seen, (observation - prediction) / usual.size)]
        place = (x - self.manifold.centre) / self.kind.typical_step if isinstance(self.manifold, Box) else x
        vector = place.reshape(len(x), -1)
        if self.kind.is_picture:
            image = np.concatenate([_picture(part) for part in seen], axis=-1)
            return Features(image.astype(np.float32), vector.astype(np.float32))
        return Features(None, np.concatenate([*seen, vector], axis=1).astype(np.float32))

    def step_from_output(self, output: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return output * self.kind.typical_step

    def output_from_step(self, step: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return step / self.kind.typical_step


class ProgramSampler:
    """Draws usual x, and what f gives for them with the noise; runs that fail are drawn again."""

    def __init__(self, kind: InverseKind) -> None:
        self.kind = kind

    def draw(self, rng: np.random.Generator, count: int) -> Samples:
        kind = self.kind
        x, y = kind.points(rng, count), None
        for _ in range(DRAWS):
            y = kind.run(x) if y is None else y
            failed = np.flatnonzero(~np.isfinite(y).reshape(count, -1).all(axis=1))
            if len(failed) == 0:
                break
            x[failed] = kind.points(rng, len(failed))
            y[failed] = kind.run(x[failed])
        else:
            raise SetupError(f"{kind.name}: f still fails for {len(failed)} of {count} usual unknowns after {DRAWS} draws")
        if kind.noise is not None:
            y = y + kind.noise * rng.normal(size=y.shape)
        return Samples(ProgramProblem(kind), y, np.repeat(kind.start_point[None], count, axis=0), x)


def _picture(y: np.ndarray) -> np.ndarray:
    """(B, S, S, C) pictures, with nothing below or beside them where they are not square."""
    y = y if y.ndim == 4 else y[..., None]
    height, width = y.shape[1:3]
    size = max(height, width)
    return np.pad(y, ((0, 0), (0, size - height), (0, size - width), (0, 0)))


def _allowed(space: Manifold) -> np.ndarray:
    """(D,) standard deviation of unknowns of which only the space is known."""
    if isinstance(space, Product):
        return np.concatenate([_allowed(part) for part in space.parts])
    if isinstance(space, Euclidean):
        return np.full(space.dim, np.inf)
    if isinstance(space, Box):
        return space.width / np.sqrt(12)
    x = space.random(np.random.default_rng(PROBE_SEED), 2 * NUM_PROBED)
    return np.full(space.dim, np.sqrt(np.mean(space.difference(x[::2], x[1::2]) ** 2) / 2))  # the same for every direction
