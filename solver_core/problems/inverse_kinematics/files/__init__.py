# SPDX-License-Identifier: Apache-2.0
"""What is read and written: motions, bodies, targets, maps."""
