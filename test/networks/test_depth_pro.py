# SPDX-License-Identifier: Apache-2.0
"""Depth Pro beside what its goldens hold: the released checkpoint, other canvases."""

import json

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

from metric_depth_ros.errors import InputError  # noqa: E402
from metric_depth_ros.networks.checkpoints import parameter_count, released_keys  # noqa: E402
from metric_depth_ros.networks.depth_pro import DepthPro, DepthProConfig  # noqa: E402


def test_the_released_checkpoint_fits_key_by_key(shared):
    with torch.device('meta'):
        network = DepthPro(DepthProConfig())
    listed = json.loads((shared / 'goldens/depth_pro/released_keys.json').read_text())
    assert released_keys(network) == {key: tuple(shape) for key, shape in listed.items()}
    assert parameter_count(network) == 951_991_330


def test_a_canvas_that_the_weights_do_not_fit_is_refused():
    with torch.device('meta'):
        network = DepthPro(DepthProConfig())
    with pytest.raises(InputError, match='fit 1536 only'):
        network(torch.empty(1, 3, 1024, 1024, device='meta'))
