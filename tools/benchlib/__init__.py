# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The parts of tools/bench. Uses the tests' library for starting targets and the recorder."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
