# SPDX-License-Identifier: Apache-2.0
"""python -m solver_core"""

import sys

from solver_core.command.cli import main

sys.exit(main())
