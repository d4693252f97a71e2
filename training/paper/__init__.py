# SPDX-License-Identifier: Apache-2.0
"""Measures the tables of the paper and of training/RESULTS.md; not installed, so run it from the root of the repository."""
