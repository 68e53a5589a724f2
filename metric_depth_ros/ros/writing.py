# SPDX-License-Identifier: Apache-2.0
"""`WRITING`: held while a file is written that the process must not end amid. Knows no ROS."""

from __future__ import annotations

import threading

WRITING = threading.Lock()
