# SPDX-License-Identifier: Apache-2.0
"""Depth Pro against its authors' code on shared random weights."""

import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

from safetensors.torch import load_file  # noqa: E402

from metric_depth_ros.errors import InputError  # noqa: E402
from metric_depth_ros.networks.checkpoints import (  # noqa: E402
    load_strict,
    parameter_count,
    released_keys,
)
from metric_depth_ros.networks.depth_pro import DepthPro, DepthProConfig  # noqa: E402
from metric_depth_ros.networks.pyramid import record_intermediates  # noqa: E402

CASES = [('tiny', 0), ('tiny', 1), ('tiny', 2), ('tiny', 3), ('tiny_1536', 0)]
SAMPLED_CROPS = [0, 7, 24, 25, 30, 34]
SAMPLED_TOKENS = slice(None, None, 37)


class Golden:
    """One folder of conformance data with its network."""

    def __init__(self, folder):
        self.config = json.loads((folder / 'config.json').read_text())
        self.inputs = np.load(folder / 'inputs.npz')
        self.outputs = np.load(folder / 'outputs.npz')
        self.network = DepthPro(DepthProConfig.from_golden(self.config['config']))
        load_strict(self.network.eval(), load_file(folder / 'weights.safetensors'))


@pytest.fixture(scope='module')
def golden(shared):
    loaded = {}

    def load(name):
        if name not in loaded:
            loaded[name] = Golden(shared / 'goldens' / 'depth_pro' / name)
        return loaded[name]

    return load


@pytest.mark.parametrize(('name', 'case'), CASES)
def test_agrees_with_the_authors_code(golden, name, case):
    folder = golden(name)
    image = torch.from_numpy(folder.inputs[f'case{case}_image'])
    focal = folder.config['cases'][case]['infer_kwargs'].get('f_px')
    with torch.inference_mode(), record_intermediates(folder.network) as found:
        answer = folder.network.infer(image, focal)
    depth = folder.outputs[f'case{case}_depth']
    np.testing.assert_allclose(
        1 / answer['depth'].numpy().reshape(depth.shape), 1 / depth, atol=1e-4, rtol=1e-4
    )
    np.testing.assert_allclose(
        answer['focallength_px'], folder.outputs[f'case{case}_focallength_px'].ravel(), rtol=1e-5
    )
    prefix = f'case{case}_i_'
    for key in (key for key in folder.outputs if key.startswith(prefix)):
        name = key.removeprefix(prefix)
        if focal is not None and name in ('fov_deg', 'canonical_inverse_depth'):
            continue  # a known focal length spares the field-of-view head
        reference = folder.outputs[key]
        tolerance = 2e-4 + 1e-4 * np.abs(reference).max()
        np.testing.assert_allclose(
            sampled(name, found, reference), reference, atol=tolerance, rtol=0, err_msg=key
        )


def sampled(name, found, reference):
    value = found[name].numpy()
    if name.startswith('tap') or name == 'vit_out':
        return value[SAMPLED_CROPS][:, SAMPLED_TOKENS]
    if name.endswith('vit_out'):
        return value[:1, SAMPLED_TOKENS]
    step = max(1, value.shape[-1] // 24)
    return value[: len(reference), : reference.shape[1], ::step, ::step]


def test_the_released_checkpoint_fits_key_by_key(shared):
    with torch.device('meta'):
        network = DepthPro(DepthProConfig.released())
    listed = json.loads((shared / 'goldens/depth_pro/released_keys.json').read_text())
    assert released_keys(network) == {key: tuple(shape) for key, shape in listed.items()}
    assert parameter_count(network) == 951_991_330


def test_a_canvas_that_the_weights_do_not_fit_is_refused():
    with torch.device('meta'):
        network = DepthPro(DepthProConfig.released())
    with pytest.raises(InputError, match='fit 1536 only'):
        network(torch.empty(1, 3, 1024, 1024, device='meta'))
