# SPDX-License-Identifier: Apache-2.0
"""The engine: what a launch may ask for, and what only the configuration decides."""

from types import SimpleNamespace

import pytest
from tiny_training import write_config

from metric_depth_ros.errors import InputError
from metric_depth_ros.training.config import read_config
from metric_depth_ros.training.devices import create_engine

accelerate = pytest.importorskip(
    'accelerate', reason="training needs accelerate: pip install '.[training]'"
)
SHARED = accelerate.utils.DistributedType


@pytest.fixture(autouse=True)
def _own_engine():
    """accelerate keeps one engine a process, whatever the next training asks for."""
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def config(tmp_path):
    return read_config(write_config(tmp_path, accumulate=2))


def launched(monkeypatch, shared, **plugins):
    """Let accelerate say that it was launched on GPUs which share a network."""
    state = SimpleNamespace(**{'deepspeed_plugin': None, 'fsdp_plugin': None, **plugins})
    engine = SimpleNamespace(num_processes=1, distributed_type=shared, state=state)
    monkeypatch.setattr(accelerate, 'Accelerator', lambda **_: engine)
    return engine


def test_the_configuration_decides_the_passes_of_a_step(config, monkeypatch):
    monkeypatch.setenv('ACCELERATE_GRADIENT_ACCUMULATION_STEPS', '7')
    assert create_engine(config, 'cpu').gradient_accumulation_steps == 2


def test_the_configuration_decides_the_passes_of_deepspeed(config, monkeypatch):
    plugin = SimpleNamespace(deepspeed_config={'gradient_accumulation_steps': 7}, zero_stage=2)
    launched(monkeypatch, SHARED.DEEPSPEED, deepspeed_plugin=plugin)
    create_engine(config, 'auto')
    assert plugin.deepspeed_config['gradient_accumulation_steps'] == 2


def test_the_first_version_of_fsdp_is_refused(config, monkeypatch):
    plugin = accelerate.FullyShardedDataParallelPlugin(fsdp_version=1)
    launched(monkeypatch, SHARED.FSDP, fsdp_plugin=plugin)
    with pytest.raises(InputError, match='--fsdp_version 2'):
        create_engine(config, 'auto')


def test_the_second_version_of_fsdp_is_taken(config, monkeypatch):
    plugin = accelerate.FullyShardedDataParallelPlugin(fsdp_version=2)
    engine = launched(monkeypatch, SHARED.FSDP, fsdp_plugin=plugin)
    assert create_engine(config, 'auto') is engine
