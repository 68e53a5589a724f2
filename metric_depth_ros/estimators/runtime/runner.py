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
from metric_depth_ros.estimators.provenance import note_device
from metric_depth_ros.estimators.runtime.batch import Batch
from metric_depth_ros.estimators.runtime.entry_points import install
from metric_depth_ros.estimators.runtime.onnx_session import ExportedForward
from metric_depth_ros.estimators.runtime.precision import (
    CastNetwork,
    all_finite,
    chosen_precision,
    low_precision_of,
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


@dataclass(frozen=True)
class _Place:
    """Where and how a network runs.

    Parameters
    ----------
    device
        It is there.
    precision
        It computes in this.
    step
        Index of the setting: the first takes the most memory.
    retreated
        Whether this is the last resort.
    """

    device: torch.device
    precision: str
    step: int = 0
    retreated: bool = False


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
        forward = network.forward
        exported = forward if isinstance(forward, ExportedForward) else None
        device = exported.device if exported else torch_device(options.device)
        note_device(device.type)
        on_cuda = device.type == 'cuda'
        low = low_precision_of(network)
        precision = 'fp32' if exported else chosen_precision(options.precision, device, low)
        parameters = inspect.signature(forward).parameters
        self._network = network.eval()
        self._infer = infer
        self._settings = settings(
            options.resolution_scale,
            has_crops='max_crops_per_batch' in parameters and exported is None,
            one_resolution=one_resolution or exported is not None,
        )
        self._last_resort = torch.device('cpu') if on_cuda else last_resort
        self._move_weights = (exported or CastNetwork(network, precision)).move
        self._exported = exported is not None
        compiled = options.compile and not exported
        self._points = install(network, compiled=compiled, on_cuda=on_cuda)
        self._wanted_precision = precision
        self._guarded = precision != 'fp32'
        self._in_vain = 0
        self._move(_Place(device, precision))

    @property
    def network(self) -> nn.Module:
        """The network, where and as it runs now."""
        return self._network

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

    def ready_since_s(self) -> float:
        """Return since when nothing is compiled, as `Estimator.ready_since_s`."""
        return max((point.preparation.ended_s() for point in self._points), default=0.0)

    def run(self, batch: Batch) -> Outcome:
        """Run the network on a batch.

        Raises
        ------
        InputError
            `out_of_memory` if not even the smallest setting fits, on the CPU either.
        """
        with torch.inference_mode():
            outputs = self._run_guarded(batch)
        scale = self._settings[self._place.step].scale
        return Outcome(outputs, self._place.precision, scale, self._note())

    def _move(self, place: _Place) -> None:
        """Run there from now on, or on the last resort if the weights do not fit."""
        self._place = place
        self._forget_compiled_code(compiled=not place.retreated)
        try:
            self._move_weights(place.device, place.precision)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
        else:
            self._uploads = Uploads(torch.device('cpu') if self._exported else place.device)
            _free_unused_memory()  # what the weights held where they were
            return
        # Outside of the handler: its traceback would keep the tensors alive.
        self._retreat(f'the weights in {place.precision}', reason)

    def _run_guarded(self, batch: Batch) -> dict[str, Tensor]:
        """Run; once more in float32 where a lower precision gave what is no number."""
        outputs, finite = self._run_fitting(batch)
        if finite:
            self._in_vain = 0
        low = self._place
        if finite or low.precision == 'fp32' or self._in_vain == _MOST_IN_VAIN:
            return outputs
        full = replace(low, precision='fp32')
        try:
            self._move(full)
            exact, finite = self._run_fitting(batch)
        except Exception:
            self._move(low)
            raise
        if not finite:
            # The network itself answers so: precision is not to blame, and all is as before.
            self._in_vain += 1
            if self._place != full:
                _LOGGER.warning('fp32 needed this in vain: the network runs as before')
            self._move(low)
            return outputs
        self._guarded = False
        _LOGGER.warning('the network overflows in %s; it runs in fp32 from now on', low.precision)
        return exact

    def _run_fitting(self, batch: Batch) -> tuple[dict[str, Tensor], bool]:
        """Run with the first setting that fits into memory; return outputs, all finite or not."""
        while True:
            setting = self._settings[self._place.step]
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
        outputs = dict(self._infer(self._network, batch, setting.scale))
        if self._guarded:
            outputs[_FINITE] = all_finite(x for p in self._points for x in p.last_output)
        return download(outputs)

    def _step_down(self, images: int, failed: Setting, reason: str) -> None:
        step = self._place.step + 1
        if images == 1 and failed.together:
            step += 1  # one image at a time is what failed
        if step >= len(self._settings):
            self._retreat(f'{failed.scale:.2g}x tokens of one image', reason)
            return
        self._place = replace(self._place, step=step)
        self._forget_compiled_code()
        _free_unused_memory()
        said = ', '.join(self._settings[step].differences(self._settings[0]))
        _LOGGER.warning('out of memory (%s); from now on: %s', reason, said)

    def _retreat(self, least: str, reason: str) -> None:
        """Answer elsewhere from now on, at the smallest setting: it is slow enough there.

        Parameters
        ----------
        least
            What did not fit, with nothing less to try.
        reason
            In the words of the library.
        """
        if self._last_resort is None or self._place.retreated:
            raise InputError(
                'out_of_memory',
                f'not even {least} fit into memory ({reason}): use a smaller network or image, or '
                'free the memory that others hold.',
            )
        self._move(_Place(self._last_resort, 'fp32', len(self._settings) - 1, retreated=True))
        _LOGGER.warning(
            'out of memory (%s): the network runs on the %s from now on, slowly; free the memory '
            'that others hold and configure again',
            reason,
            self._last_resort.type.upper(),
        )

    def _forget_compiled_code(self, *, compiled: bool = True) -> None:
        for point in self._points:
            point.last_output = []
            point.start_over(compiled=compiled)

    def _note(self) -> str:
        place = self._place
        said = self._settings[place.step].differences(self._settings[0])
        if place.precision != self._wanted_precision and not place.retreated:
            said.append(f'{place.precision} after overflow in {self._wanted_precision}')
        said += sorted({point.failure for point in self._points if point.failure})
        if place.retreated:
            said.append(f'on the {place.device.type.upper()}, out of memory')
        return ', '.join(said)


def _free_unused_memory() -> None:
    """Give back to the GPU what tensors held that are gone."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
