# SPDX-License-Identifier: Apache-2.0
"""How a learned estimator runs, whatever its network: device, weights, precision, resolution.

Standard library and `errors` only: options are made before anybody knows whether torch is needed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any

from metric_depth_ros.errors import InputError

PRECISIONS = ('auto', 'fp32', 'bf16', 'fp16')
BACKENDS = ('torch', 'onnx')
PRESETS = ('full', 'realtime')
SCALE_LIMITS = (0.1, 9.0)
POLICIES = ('auto', 'prompted', 'monocular')  # which of two estimators answers

_DEVICE = re.compile(r'auto|cpu|cuda(:\d{1,2})?')
_NAMED = re.compile(r'([a-z]\w*)=(.+)')


@dataclass(frozen=True)
class EstimatorOptions:
    """Options that hold for every learned estimator; the others have no use for them.

    Parameters
    ----------
    device
        ``'cpu'``, ``'cuda'``, ``'cuda:1'``…; ``'auto'`` is CUDA where there is some.
    weights
        Checkpoint of the network: a file, a folder, a Hugging Face id, or ``owner/name/file`` of
        one; empty takes the released one. Several networks at once: ``name=checkpoint``,
        separated by commas.
    revision
        Commit, tag or branch of the Hugging Face repository; empty takes its default.
    precision
        ``'auto'`` is bf16 on a GPU that has it (fp16 for ``student_pointmap`` and ``depth_pro``),
        for ``compact_teacher`` on a CPU with bf16 instructions too, else fp32.
    compile
        Compile the network (torch.compile); the first frame of each size then takes long.
    resolution_scale
        Tokens that the image becomes, in multiples of the usual: 3 and 9 for finer detail, less
        than 1 for speed.
    backend
        ``'torch'`` or ``'onnx'`` (ONNX Runtime).
    preset
        ``'full'`` as released; ``'realtime'`` is a fifth of the arithmetic of the crop-pyramid
        networks (student_depthmap, teacher), with less detail.

    Raises
    ------
    InputError
        A value outside of these.
    """

    device: str = 'auto'
    weights: str = ''
    revision: str = ''
    precision: str = 'auto'
    compile: bool = False
    resolution_scale: float = 1.0
    backend: str = 'torch'
    preset: str = 'full'

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise _refused('device', self.device, 'auto, cpu, cuda or cuda:N')
        if self.precision not in PRECISIONS:
            raise _refused('precision', self.precision, f'one of {", ".join(PRECISIONS)}')
        if self.backend not in BACKENDS:
            raise _refused('backend', self.backend, f'one of {", ".join(BACKENDS)}')
        if self.preset not in PRESETS:
            raise _refused('preset', self.preset, f'one of {", ".join(PRESETS)}')
        low, high = SCALE_LIMITS
        if not low <= self.resolution_scale <= high:
            raise _refused('resolution_scale', self.resolution_scale, f'{low:g} to {high:g}')

    @classmethod
    def of(cls, source: object, **more: Any) -> EstimatorOptions:
        """Return the options that stand under their own names in parameters or arguments.

        Parameters
        ----------
        source
            Has an attribute for every option that `more` does not have.
        more
            Options that stand elsewhere.

        Raises
        ------
        InputError
            As the constructor.
        """
        names = [option.name for option in fields(cls) if option.name not in more]
        values: dict[str, Any] = {name: getattr(source, name) for name in names}
        return cls(**values, **more)

    def weights_of(self, network: str) -> str:
        """Return the checkpoint that was given for a network, or ``''``."""
        named, unnamed = self._split_weights()
        return named.get(network, unnamed)

    def weights_of_others(self, networks: Collection[str]) -> list[str]:
        """Return the checkpoints, as ``name=checkpoint``, of other networks than these."""
        named, _ = self._split_weights()
        return [f'{name}={path}' for name, path in named.items() if name not in networks]

    def refuse_weights_of_others(self, networks: Collection[str]) -> None:
        """Refuse checkpoints of networks that do not exist, or that are not in use.

        Raises
        ------
        InputError
            A name of no such network, whose checkpoint nobody would read.
        """
        for entry in self.weights_of_others(networks):
            raise _refused('weights', entry, f'NAME=CHECKPOINT of {", ".join(networks)}')

    def backend_of(self, network: str) -> str:
        """Return what runs a network: an exported file given by its name runs on ONNX always."""
        named, _ = self._split_weights()
        return 'onnx' if named.get(network, '').endswith('.onnx') else self.backend

    def for_companion(self) -> EstimatorOptions:
        """Return the options of a second network: a prior, a fallback.

        Only weights given by name are for it, and it runs as released: what it can be scaled to,
        where its repository is and whether it is exported, are other matters than for the first
        one.
        """
        named, _ = self._split_weights()
        weights = ','.join(f'{name}={path}' for name, path in named.items())
        return replace(
            self,
            weights=weights,
            revision='',
            backend='torch',
            resolution_scale=1.0,
            preset='full',
        )

    def _split_weights(self) -> tuple[dict[str, str], str]:
        named, unnamed = {}, []
        for entry in filter(None, (part.strip() for part in self.weights.split(','))):
            match = _NAMED.fullmatch(entry)
            if match:
                named[match[1]] = match[2]
            else:
                unnamed.append(entry)
        if len(unnamed) > 1:
            raise _refused('weights', self.weights, 'one checkpoint, or name=checkpoint entries')
        return named, unnamed[0] if unnamed else ''


def _refused(option: str, value: object, expected: str) -> InputError:
    return InputError(
        'estimator_option',
        f'{option} is {value!r}, expected {expected} ({names_of(option)}).',
    )


def names_of(option: str) -> str:
    """Return what an option is called as a parameter and on the command line."""
    parameter = option if option == 'device' else f'model.{option}'
    return f'parameter {parameter}, option --{option.replace("_", "-")}'
