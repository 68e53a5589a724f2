# SPDX-License-Identifier: Apache-2.0
"""One live node for all faults of a module."""

import pytest

from metric_depth_ros.torture.rig import Bars, Rig

# What happens is tested here; how fast is for the campaign, on a machine that is idle.
BARS = Bars(recovery_s=20.0, end_s=20.0)


@pytest.fixture(scope='module')
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp('rig'), bars=BARS) as rig:
        yield rig
