# SPDX-License-Identifier: Apache-2.0
"""A program of its own, in any language: an epidemic.  Reads {"x": [R0, days ill, first ill]} and writes {"y": [...]}.

y: square roots of the people newly ill in each of 12 weeks, of 100,000.  Nothing of it knows solver_core.
"""

import json
import sys

PEOPLE, DAYS_A_STEP, WEEKS = 100_000, 0.25, 12


def newly_ill(spread, days_ill, first_ill):
    """The same for numbers, or for arrays of them all at once."""
    well, ill = PEOPLE - first_ill, first_ill
    weeks = [0.0] * WEEKS
    for step in range(round(7 * WEEKS / DAYS_A_STEP)):
        caught = DAYS_A_STEP * spread / days_ill * well * ill / PEOPLE
        well, ill = well - caught, ill + caught - DAYS_A_STEP * ill / days_ill
        week = int(step * DAYS_A_STEP // 7)
        weeks[week] = weeks[week] + caught
    return [count**0.5 for count in weeks]


if __name__ == "__main__":
    x = json.load(sys.stdin)["x"]
    if x[1] <= 0:
        sys.exit("people must be ill for more than no time")
    json.dump({"y": newly_ill(*x)}, sys.stdout)
