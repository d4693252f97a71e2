# SPDX-License-Identifier: Apache-2.0
"""The README says what was measured."""

import pytest

from solver_core.errors import ConfigError
from training.paper.readme_numbers import CLAIMS, ROOT, Claim, _speed_up, table_rows, with_measured_numbers

RESULTS = """# Results

### Table 9: things

`a command`

| method | error mean | ms |
| --- | --- | --- |
| ours | 0.1234 | 15 |
| theirs | 2 |  |

### Table 10: others
"""
README = "# Tool\n\n| row | error |\n|---|---|\n| our tool | 0.5 |\n"
CLAIM = Claim("our tool", "Table 9", {"method": "ours"}, lambda n: f"{n['error_mean']:.2f}")


def test_readme_holds_the_measured_numbers():
    readme, results = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "training/RESULTS.md"))

    assert with_measured_numbers(readme, results, CLAIMS) == readme


def test_rows_have_the_keys_of_the_json():
    assert table_rows(RESULTS, "Table 9") == [
        {"method": "ours", "error_mean": "0.1234", "ms": "15"},
        {"method": "theirs", "error_mean": "2", "ms": ""},
    ]


def test_number_that_differs_is_replaced():
    assert with_measured_numbers(README, RESULTS, [CLAIM]) == README.replace("0.5", "0.12")


@pytest.mark.parametrize("where", [{"method": "nobody's"}, {}], ids=["missing", "several"])
def test_claim_without_its_one_row_is_refused(where):
    with pytest.raises(ConfigError, match="our tool"):
        with_measured_numbers(README, RESULTS, [CLAIM._replace(where=where)])


@pytest.mark.parametrize(("speed_up", "said"), [(0.0, "never"), (133.4, "130 x"), (1.0, "1 x"), (0.47, "0.47 x")])
def test_speed_ups_are_said_to_two_digits(speed_up, said):
    assert _speed_up({"speed_up_at_equal_accuracy": speed_up}) == said
