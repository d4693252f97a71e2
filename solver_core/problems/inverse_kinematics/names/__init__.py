# SPDX-License-Identifier: Apache-2.0
"""Which joint is which."""
