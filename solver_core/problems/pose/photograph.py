# SPDX-License-Identifier: Apache-2.0
"""A pose from the photograph itself, and the object's mask.

Poses are drawn around the start, and the one is kept that makes the image likeliest (segmentation/placing.py): no mask is
needed for it, and none could mislead it.  Where the object then stands its mask is cut out of the image; mask and image
together tell how far the pose can be trusted.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from solver_core import rotations
from solver_core.errors import SetupError
from solver_core.frames import Camera
from solver_core.options import keyword_options
from solver_core.problems.pose.confidence import confidence, widened
from solver_core.problems.pose.cut_off import in_doubt, is_cut_off, turned_poses
from solver_core.problems.pose.evidence import ImageEvidence
from solver_core.problems.pose.proportions import doubted_axis_in_photo
from solver_core.problems.pose.refine import RESTART_LOOP, refine_levels
from solver_core.problems.pose.setup import UP_AXES, PoseSetup
from solver_core.problems.pose.solve import OnStep, PoseOptions, PoseSession, PoseSolution, PoseStep
from solver_core.problems.pose.verdict import judge_photo
from solver_core.segmentation.hints import Hints, checked_hints, checked_image
from solver_core.segmentation.mask import model_coverage, segment_model
from solver_core.segmentation.placing import (
    APART,
    MOST_FINE,
    NARROW,
    WIDE,
    Model,
    Placed,
    Round,
    checked_model,
    coarse_view,
    distinct,
    fine_view,
    followed,
    search_around,
)
from solver_core.session import Phase, Session
from solver_core.solution import StopReason

OTHER_TURN, OTHER_SHIFT = np.radians(5.0), 0.05  # poses of a round that may be another answer differ by so much
MOST_OTHERS = 6  # that are kept of a round
MOST_MET = 16  # that are compared in the end, of all rounds
MAX_NATS = 300.0  # of the gap to another pose: where none was met, or one that explains nothing
NEARLY_NATS = (
    20.0  # by which a right pose of a cut object is less likely than the one found, at most, in nearly all photographs
)


@dataclass(frozen=True)
class PhotoSolution(PoseSolution):
    """Result of a solve from a photograph: all that a PoseSolution has, and

    mask: (H, W) float32, fraction of each pixel that the object covers.  alike: share of its outline, in [0, 1], along which
    object and surroundings have the same colours.  image_evidence: what the image itself says of the pose.
    """

    mask: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    alike: float = 0.0
    image_evidence: ImageEvidence | None = None


@keyword_options(PoseOptions)
def solve_pose_from_image(
    image: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    start: np.ndarray,
    box: tuple[float, float, float, float] | None = None,
    lasso: np.ndarray | None = None,
    inside: np.ndarray | None = None,
    outside: np.ndarray | None = None,
    *,
    options: PoseOptions,
    on_step: OnStep | None = None,
) -> PhotoSolution:
    """Pose of a known object from a photograph and a rough start, and the object's mask; no mask is needed.

    It is a function of its own beside solve_pose, because what it takes and what it gives is more: hints on where the object
    is, as mask_from_image takes them, and the mask.

    Args:
        image: (H, W, 3) sRGB, uint8 or float in [0, 1].
        vertices: (V, 3) in any unit of length.
        faces: (F, 3) int, indices into vertices.
        camera: of the image's size; the distortion of its lens is taken out of the image.
        start: (4, 4) camera_from_object, turned about 40 degrees from the truth or less, and about where the object is; a box
            or lasso mends its place and size.
        box: (left, top, right, bottom) in pixels around all of the object.
        lasso: (N, 2) columns and rows of the corners of a polygon around all of the object, pixels.
        inside: (H, W) bool, True where the user painted over the object.
        outside: (H, W) bool, True where the user painted over what is beside it.
        options: the following all at once, instead of as keyword arguments; steps, restarts and weights belong to solves of
            masks.
        {options}
        on_step: called with every PoseStep; it cancels the solve by raising Cancelled.

    Returns:
        PhotoSolution with camera_from_object in the unit of the vertices, and the mask, of the image without distortion.

    Raises:
        ObservationError: if image or hints cannot be used, or nothing there looks like an object.
        SetupError: if mesh, camera or start cannot be used.
        ConfigError: if an option is out of its range.
    """
    return PhotoSession.checked(image, vertices, faces, camera, start, (box, lasso, inside, outside), options).run(on_step)


class _FoundSession(PoseSession):
    """A solve whose pose was found already, the first of several: what is left is to look how it fits the mask."""

    def __init__(self, setup: PoseSetup, poses: np.ndarray, options: PoseOptions) -> None:
        super().__init__(setup, replace(options, steps=0))
        self.candidates = self._judged(poses, [StopReason.CONVERGED] * len(poses))
        self.final = self.candidates.at([0])
        self.final = self.final._replace(x=self.symmetries.nearest(self.final.x[0], self.starts[0, :4])[None])

    def fitted(self, poses: np.ndarray) -> np.ndarray:
        """Poses (B, 7) moved until their outlines fit the mask's."""
        steps = self._refine(self.levels[0], poses, "refine", RESTART_LOOP)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value.x


