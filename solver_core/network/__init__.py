# SPDX-License-Identifier: Apache-2.0
"""Networks of learned updates: their layers, their files, and how a problem asks them for steps."""

from solver_core.network.spec import NetworkSpec
from solver_core.network.update import network_update
from solver_core.network.weights import WeightsInfo, load_networks, load_weights, save_weights

__all__ = ["NetworkSpec", "WeightsInfo", "load_networks", "load_weights", "network_update", "save_weights"]
