# SPDX-License-Identifier: Apache-2.0
"""Depth Pro against its authors' code on shared random weights."""

import json

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

from metric_depth_ros.errors import InputError  # noqa: E402
from metric_depth_ros.evaluation.conformance.golden import Golden  # noqa: E402
from metric_depth_ros.evaluation.conformance.run import run_golden  # noqa: E402
from metric_depth_ros.networks.checkpoints import parameter_count, released_keys  # noqa: E402
from metric_depth_ros.networks.depth_pro import DepthPro, DepthProConfig  # noqa: E402


@pytest.mark.parametrize(('folder', 'quantities'), [('tiny', 44), ('tiny_1536', 20)])
def test_agrees_with_the_authors_code_at_every_step(shared, folder, quantities):
    golden = Golden.open(shared / 'goldens/depth_pro' / folder)
    checks = list(run_golden(golden))
    assert [check for check in checks if not check.ok] == []
    assert len(checks) == quantities


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
