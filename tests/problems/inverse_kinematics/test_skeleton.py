# SPDX-License-Identifier: Apache-2.0
import re

import numpy as np
import pytest

from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton


def test_levels_hold_every_node_but_the_root_once(tree):
    nodes = np.concatenate([level.nodes for level in tree.levels])

    assert sorted(nodes) == sorted(set(range(tree.num_nodes)) - {tree.root})


def test_level_lineages_run_from_the_root_to_the_parents_of_the_level(tree):
    for level in tree.levels:
        lineages = tree.joints[level.lineages]

        assert (lineages[:, 0] == tree.root).all()
        assert (tree.parents[lineages[:, 1:]] == lineages[:, :-1]).all()
        assert (lineages[level.family, -1] == level.parents).all()


@pytest.mark.parametrize(
    ("names", "parents", "offsets", "sentence"),
    [
        (["a", "b", "c"], [-1, 2, 1], np.zeros((3, 3)), "the parents of 'b' form a cycle"),
        (["a", "b"], [-1, -1], np.zeros((2, 3)), "exactly one root"),
        (["a", "b"], [-1, 5], np.zeros((2, 3)), "node numbers from 0 to 1"),
        (["a", "a"], [-1, 0], np.zeros((2, 3)), "the name 'a' stands twice"),
        (["a", "b"], [-1, 0], np.zeros((3, 3)), "offsets of shape (2, 3)"),
        (["a", "b"], [-1, 0], np.full((2, 3), np.nan), "the rest offset of 'a' must be finite"),
        (["a"], [-1], np.zeros((1, 3)), "at least 2 nodes"),
        (["a", "b"], [-1.0, 0.0], np.zeros((2, 3)), "whole numbers"),
    ],
)
def test_skeleton_raises_a_sentence_when_it_is_no_tree(names, parents, offsets, sentence):
    with pytest.raises(SetupError, match=re.escape(sentence)):
        Skeleton(names, parents, offsets)
