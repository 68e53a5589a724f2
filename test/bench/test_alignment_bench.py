# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from metric_depth_ros.bench import alignment


@pytest.mark.parametrize(
    ('gpu', 'bar'), [('NVIDIA H200', 1.0), ('NVIDIA GeForce RTX 4060 Laptop GPU', None)]
)
def test_the_limit_of_one_gpu_is_held_against_no_other(gpu, bar, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda: None)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: gpu)
    prior, prompt = torch.full((1, 48, 64), 0.5), torch.zeros((1, 48, 64))
    prompt[:, ::8, ::8] = 2.0
    rows = alignment._gpu_rows(prior, prompt, rounds=1)
    assert (rows[0].name, rows[0].bar) == ('PDSA, fast, GPU', bar)
    assert all(row.bar is None for row in rows[1:])
