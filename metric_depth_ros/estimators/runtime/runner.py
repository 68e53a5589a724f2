# SPDX-License-Identifier: Apache-2.0
"""A network that keeps answering: in the wanted precision and size, or in the next one that works.

Where no size fits into the memory of the GPU, the CPU answers. These fallbacks last: a camera
would pay for the failed attempt in every frame otherwise.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.devices import torch_device
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime.batch import Batch
from metric_depth_ros.estimators.runtime.entry_points import install
from metric_depth_ros.estimators.runtime.onnx_session import is_exported
from metric_depth_ros.estimators.runtime.precision import (
    CastNetwork,
    all_finite,
    chosen_precision,
)
from metric_depth_ros.estimators.runtime.settings import Setting, is_out_of_memory, settings
from metric_depth_ros.estimators.runtime.uploads import Uploads, download

Infer = Callable[[nn.Module, Batch, float], Mapping[str, Tensor]]

# The first run compiles and records, the second fills the caches around it.
_WARM_UP_RUNS = 2
# Frames in a row that float32 does not make finite either, as of an input that holds no numbers,
# before it is asked no more: until the next finite one.
_MOST_IN_VAIN = 3
# Comes back with the outputs: asking for it alone would wait for the device once more.
_FINITE = 'is finite'

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a network answered.

    Parameters
    ----------
    outputs
        Tensors on the CPU, floating ones as float32; the first dimension counts the images.
    precision
        ``'fp32'``, ``'bf16'`` or ``'fp16'``: what it was really computed in.
    scale
        Multiple of the network's usual number of tokens that it was computed with.
    note
        What differs from the wanted options, in a few words; empty when nothing does.
    """

    outputs: Mapping[str, Tensor] = field(default_factory=dict)
    precision: str = 'fp32'
    scale: float = 1.0
    note: str = ''


