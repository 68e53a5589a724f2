# SPDX-License-Identifier: Apache-2.0
"""One network: every way of running it against a plain eager float32 run of the same network.

On the CPU a small network of the same architecture is measured unless the released size is asked
for. The limits of the released sizes hold on an H200 and are applied to no other machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from metric_depth_ros.bench.arithmetic import count_flops, finish, matrix_rate
from metric_depth_ros.bench.model_networks import Subject, find_subject
from metric_depth_ros.bench.stopwatch import Row, race
from metric_depth_ros.estimators.devices import torch_device
from metric_depth_ros.estimators.learned.example import example_depth
from metric_depth_ros.estimators.learned.presets import (
    REALTIME,
    REALTIME_NETWORKS,
    with_preset,
)
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch, Runner
from metric_depth_ros.estimators.runtime.buckets import STEADY_AFTER
from metric_depth_ros.estimators.runtime.onnx_session import open_exported
from metric_depth_ros.estimators.runtime.precision import DTYPES, low_precision_of

EAGER = 'eager fp32'
REALTIME_WAY = 'realtime'  # ends the names of the ways that use the preset

# Bars. The first two are ratios to the floor and to eager; the others hold on an H200.
_LARGEST_CPU_RATIO = 1.0 / 1.5
_LARGEST_TO_FLOOR = {'student_depthmap': 1.6, 'teacher': 1.6}
_LARGEST_MS = {'student_pointmap': 10.0, 'lingbot_depth': 12.0}
_LARGEST_REALTIME_MS = 25.0
_LARGEST_THREE_TO_ONE = {'student_pointmap': 2.6, 'lingbot_depth': 2.6}
_LARGEST_THREE_TO_ONE_OTHERS = 3.05
_LARGEST_ABS_REL = 0.005
_LARGEST_P99_TO_P50 = 1.15
_LARGEST_GROWTH = 1.01
_FRAMES_OF_SETTLING = 5

Way = Callable[[Batch], Mapping[str, Tensor]]
"""One way of running the network."""


def run(
    name: str, rounds: int, size: str = '', device: str = 'auto', frames: int = 0
) -> list[Row]:
    """Measure one network.

    Parameters
    ----------
    name
        Key of `estimators.learned.example.INFER`.
    rounds
        Calls of each candidate.
    size
        ``'small'`` or ``'released'``; empty takes the released one on a GPU only.
    device
        As of `EstimatorOptions`.
    frames
        Frames that memory may grow over; 0 takes 500 on a GPU and 50 on a CPU.

    Raises
    ------
    InputError
        A device that does not exist, or that this machine does not have.
    """
    place = torch_device(EstimatorOptions(device=device).device)
    on_cuda = place.type == 'cuda'
    size = size or ('released' if on_cuda else 'small')
    bench = ModelBench(find_subject(name, size), place)
    on_h200 = on_cuda and 'H200' in torch.cuda.get_device_name(place) and size == 'released'
    if on_cuda:
        return bench.gpu_rows(rounds, frames or 500, on_h200)
    return bench.cpu_rows(rounds, frames or 50)


class ModelBench:
    """Measurements of one network on one device.

    Parameters
    ----------
    subject
        Network and input.
    device
        Where it runs.
    """

    def __init__(self, subject: Subject, device: torch.device) -> None:
        self._name = subject.name
        self._subject = subject
        self._device = device
        self._batch = subject.batch()

    def cpu_rows(self, rounds: int, frames: int) -> list[Row]:
        """Compare eager, compiled and exported runs; the fastest of the latter has a bar."""
        with tempfile.TemporaryDirectory() as folder:
            candidates = {
                EAGER: self._eager(),
                'fp32': self._runner(),
                'fp32, compiled': self._runner(compile=True),
                'bf16': self._runner(precision='bf16'),
                'bf16, compiled': self._runner(precision='bf16', compile=True),
                **self._exported(Path(folder)),
                **self._realtime('fp32'),
            }
            rows = race(_named_calls(candidates, self._batch), rounds)
            errors = self._errors(candidates)
            fast = [row for row in rows if 'compiled' in row.name or 'ONNX' in row.name]
            best = min(fast, key=lambda row: row.ratio)
            checks = self._steadiness(best, candidates[best.name], rounds, frames)
        flops = count_flops(lambda: candidates[EAGER](self._batch))
        return [
            *(self._with_error(row, errors) for row in rows),
            self._floor(rows[0], flops, 'fp32'),
            *(replace(check, bar=None) for check in checks),
            replace(
                best,
                name=f'fastest compiled or exported: {best.name}',
                bar=_LARGEST_CPU_RATIO,
            ),
        ]

    def gpu_rows(self, rounds: int, frames: int, on_h200: bool) -> list[Row]:
        """Compare precisions, compiled code, three cameras, and the arithmetic floor."""
        network = self._subject.make()
        low = low_precision_of(network)
        steady = self._runner(low, compile=True)
        candidates = {
            EAGER: self._eager(),
            low: self._runner(low, network=network),
            f'{low}, compiled': steady,
            **self._realtime(low, compile=True),
        }
        rows = race(_named_calls(candidates, self._batch), rounds)
        errors = self._errors(candidates)
        flops = count_flops(lambda: candidates[EAGER](self._batch))
        floor = self._floor(rows[0], flops, low)
        fastest = rows[2]
        checks = [
            replace(
                fastest,
                name=f'{fastest.name}, to its floor',
                baseline=floor.name,
                ratio=fastest.p50_ms / floor.p50_ms,
                bar=_LARGEST_TO_FLOOR.get(self._name),
            ),
            replace(
                fastest,
                name=f'{fastest.name}, AbsRel',
                baseline=EAGER,
                ratio=errors[fastest.name],
                bar=_LARGEST_ABS_REL,
            ),
            *self._steadiness(fastest, steady, rounds, frames),
            *self._limits(rows, low),
        ]
        if not on_h200:
            checks = [replace(check, bar=None) for check in checks]
        return [*(self._with_error(row, errors) for row in rows), floor, *checks]

    def _steadiness(self, row: Row, way: Way, rounds: int, frames: int) -> list[Row]:
        """Measure whether a way that took `row` stays as quick and as small, also for three."""
        return [
            replace(
                row,
                name=f'{row.name}, p99',
                baseline='its p50',
                ratio=row.p99_ms / row.p50_ms,
                bar=_LARGEST_P99_TO_P50,
            ),
            self._three_cameras(way, rounds),
            self._growth(way, row, frames),
        ]

    def _realtime(self, precision: str, compile: bool = False) -> dict[str, Way]:
        """Return a run with the preset of that name, for the networks that have it."""
        if self._name not in REALTIME_NETWORKS:
            return {}
        network = with_preset(self._name, self._subject.make(), REALTIME)
        words = [precision, *(['compiled'] if compile else []), REALTIME_WAY]
        return {', '.join(words): self._runner(precision, compile, network)}

    def _eager(self) -> Way:
        """Return a run of the network with nothing of the runtime."""
        network = self._subject.make().to(self._device)

        def call(batch: Batch) -> Mapping[str, Tensor]:
            moved = batch.map(lambda tensor: tensor.to(self._device))
            with torch.inference_mode():
                outputs = self._subject.infer(network, moved, 1.0)
                return {name: tensor.cpu() for name, tensor in outputs.items()}

        return call

    def _runner(
        self, precision: str = 'fp32', compile: bool = False, network: nn.Module | None = None
    ) -> Way:
        """Return a warmed-up run through the runtime."""
        options = EstimatorOptions(device=str(self._device), precision=precision, compile=compile)
        runner = Runner(network or self._subject.make(), self._subject.infer, options)
        runner.warm_up(self._batch)
        return lambda batch: runner.run(batch).outputs

    def _exported(self, folder: Path) -> dict[str, Way]:
        """Return a run by ONNX Runtime, or nothing where it is not installed."""
        try:
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError:
            return {}
        from metric_depth_ros.estimators.runtime.onnx_export import export_network, recorded_call

        network, infer = self._subject.make(), self._subject.infer
        path = folder / f'{self._name}.onnx'
        export_network(
            self._name, network, recorded_call(network, infer, self._batch, 1.0), None, path
        )
        exported = open_exported(
            self._name, str(path), 'cpu', lambda _: self._subject.make().to('meta')
        )
        runner = Runner(exported, infer, EstimatorOptions(device='cpu'))
        return {'fp32, ONNX Runtime': lambda batch: runner.run(batch).outputs}

    def _errors(self, candidates: Mapping[str, Way]) -> dict[str, float]:
        """Return the mean relative difference of every candidate's depth to the first one's."""
        depths = {name: example_depth(call(self._batch)) for name, call in candidates.items()}
        right = depths[EAGER]
        both = {name: depth.isfinite() & right.isfinite() for name, depth in depths.items()}
        return {
            name: float(((depth - right).abs() / right)[both[name]].mean())
            for name, depth in depths.items()
        }

    def _with_error(self, row: Row, errors: Mapping[str, float]) -> Row:
        if row.name == EAGER:
            threads = (
                '' if self._device.type == 'cuda' else f', threads: {torch.get_num_threads()}'
            )
            size = f'{self._subject.width}x{self._subject.height}'
            return replace(row, name=f'{EAGER} ({size}{threads})')
        return replace(row, name=f'{row.name} (AbsRel to fp32 {errors[row.name]:.1e})')

    def _floor(self, eager: Row, flops: int, precision: str) -> Row:
        rate = matrix_rate(self._device, DTYPES[precision])
        floor_ms = 1e3 * flops / rate
        name = (
            f'arithmetic floor in {precision}: {flops / 1e12:.3g} TFLOP '
            f'at {rate / 1e12:.3g} TFLOP/s'
        )
        return Row(name, floor_ms, floor_ms, EAGER, floor_ms / eager.p50_ms)

    def _three_cameras(self, way: Way, rounds: int) -> Row:
        one, three = self._batch, self._subject.batch(3)
        for _ in range(STEADY_AFTER + 2):  # until three have compiled code of their own
            way(three)
        rows = race({'one': lambda: way(one), 'three': lambda: way(three)}, rounds)
        bar = _LARGEST_THREE_TO_ONE.get(self._name, _LARGEST_THREE_TO_ONE_OTHERS)
        return replace(rows[1], name='three cameras', baseline='one camera', bar=bar)

    def _growth(self, way: Way, timed: Row, frames: int) -> Row:
        for _ in range(_FRAMES_OF_SETTLING):
            way(self._batch)
        before = self._memory_bytes()
        for _ in range(frames):
            way(self._batch)
        return replace(
            timed,
            name=f'memory after {frames} frames',
            baseline='memory before',
            ratio=self._memory_bytes() / before,
            bar=_LARGEST_GROWTH,
        )

    def _memory_bytes(self) -> int:
        finish(self._device)
        held = torch.cuda.memory_reserved(self._device) if self._device.type == 'cuda' else 0
        return held + psutil.Process().memory_info().rss

    def _limits(self, rows: list[Row], low: str) -> list[Row]:
        """Return the rows whose time has a limit of its own."""
        limits = {f'{low}, compiled': _LARGEST_MS.get(self._name)}
        limits[f'{low}, compiled, {REALTIME_WAY}'] = _LARGEST_REALTIME_MS
        return [
            replace(
                row,
                name=f'{row.name}, to its limit',
                baseline=f'{limit:g} ms, the limit on an H200',
                ratio=row.p50_ms / limit,
                bar=1.0,
            )
            for row in rows
            if (limit := limits.get(row.name)) is not None
        ]


def _named_calls(candidates: Mapping[str, Way], batch: Batch) -> dict[str, Callable[[], object]]:
    return {
        name: (lambda call=call: call(batch))  # type: ignore[misc]
        for name, call in candidates.items()
    }
