"""A short run of the fuzzers: the same inputs every time.  `make fuzz` draws more, and others."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from .targets import TARGETS

INPUTS = 2000  # of all targets together
CRASHES = Path(__file__).parent / "crashes"


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_a_result_or_a_sentence_comes_of_a_bad_input(name, tmp_path):
    target = TARGETS[name]

    @settings(
        max_examples=max(1, INPUTS * target.share // sum(one.share for one in TARGETS.values())),
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.cases())
    def run(case):
        target.run(case, tmp_path)

    run()
