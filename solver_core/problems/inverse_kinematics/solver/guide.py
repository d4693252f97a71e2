# SPDX-License-Identifier: Apache-2.0
"""Networks, and how to ask them about a skeleton."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from solver_core.errors import SetupError, WeightsError
from solver_core.network.numpy_forward import NumpyNetwork
from solver_core.network.spec import NetworkSpec
from solver_core.network.update import Network
from solver_core.network.weights import load_networks, load_weights
from solver_core.problems.inverse_kinematics.features import INPUT_LAYOUT, num_features
from solver_core.problems.inverse_kinematics.files.bodies import body_path, human, read_body
from solver_core.problems.inverse_kinematics.names.mapping import body_map
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton, check_names
from solver_core.problems.inverse_kinematics.solver.transfer import Transfer


class Trained(NamedTuple):
    """A body and the stage networks that were trained for it."""

    body: Body
    networks: Sequence[Network]

    @classmethod
    def shipped(cls) -> Trained:
        """The human and its networks, which come with the package."""
        return cls(human(), load_networks(None, "inverse_kinematics", INPUT_LAYOUT))

    @classmethod
    def of(cls, weights: Path | None) -> Trained | None:
        """Those of a file, if there is one.  Raises WeightsError or SetupError."""
        return None if weights is None else cls.load(weights)

    @classmethod
    def load(cls, weights: str | Path) -> Trained:
        """Networks from a weights file, for the body that lies beside it or, without one, the human.

        Raises WeightsError or SetupError.
        """
        stages, info = load_weights(weights, "inverse_kinematics", INPUT_LAYOUT)
        path = body_path(Path(weights))
        body = read_body(path) if path.exists() else human()
        fitting = (3 * body.skeleton.num_joints, info.spec.hidden, num_features(body.skeleton))
        if info.spec != NetworkSpec(*fitting, skip=info.spec.skip, proposals=info.spec.proposals):
            raise WeightsError(f"the weights {weights} are for another body; keep theirs beside them, as {path.name}")
        return cls(body, [NumpyNetwork(info.spec, stage) for stage in stages])


class Guide(NamedTuple):
    """Networks, and how to ask them about a skeleton."""

    transfer: Transfer
    networks: Sequence[Network]


def find_guide(skeleton: Skeleton, mapping: Mapping[str, str] | None, trained: Trained | None) -> Guide | None:
    """How to ask networks about a skeleton.

    Args:
        skeleton: that is to be posed.
        mapping: nodes of the networks' body -> nodes of the skeleton; None finds it by names or shape.
        trained: other networks than those for humans.

    Returns:
        None if the skeleton resembles no body that networks know.

    Raises:
        SetupError: if the mapping names what there is not.
    """
    if mapping is None and (trained is None or trained.body is human()):
        found = body_map(skeleton)
        mapping = None if found is None else found.node_of
    elif mapping is None and trained is not None:
        mapping = {name: name for name in trained.body.skeleton.names}
    if not mapping:
        return None
    body, networks = trained or Trained.shipped()
    check_names(mapping.keys(), body.skeleton.names, "the trained body")
    check_names(mapping.values(), skeleton.names, "the skeleton")
    if body.skeleton.names[body.skeleton.root] not in mapping:
        raise SetupError(f"the map must name the joint that stands for {body.skeleton.names[body.skeleton.root]!r}")
    return Guide(_transfer(skeleton, body, tuple(mapping.items())), networks)


@functools.lru_cache(maxsize=8)
def _transfer(skeleton: Skeleton, body: Body, pairs: tuple[tuple[str, str], ...]) -> Transfer:
    """Kept, because preparing one takes longer than solving a frame."""
    return Transfer(skeleton, body, dict(pairs))
