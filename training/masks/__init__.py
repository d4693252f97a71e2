# SPDX-License-Identifier: Apache-2.0
"""What the network that masks from photographs begin with is trained on, and how."""