class Runner:
    """Runs one network.

    Parameters
    ----------
    network
        Loaded network, on the CPU; it is moved, cast and its methods are replaced.
    infer
        Calls the network on a batch at a multiple of its usual number of tokens.
    options
        Device, precision, compilation and scale.
    last_resort
        Where frames are answered, in float32, once not even the smallest setting fits into the
        memory of the device. Usually the CPU, and nothing where that is the device already.
    one_resolution
        Whether `infer` works at one number of tokens only, so that fewer save no memory.
    """

    def __init__(
        self,
        network: nn.Module,
        infer: Infer,
        options: EstimatorOptions,
        last_resort: torch.device | None = None,
        *,
        one_resolution: bool = False,
    ) -> None:
        exported = is_exported(network)
        device = torch.device('cpu') if exported else torch_device(options.device)
        on_cuda = device.type == 'cuda'
        wanted = 'fp32' if exported else chosen_precision(options.precision, device)
        parameters = inspect.signature(network.forward).parameters
        self._infer = infer
        self._settings = settings(
            options.resolution_scale,
            has_crops='max_crops_per_batch' in parameters,
            one_resolution=one_resolution,
        )
        self._step = 0
        self._last_resort = torch.device('cpu') if on_cuda else last_resort
        self._device, self._wanted_precision = device, wanted
        self._cast = CastNetwork(network.eval(), wanted)
        compiled = options.compile and not exported
        self._points = install(network, compiled=compiled, on_cuda=on_cuda)
        self._uploads = Uploads(device)
        self._guarded = wanted != 'fp32'
        self._in_vain = 0
        self._retreated = ''
        self._move_in()

    @property
    def network(self) -> nn.Module:
        """The network, where and as it runs now."""
        return self._cast.network

    def warm_up(self, batch: Batch) -> Outcome:
        """Compile for the shape of a batch, record CUDA graphs and fill caches."""
        for point in self._points:
            point.warming_up = True
        try:
            outcomes = [self.run(batch) for _ in range(_WARM_UP_RUNS)]
        finally:
            for point in self._points:
                point.warming_up = False
        return outcomes[-1]

    def run(self, batch: Batch) -> Outcome:
        """Run the network on a batch.

        Raises
        ------
        InputError
            `out_of_memory` if not even the smallest setting fits, on the CPU either.
        """
        with torch.inference_mode():
            outputs = self._run_guarded(batch)
        setting = self._settings[self._step]
        return Outcome(outputs, self._cast.precision, setting.scale, self._note(setting))

    def _move_in(self) -> None:
        """Put the weights onto the device, or onto the last resort if they do not fit."""
        try:
            self._cast.move(self._device, self._wanted_precision)
            return
        except RuntimeError as error:
            if self._last_resort is None or not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
        self._retreat(self._last_resort, reason)

    def _run_guarded(self, batch: Batch) -> dict[str, Tensor]:
        """Run; once more in float32 where a lower precision gave what is no number."""
        outputs, finite = self._run_fitting(batch)
        if finite:
            self._in_vain = 0
        if finite or not self._guarded or self._in_vain == _MOST_IN_VAIN:
            return outputs
        low = self._cast.precision
        self._change_precision('fp32')
        exact, finite = self._run_fitting(batch)
        if not finite:
            # The network itself answers so: precision is not to blame, and stays.
            self._in_vain += 1
            if not self._retreated:
                self._change_precision(low)
            return outputs
        self._guarded = False
        _LOGGER.warning('the network overflows in %s; it runs in fp32 from now on', low)
        return exact

    def _run_fitting(self, batch: Batch) -> tuple[dict[str, Tensor], bool]:
        """Run with the first setting that fits into memory; return outputs, all finite or not."""
        while True:
            setting = self._settings[self._step]
            try:
                return self._run_once(batch, setting)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0]
            # Outside of the handler: its traceback would keep the tensors alive.
            self._step_down(len(batch), setting, reason)

    def _run_once(self, batch: Batch, setting: Setting) -> tuple[dict[str, Tensor], bool]:
        batch = self._uploads.upload(replace(batch, crops=setting.crops))
        answers = [
            self._answer(part, setting)
            for part in ([batch] if setting.together else batch.singles())
        ]
        finite = all(bool(answer.pop(_FINITE, True)) for answer in answers)
        if len(answers) == 1:
            return answers[0], finite
        return {name: torch.cat([a[name] for a in answers]) for name in answers[0]}, finite

    def _answer(self, batch: Batch, setting: Setting) -> dict[str, Tensor]:
        """Run one portion; what it answers and whether that is finite come back together."""
        for point in self._points:
            point.last_output = []
        outputs = dict(self._infer(self._cast.network, batch, setting.scale))
        if self._guarded:
            outputs[_FINITE] = all_finite(x for p in self._points for x in p.last_output)
        return download(outputs)

    def _step_down(self, images: int, failed: Setting, reason: str) -> None:
        step = self._step + 1
        if images == 1 and failed.together:
            step += 1  # one image at a time is what failed
        if step < len(self._settings):
            self._step = step
            self._forget_compiled_code()
            said = ', '.join(self._settings[step].differences(self._settings[0]))
            _LOGGER.warning('out of memory (%s); from now on: %s', reason, said)
        elif self._last_resort is not None:
            self._retreat(self._last_resort, reason)
        else:
            raise InputError(
                'out_of_memory',
                f'not even {failed.scale:.2g}x tokens of one image fit into memory ({reason}): '
                'use a smaller network or image, or free the memory that others hold.',
            )

    def _retreat(self, device: torch.device, reason: str) -> None:
        """Answer elsewhere from now on, at the smallest setting: it is slow enough there."""
        self._last_resort = None
        self._step = len(self._settings) - 1
        self._guarded = False
        self._forget_compiled_code(compiled=False)
        self._cast.move(device, 'fp32')
        self._uploads = Uploads(device)
        self._device, self._wanted_precision = device, 'fp32'
        self._retreated = f'on the {device.type.upper()}, out of memory'
        _LOGGER.warning(
            'out of memory (%s): the network runs on the %s from now on, slowly; free the memory '
            'that others hold and configure again',
            reason,
            device.type.upper(),
        )

    def _change_precision(self, precision: str) -> None:
        self._forget_compiled_code()
        self._cast.move(self._device, precision)

    def _forget_compiled_code(self, *, compiled: bool = True) -> None:
        for point in self._points:
            point.last_output = []
            point.start_over(compiled=compiled)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _note(self, setting: Setting) -> str:
        said = setting.differences(self._settings[0])
        if self._cast.precision != self._wanted_precision:
            said.append(f'{self._cast.precision} after overflow in {self._wanted_precision}')
        said += sorted({point.failure for point in self._points if point.failure})
        if self._retreated:
            said.append(self._retreated)
        return ', '.join(said)
