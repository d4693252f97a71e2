"""A program of its own, in any language: an epidemic.  Reads {"x": [R0, days ill, first ill]} and writes {"y": [...]}.

y: square roots of the people newly ill in each of 12 weeks, of 100,000.  Nothing of it knows solver_core.
"""

import json
import sys

PEOPLE, DAYS_A_STEP, WEEKS = 100_000, 0.25, 12

spread, days_ill, first_ill = json.load(sys.stdin)["x"]
if days_ill <= 0:
    sys.exit("days_ill must be positive")
well, ill, newly_ill = PEOPLE - first_ill, first_ill, [0.0] * WEEKS
for step in range(round(7 * WEEKS / DAYS_A_STEP)):
    caught = DAYS_A_STEP * spread / days_ill * well * ill / PEOPLE
    well, ill = well - caught, ill + caught - DAYS_A_STEP * ill / days_ill
    newly_ill[int(step * DAYS_A_STEP // 7)] += caught
json.dump({"y": [number**0.5 for number in newly_ill]}, sys.stdout)
