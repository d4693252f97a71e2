# SPDX-License-Identifier: Apache-2.0
"""A short run of the fuzzers: the same inputs every time.  `make fuzz` draws more, and others."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from .targets import ALL, TARGETS

INPUTS = 2000  # of all targets together
SHARES = sum(target.share for target in ALL.values())
MARKS = {"bpy": pytest.mark.bpy, "torch": pytest.mark.torch}


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(target.needs, ())) for name, target in TARGETS.items()])
def test_nothing_but_a_result_or_a_sentence_comes_of_a_bad_input(name, tmp_path):
    target = TARGETS[name]

    @settings(
        max_examples=max(1, INPUTS * target.share // SHARES),
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.cases())
    def run(case):
        target.run(case, tmp_path)

    run()
