# SPDX-License-Identifier: Apache-2.0
"""Options: declared once, checked everywhere in the same words."""

import inspect
import runpy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from solver_core.errors import ConfigError
from solver_core.options import Options, json_schema, keyword_options, markdown_table, option, options_of


@dataclass(frozen=True)
class Walk(Options):
    steps: int = option(5, "Steps", "Number of steps", minimum=0, maximum=9)
    stride: float = option(0.7, "Stride", "Length of a step", minimum=0.0, unit="m")
    is_slow: bool = option(False, "Slow", "Takes its time")
    gait: str = option("walk", "Gait", "How it goes", choices={"walk": "One foot at a time", "run": "Both leave the ground"})
    noise: float | None = option(None, "Noise", "Error of the track", minimum=0.0, unit="m", unset="found")
    track: Path | None = option(None, "Track", "Where it went before", unset="nowhere")


@keyword_options(Walk)
def walk(length, *, options: Walk, colour="red"):
    """Walks.

    Args:
        length: (L,) metres.
        {options}
    """
    return length, options, colour


def test_options_have_their_defaults():
    assert Walk() == Walk(steps=5, stride=0.7, is_slow=False, gait="walk", noise=None, track=None)


def test_numpy_numbers_become_plain_ones():
    options = Walk(steps=np.int64(3), stride=np.float32(0.5), is_slow=np.bool_(True))

    assert [type(value) for value in (options.steps, options.stride, options.is_slow)] == [int, float, bool]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"steps": -1}, "steps must be a whole number from 0 to 9, got -1"),
        ({"steps": 2.5}, "steps must be a whole number from 0 to 9, got 2.5"),
        ({"steps": True}, "steps must be a whole number from 0 to 9, got True"),
        ({"steps": None}, "steps must be a whole number from 0 to 9, got None"),
        ({"stride": float("nan")}, "stride must be a number at least 0, got nan"),
        ({"stride": "long"}, "stride must be a number at least 0, got 'long'"),
        ({"stride": 10**400}, "stride must be a number at least 0, got a number that is too large"),
        ({"is_slow": 1}, "is_slow must be True or False, got 1"),
        ({"gait": "hop"}, "gait must be one of walk, run, got 'hop'"),
        ({"noise": -0.1}, "noise must be a number at least 0, got -0.1"),
        ({"track": 3}, "track must be a file, got 3"),
    ],
)
def test_value_that_is_no_choice_is_refused_with_what_was_needed(values, sentence):
    with pytest.raises(ConfigError) as caught:
        Walk(**values)

    assert str(caught.value) == sentence


def test_a_span_of_time_is_no_number():
    with pytest.raises(ConfigError, match="whole number from 0 to 9"):
        Walk(steps=np.timedelta64(3))


@pytest.mark.parametrize("file", ["track.csv", Path("track.csv")], ids=repr)
def test_file_becomes_a_path(file):
    assert Walk(track=file).track == Path("track.csv")


def test_function_takes_options_as_keywords_or_all_at_once():
    assert walk(1.0, steps=2, colour="blue") == (1.0, Walk(steps=2), "blue")
    assert walk(1.0, options=Walk(steps=2)) == walk(1.0, steps=2)
    with pytest.raises(ConfigError, match="either options or steps"):
        walk(1.0, options=Walk(), steps=2)


def test_signature_and_docstring_list_the_options():
    parameters = inspect.signature(walk).parameters

    assert parameters["stride"].default == 0.7
    assert "stride: Length of a step, in m (default: 0.7); at least 0." in walk.__doc__
    assert "is_slow: Takes its time (default: off)." in walk.__doc__
    assert "noise: Error of the track, in m (default: found); at least 0." in walk.__doc__


def test_schema_has_types_ranges_and_words():
    schema = json_schema(Walk)

    assert schema["steps"] == {
        "type": "integer",
        "description": "Number of steps (default: 5)",
        "default": 5,
        "minimum": 0,
        "maximum": 9,
    }
    assert schema["gait"]["enum"] == ["walk", "run"]
    assert schema["noise"]["type"] == ["number", "null"]


def test_table_has_a_row_for_each_option():
    rows = markdown_table(Walk).splitlines()

    assert len(rows) == 2 + len(list(options_of(Walk)))
    assert "| `gait` | How it goes (default: walk) | one of walk, run |" in rows


def test_page_of_options_is_that_of_the_classes():
    docs = Path(__file__).parents[1] / "docs"
    page = runpy.run_path(str(docs / "make_options.py"))["options_page"]()

    assert (docs / "options.md").read_text(encoding="utf-8") == page, "run: make options"
