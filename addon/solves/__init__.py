# SPDX-License-Identifier: GPL-3.0-or-later
"""The three problems on a scene: gathered by the bridge, solved by solver_core, written back by the bridge."""
