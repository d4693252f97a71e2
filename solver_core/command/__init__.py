# SPDX-License-Identifier: Apache-2.0
"""The command line: what it parses, reads, prints and draws.  A problem's own part is its command.py."""
