# SPDX-License-Identifier: Apache-2.0
"""A network's forward pass as an ONNX file, for one image of one size.

Imports torch's exporter (onnx, onnxscript) when called. The file tells in its metadata which
network it is and which arguments are built in, so that `onnx_session` can refuse others.
"""

from __future__ import annotations

import inspect
import json
import logging
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.runtime.batch import Batch
from metric_depth_ros.estimators.runtime.onnx_session import METADATA_KEY, TOLD
from metric_depth_ros.estimators.runtime.runner import Infer

LARGEST_ERROR = 1e-3
# A protocol buffer ends at 2 GiB; weights of larger networks go into FILE.data beside it.
_LARGEST_INSIDE_BYTES = 1_500_000_000
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, eq=False)
class ForwardCall:
    """One call of a network's forward.

    Parameters
    ----------
    tensors
        Its tensor arguments by name.
    others
        Its other arguments by name; plain values.
    """

    tensors: Mapping[str, Tensor]
    others: Mapping[str, Any]


def recorded_call(network: nn.Module, infer: Infer, batch: Batch, scale: float) -> ForwardCall:
    """Return what `infer` calls the network with; nothing is computed."""
    signature = inspect.signature(network.forward)
    recorder = _Recorder()
    network.forward = recorder
    try:
        infer(network, batch, scale)
    except _Recorded as call:
        arguments = signature.bind(*call.args_given, **call.kwargs_given).arguments
    finally:
        del network.forward
    if 'fixed_length' in signature.parameters:
        arguments['fixed_length'] = True
    tensors = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    others = {name: value for name, value in arguments.items() if name not in tensors}
    return ForwardCall(tensors, others)


def export_network(
    name: str,
    network: nn.Module,
    call: ForwardCall,
    model_config: Mapping[str, Any] | None,
    path: Path,
    preset: str = 'full',
) -> float:
    """Write the file, compare it with the network, and give it its name: all of it or nothing.

    Parameters
    ----------
    name
        Name of the network.
    network
        Loaded network, on the CPU, in float32.
    call
        An example of what it is called with.
    model_config
        Its configuration, as its checkpoint has it; None for the released one.
    path
        File to write.
    preset
        That the network is in, for the file to tell.

    Returns
    -------
    float
        Largest error of any output, relative to the output's largest value.

    Raises
    ------
    InputError
        The exporter is not installed, or the file does not compute the same.
    """
    module = _ForwardOf(network, call)
    tensors = tuple(call.tensors.values())
    with torch.no_grad():
        expected = module(*tensors)
    keys = list(expected) if isinstance(expected, dict) else None
    # Prefixed, for an input and an output of the same name are one name too many.
    outputs = [f'out_{key}' for key in keys or range(len(_flat(expected)))]
    program = _program(module, tensors, list(call.tensors), outputs)
    built_in = {key: value for key, value in call.others.items() if _is_built_in(key)}
    told = dict(zip(TOLD, (name, model_config, preset, built_in, keys), strict=True))
    program.model.metadata_props[METADATA_KEY] = json.dumps(told)
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    with tempfile.TemporaryDirectory(prefix='.unfinished-', dir=path.parent) as unfinished:
        # Under its own name, which a file tells of the weights that lie beside it.
        written = Path(unfinished, path.name)
        program.save(written, external_data=size > _LARGEST_INSIDE_BYTES)
        error = _largest_error(written, call.tensors, _flat(expected))
        if not error <= LARGEST_ERROR:
            raise InputError(
                'onnx_parity',
                f'the exported {name} is off by {error:.1e} of the largest value, more than '
                f'{LARGEST_ERROR:g}: {path} was not written. Another version of onnxscript or '
                'onnxruntime may translate it rightly.',
            )
        for part in Path(unfinished).iterdir():
            part.replace(path.with_name(part.name))
    return error


class _Recorded(Exception):  # noqa: N818 (it ends a call early, nothing is wrong)
    def __init__(self, args_given: tuple[Any, ...], kwargs_given: dict[str, Any]) -> None:
        super().__init__()
        self.args_given = args_given
        self.kwargs_given = kwargs_given


class _Recorder:
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise _Recorded(args, kwargs)


class _ForwardOf(nn.Module):
    """The network as a function of its tensors alone."""

    def __init__(self, network: nn.Module, call: ForwardCall) -> None:
        super().__init__()
        self.network = network
        self._names = list(call.tensors)
        self._others = dict(call.others)

    def forward(self, *tensors: Tensor) -> Any:
        return self.network(**dict(zip(self._names, tensors, strict=True)), **self._others)


def _program(
    module: nn.Module, tensors: tuple[Tensor, ...], inputs: list[str], outputs: list[str]
) -> Any:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            'onnx_missing', 'the export needs: pip install onnx onnxscript onnxruntime'
        ) from error
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')  # deprecations inside the exporter itself
        return torch.onnx.export(
            module,
            tensors,
            dynamo=True,
            verbose=False,
            input_names=inputs,
            output_names=outputs,
        )


def _largest_error(path: Path, tensors: Mapping[str, Tensor], expected: list[Tensor]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    answers = session.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})
    errors = [
        (torch.from_numpy(answer) - right).abs().max() / right.abs().max().clamp(min=_TINY)
        for answer, right in zip(answers, expected, strict=True)
    ]
    return float(torch.stack(errors).max())  # keeps a NaN, which the max of Python may not


def _flat(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    return list(outputs.values() if isinstance(outputs, dict) else outputs)


def _is_built_in(argument: str) -> bool:
    """Whether an argument changes what is computed, and not only in how many portions."""
    return argument not in ('max_crops_per_batch', 'fixed_length')
