# SPDX-License-Identifier: Apache-2.0
"""The engine that a training runs on: one process or many, CPU or GPUs. Imports accelerate.

How many processes there are, and whether their weights are split among them, is told by
``accelerate launch`` or ``torchrun``; without them there is one process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from metric_depth_ros.errors import InputError
from metric_depth_ros.training.config import TrainingConfig

if TYPE_CHECKING:
    from accelerate import Accelerator


def create_engine(config: TrainingConfig, device: str) -> Accelerator:
    """Return the engine of this process.

    Raises
    ------
    InputError
        accelerate is not installed, there is no such device, or the launch asks for what the
        trainer cannot do.
    """
    try:
        from accelerate import Accelerator
        from accelerate.utils import GradientAccumulationPlugin
    except ImportError as error:
        raise InputError(
            'training_engine',
            'training needs the package accelerate: pip install accelerate.',
        ) from error
    if device == 'cuda' and not torch.cuda.is_available():
        raise InputError(
            'device', '--device is cuda, but torch sees no CUDA device: use --device cpu.'
        )
    engine = Accelerator(
        mixed_precision='bf16' if config.precision == 'bf16' else 'no',
        # As a bare number it would yield to what the environment says.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=config.accumulate),
        cpu=device == 'cpu' or not torch.cuda.is_available(),
    )
    launched = int(os.environ.get('WORLD_SIZE', '1'))
    if launched != engine.num_processes:
        raise InputError(
            'training_engine',
            f'{launched} processes were launched, but accelerate joins {engine.num_processes} of '
            'them, so that each would train alone: launch one for each GPU, or pass --device cpu.',
        )
    plugin = engine.state.deepspeed_plugin
    if plugin is not None:
        # DeepSpeed wants to know what it would else take from accelerate's data loader or launch.
        parts = engine.num_processes * config.accumulate
        plugin.deepspeed_config['train_micro_batch_size_per_gpu'] = config.batch_size // parts
        plugin.deepspeed_config['gradient_accumulation_steps'] = config.accumulate
        plugin.deepspeed_config['gradient_clipping'] = config.optimizer.clip_norm
        if plugin.zero_stage == 3 and config.ema_decay:
            raise InputError(
                'training_engine',
                'ema_decay cannot be had with DeepSpeed ZeRO-3, which leaves no process whole '
                'weights: set it to 0, or use ZeRO-2 or FSDP (--fsdp_version 2).',
            )
    if splits_weights(engine) and getattr(engine.state.fsdp_plugin, 'fsdp_version', 1) != 2:
        # It keeps parameters as flat pieces, which the running mean would take for whole ones.
        raise InputError(
            'training_engine',
            'FSDP is of version 1, expected 2: launch with --use_fsdp --fsdp_version 2.',
        )
    return engine


def splits_optimizer(engine: Accelerator) -> bool:
    """Whether no process has all of the optimizer's moments (FSDP, DeepSpeed)."""
    from accelerate.utils import DistributedType

    return engine.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)


def splits_weights(engine: Accelerator) -> bool:
    """Whether no process has all weights, so that every answer is a work of all (FSDP)."""
    from accelerate.utils import DistributedType

    return bool(engine.distributed_type == DistributedType.FSDP)


def moved(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return a batch with its tensors on a device; other values stay."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }
