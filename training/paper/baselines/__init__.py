# SPDX-License-Identifier: Apache-2.0
"""What one would use instead: each a method with the loop's signature (x0 in, Solution out), so that they chain."""
