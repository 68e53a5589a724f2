# SPDX-License-Identifier: Apache-2.0
"""A network whose forward pass is an exported file that ONNX Runtime runs.

The network keeps its own preparation and its own finish (camera recovery, masks, units); only the
call in the middle is replaced. Imports onnxruntime when a file is opened.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.runtime.settings import is_out_of_memory
from metric_depth_ros.estimators.threads import CORES
from metric_depth_ros.resources import user_path

if TYPE_CHECKING:
    import onnxruntime

METADATA_KEY = 'metric_depth_ros'
TOLD: Mapping[str, tuple[type, ...]] = {
    'network': (str,),
    'model_config': (dict, type(None)),
    'preset': (str,),
    'arguments': (dict,),
    'outputs': (list, type(None)),
}
"""What a file tells about itself, and how."""

_GPU_PROVIDERS = ('TensorrtExecutionProvider', 'CUDAExecutionProvider')
_CPU_PROVIDER = 'CPUExecutionProvider'

Provider = str | tuple[str, dict[str, int]]
Skeleton = Callable[[Mapping[str, Any] | None], nn.Module]


class ExportedForward:
    """An exported forward pass, called like the method that it was exported from.

    Parameters
    ----------
    session
        The opened file.
    signature
        Of the network's own ``forward``.
    description
        What the export wrote about it, see `onnx_export`.
    reopened
        Opens the file once more, on the CPU.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        signature: inspect.Signature,
        description: Mapping[str, Any],
        reopened: Callable[[], onnxruntime.InferenceSession],
    ) -> None:
        self._session: onnxruntime.InferenceSession | None = session
        self._reopened = reopened
        # What stands in place of the method has the same arguments (crops, fixed length).
        self.__signature__ = signature
        self._fixed: Mapping[str, Any] = description['arguments']
        self._keys: Sequence[str] | None = description['outputs']
        self._shapes = {entry.name: tuple(entry.shape) for entry in session.get_inputs()}

    @property
    def device(self) -> torch.device:
        """Where the file is run; its inputs and outputs are on the CPU all the same."""
        index = None if self._session is None else _gpu_of(self._session)
        return torch.device('cpu') if index is None else torch.device('cuda', index)

    def move(self, device: torch.device, precision: str) -> None:
        """Run where it runs already, or on the CPU from now on.

        Stands in place of `CastNetwork.move`: the weights are in the file, not in the module.
        """
        if device.type != self.device.type:
            self._session = None  # opened with the next image, when its memory is free

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run image by image: the file takes one.

        Raises
        ------
        InputError
            `onnx_input` where the file was exported for other sizes.
        torch.OutOfMemoryError
            Memory ran out.
        """
        arguments = self.__signature__.bind(*args, **kwargs).arguments
        self._check(arguments)
        tensors: dict[str, Tensor] = {name: arguments[name] for name in self._shapes}
        batch = len(next(iter(tensors.values())))
        answers = [
            self._run({name: tensor[i : i + 1].numpy() for name, tensor in tensors.items()})
            for i in range(batch)
        ]
        outputs = [
            torch.cat([torch.from_numpy(part) for part in parts])
            for parts in zip(*answers, strict=True)
        ]
        if self._keys is not None:
            return dict(zip(self._keys, outputs, strict=True))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _run(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        if self._session is None:
            self._session = self._reopened()
        try:
            return self._session.run(None, inputs)
        except Exception as error:  # its exceptions have no common base but Exception
            if not is_out_of_memory(error):
                raise
            reason = ' '.join(str(error).split())
        # Outside of the handler: its traceback would keep the inputs alive.
        raise torch.OutOfMemoryError(reason)

    def _check(self, arguments: Mapping[str, Any]) -> None:
        given = {
            name: _shape(arguments[name].shape[1:]) if name in arguments else 'nothing'
            for name in self._shapes
        }
        expected = {name: _shape(shape[1:]) for name, shape in self._shapes.items()}
        for name, value in self._fixed.items():
            given[name] = json.dumps(arguments.get(name))
            expected[name] = json.dumps(value)
        wrong = [name for name in expected if given[name] != expected[name]]
        if wrong:
            name = wrong[0]
            raise InputError(
                'onnx_input',
                f'the exported network takes the {name} {expected[name]} and was given '
                f'{given[name]}: export it again for this image size and resolution scale '
                '(metric-depth export --size WIDTHxHEIGHT --resolution-scale S).',
            )


def open_exported(
    name: str, file: str, device: str, skeleton: Skeleton, preset: str = 'full'
) -> nn.Module:
    """Return a network that runs an exported file.

    Parameters
    ----------
    name
        Name of the network that the file must hold.
    file
        What `onnx_export` wrote.
    device
        As of `EstimatorOptions`; ``'auto'`` is a GPU where this ONNX Runtime reaches one.
    skeleton
        Builds the network from its configuration on the meta device.
    preset
        That the file must have been exported with.

    Raises
    ------
    InputError
        No ONNX Runtime, no such file, a file that is not an export of this network, or a GPU that
        this ONNX Runtime does not reach.
    """
    path = user_path(str(file))
    if not path.is_file() or path.suffix != '.onnx':
        raise InputError(
            'onnx_file',
            f'the backend onnx needs an exported network as weights and got {file!r}: make one '
            f'with metric-depth export {name} --weights CHECKPOINT -o {name}.onnx',
        )
    session = _open(path, device)
    description = _description(session, path)
    if description['network'] != name:
        raise InputError(
            'onnx_file', f'{path} holds the network {description["network"]}, expected {name}.'
        )
    if description['preset'] != preset:
        raise InputError(
            'onnx_file',
            f'{path} was exported with the preset {description["preset"]!r} and is asked for '
            f'{preset!r}: set preset to that, or export it again with --preset {preset}.',
        )
    network = skeleton(description['model_config']).eval()
    # Only the shape of the module is used; untouched memory of empty tensors costs nothing.
    network.to_empty(device='cpu')
    _attach(network, session, description, partial(_open, path, 'cpu'))
    return network


def is_exported(network: nn.Module) -> bool:
    """Whether the network runs an exported file instead of its weights."""
    return isinstance(network.forward, ExportedForward)


def providers(device: str, available: Sequence[str]) -> list[Provider]:
    """Return the providers for a device, of those that ONNX Runtime has, the fastest first."""
    on_gpu = {'device_id': _index(device)}
    gpus: list[Provider] = [
        (name, on_gpu) for name in _GPU_PROVIDERS if device != 'cpu' and name in available
    ]
    return [*gpus, _CPU_PROVIDER]


def _index(device: str) -> int:
    return int(device.partition(':')[2] or 0)


def _gpu_of(session: onnxruntime.InferenceSession) -> int | None:
    """Return the index of the GPU that a session runs on, None where it runs on none."""
    options = session.get_provider_options()
    found = [options[name] for name in _GPU_PROVIDERS if name in options]
    return int(found[0].get('device_id', 0)) if found else None


def _attach(
    network: nn.Module,
    session: onnxruntime.InferenceSession,
    description: Mapping[str, Any],
    reopened: Callable[[], onnxruntime.InferenceSession],
) -> None:
    signature = inspect.signature(network.forward)
    forward = ExportedForward(session, signature, description, reopened)
    network.forward = forward
    if hasattr(network, 'canonical_inverse_depth'):
        # The exported pass computes the field of view as well.
        def without_field_of_view(canvas: Tensor, max_crops_per_batch: int | None = None) -> Any:
            return forward(canvas, max_crops_per_batch)[0]

        setattr(network, 'canonical_inverse_depth', without_field_of_view)  # noqa: B010


def _open(path: Path, device: str) -> onnxruntime.InferenceSession:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            'onnx_missing',
            'the backend onnx needs ONNX Runtime: pip install onnxruntime (or onnxruntime-gpu).',
        ) from error
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = CORES
    settings.log_severity_level = 3
    chosen = providers(device, onnxruntime.get_available_providers())
    try:
        session = onnxruntime.InferenceSession(path, settings, providers=chosen)
    except Exception as error:  # its exceptions have no common base but Exception
        reason = str(error).splitlines()[0]
        if is_out_of_memory(error):
            raise InputError(
                'out_of_memory',
                f'{path} does not fit into memory (device {device}: {reason}): free the memory '
                'that others hold, or set device to cpu.',
            ) from error
        raise InputError('onnx_file', f'{path} cannot be opened: {reason}') from error
    # Where a GPU cannot be had, ONNX Runtime takes the first one, or the CPU, without a word.
    if device.startswith('cuda') and _gpu_of(session) != _index(device):
        raise InputError(
            'device',
            f'device is {device!r}, but ONNX Runtime {onnxruntime.__version__} runs {path} with '
            f"{', '.join(session.get_providers())} here: use 'cpu' or 'auto', or install the "
            'driver and an ONNX Runtime built for CUDA (pip install onnxruntime-gpu).',
        )
    return session


def _description(session: onnxruntime.InferenceSession, path: Path) -> Mapping[str, Any]:
    written = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if written is None:
        raise InputError(
            'onnx_file', f'{path} was not made by metric-depth export: it does not tell its use.'
        )
    try:
        description = json.loads(written)
    except (ValueError, RecursionError):
        description = None
    told = description if isinstance(description, dict) else {}
    missing = [
        key for key, kinds in TOLD.items() if key not in told or not isinstance(told[key], kinds)
    ]
    if not missing and not _are_names(told['outputs'], len(session.get_outputs())):
        missing = ['outputs']
    if missing:
        raise InputError(
            'onnx_file',
            f'{path} does not tell its {", ".join(missing)}: another version of this package '
            'wrote it; make it again with metric-depth export.',
        )
    return cast(Mapping[str, Any], description)


def _are_names(told: Sequence[Any] | None, count: int) -> bool:
    """Whether these are the names of so many outputs, or none have names."""
    return told is None or (len(told) == count and all(isinstance(name, str) for name in told))


def _shape(shape: Sequence[int]) -> str:
    return 'x'.join(map(str, shape))