class PhotoSession(Session[PoseStep, PhotoSolution]):
    """A solve from a photograph under way."""

    def __init__(self, image: np.ndarray, hints: Hints, model: Model, options: PoseOptions) -> None:
        super().__init__()
        self.image, self.hints, self.model, self.options = image, hints, model, options
        self.rng = np.random.default_rng(options.seed)
        self.view = self.coarse = coarse_view(image, hints, model)
        self.placed = self.coarse.judged(model.start[None])
        self.met: list[Placed] = []  # poses of all rounds that may be another answer

    @classmethod
    def checked(
        cls,
        image: np.ndarray,
        vertices: np.ndarray,
        faces: np.ndarray,
        camera: Camera,
        start: np.ndarray,
        marks: tuple[Any, Any, Any, Any],
        options: PoseOptions,
    ) -> PhotoSession:
        """A session from a user's arrays.  marks: box, lasso, strokes inside and outside, each None if there is none.

        Raises:
            ObservationError: for the image and the marks; SetupError: for the rest.
        """
        image = checked_image(image)
        model = checked_model(vertices, faces, camera, start, (image.shape[0], image.shape[1]))
        if model is None:
            raise SetupError("the pose of an object needs its vertices, faces, the camera and a start")
        if camera.distortion:
            image = camera.undistorted(image.astype(np.float32) / np.float32(255 if image.dtype == np.uint8 else 1))
        model = model._replace(camera=camera.pinhole)
        hints = checked_hints((camera.height, camera.width), *marks, model.silhouette(model.start))
        if marks[0] is not None or marks[1] is not None:
            model = model.fitted_to(~hints.is_outside)
        return cls(image, hints, model, options)

    def phases(self) -> list[Phase]:
        refined = [Phase(self._refine, len(NARROW))] if self.options.refine else []
        return [Phase(self._search, 1 + len(WIDE)), *refined, Phase(lambda: iter([self._step("result")]), 1)]

    def result(self) -> PhotoSolution:
        pose, model = self.placed.poses[0], self.model
        mask = segment_model(self.image, self.hints, model, pose)
        start = model.unit.original_matrix(model.start)
        setup = PoseSetup(mask.coverage, None, *model.unit, model.camera, start, UP_AXES[0], None)
        met = Placed(*(np.concatenate(parts) for parts in zip(self.placed.at([0]), *self.met, strict=True)))
        others = met.poses[distinct(met, MOST_MET, OTHER_TURN, OTHER_SHIFT)]
        session = _FoundSession(setup, np.concatenate([pose[None], others]), self.options)
        solution = session.result()
        seen = self._image_evidence(session, mask.alike)
        sure = confidence(solution.evidence, seen)
        notes = solution.notes + mask.notes
        if is_cut_off(pose, model.unit.mesh, model.camera):
            sure, said = in_doubt(sure, pose, self._likely_turned(session, pose), session.symmetries)
            notes = notes + said
        interval = sure.interval.in_unit(model.unit.diagonal)
        found = {
            **vars(solution),
            "confidence": sure.probability,
            "interval": interval,
            "covariance": widened(solution.covariance, solution.interval, interval),
            "reason": StopReason.CANCELLED if self.is_cancelled else solution.reason,
            "history": self.history,
            "seconds": self.seconds,
            "notes": notes,
        }
        coverage, axis = model_coverage(self.image, self.hints, model, pose), None
        if self.options.refine and (coverage >= 0.5).any():
            by_edges = refine_levels(setup.mesh, coverage, model.camera)[-1]
            axis = doubted_axis_in_photo(session.levels[-1], by_edges, pose)
        found["verdict"], found["explanation"] = judge_photo(solution.evidence, mask.alike, sure.probability, axis)
        return PhotoSolution(**found, mask=coverage, alike=mask.alike, image_evidence=seen)

    def _search(self) -> Generator[PoseStep, None, None]:
        yield self._step("start")
        self.placed = search_around(self.coarse, self.rng)
        yield from self._followed("restart", WIDE)

    def _refine(self) -> Generator[PoseStep, None, None]:
        self.view = fine_view(self.image, self.hints, self.model, self.placed.poses[0], self.coarse)
        self.placed = self.view.judged(self.placed.poses[distinct(self.placed, MOST_FINE, *APART)])
        yield from self._followed("fine", NARROW)

    def _followed(self, phase: str, rounds: tuple[Round, ...]) -> Generator[PoseStep, None, None]:
        for placed in followed(self.view, self.placed, rounds, self.rng):
            self.placed = placed
            self.met.append(placed.at(distinct(placed, MOST_OTHERS, OTHER_TURN, OTHER_SHIFT)))
            yield self._step(phase)

    def _step(self, phase: str) -> PoseStep:
        pose = self.placed.poses[0]
        iou = self.view.likelihood.overlap(self.view.silhouettes(pose[None])[0])
        matrix = self.model.unit.original_matrix(pose)
        return PoseStep(phase, matrix, -float(self.placed.log_likelihood[0]), iou, 1.0, self.seconds)

    def _likely_turned(self, session: _FoundSession, pose: np.ndarray) -> np.ndarray:
        """(B, 7) poses that show about the same as a pose (7,) of an object that the image cuts off."""
        poses = np.concatenate([pose[None], session.fitted(turned_poses(pose, self.model.unit.mesh, self.model.camera))])
        likelihood = fine_view(self.image, self.hints, self.model, pose, self.coarse).judged(poses).log_likelihood
        return poses[1:][likelihood[1:] >= likelihood[0] - NEARLY_NATS]

    def _image_evidence(self, session: PoseSession, alike: float) -> ImageEvidence:
        """What the image says of the pose that was found."""
        pose, start = self.placed.poses[0], self.model.start
        contrast, edges, weak = self.view.likelihood.parts(self.view.silhouettes(pose[None])[0])
        others = session.candidates.others_than(pose, session.symmetries).x
        likelihood = self.coarse.judged(np.concatenate([pose[None], others])).log_likelihood
        turn = rotations.angle_between(session.symmetries.nearest(pose, start[:4])[None, :4], start[None, :4])[0]
        gap = float(np.clip(likelihood[0] - np.max(likelihood[1:], initial=-np.inf), 0, MAX_NATS))
        return ImageEvidence(contrast, edges, weak, gap, float(np.degrees(turn)), alike)
