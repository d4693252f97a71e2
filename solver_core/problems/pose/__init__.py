# SPDX-License-Identifier: Apache-2.0
"""Object pose from one silhouette."""
