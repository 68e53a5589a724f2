# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.estimators.runtime import Batch, Runner
from metric_depth_ros.estimators.runtime import runner as runner_module

CPU = {'device': 'cpu'}


class Doubling(nn.Module):
    """Twice its input, plus a weight that no lower precision can hold."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(1.0 + 2.0**-20))
        self.calls = []

    def forward(self, images, max_crops_per_batch=None):
        self.calls.append((len(images), max_crops_per_batch))
        return 2.0 * images.to(self.offset.dtype) + self.offset


class Hungry(Doubling):
    """Runs out of memory unless what it is given is small enough."""

    def __init__(self, fits):
        super().__init__()
        self.fits = fits

    def forward(self, images, max_crops_per_batch=None):
        if not self.fits(len(images), max_crops_per_batch, images.shape[-1]):
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20 GiB')
        return super().forward(images, max_crops_per_batch)


class Overflowing(nn.Module):
    """Yields NaN in some precisions."""

    def __init__(self, bad):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0 + 2.0**-20))
        self.bad = bad

    def forward(self, images):
        answer = images.to(self.weight.dtype) * self.weight
        return answer * torch.nan if self.weight.dtype in self.bad else answer


def infer(network, batch, scale):
    side = round(batch.images.shape[-1] * scale)
    images = nn.functional.interpolate(batch.images, size=(side, side))
    if batch.crops is None:
        return {'depth': network(images)[:, 0]}
    return {'depth': network(images, batch.crops)[:, 0]}


def batch(images=1, side=9):
    return Batch(torch.rand(images, 3, side, side))


def test_outputs_are_float32_on_the_cpu():
    outcome = Runner(Doubling(), infer, EstimatorOptions(**CPU, precision='bf16')).run(batch())
    assert outcome.outputs['depth'].dtype == torch.float32
    assert outcome.outputs['depth'].device.type == 'cpu'
    assert outcome.precision == 'bf16'
    assert outcome.note == ''


def test_a_cpu_computes_in_float32_unless_told_otherwise():
    assert Runner(Doubling(), infer, EstimatorOptions(**CPU)).run(batch()).precision == 'fp32'


def test_the_batch_goes_through_whole_while_it_fits():
    network = Doubling()
    Runner(network, infer, EstimatorOptions(**CPU)).run(batch(3))
    assert network.calls == [(3, None)]


def test_a_batch_too_large_for_the_memory_goes_image_by_image():
    network = Hungry(lambda images, crops, side: images == 1)
    data = batch(3)
    outcome = Runner(network, infer, EstimatorOptions(**CPU)).run(data)
    torch.testing.assert_close(outcome.outputs['depth'], 2 * data.images[:, 0] + network.offset)
    assert outcome.note == 'one image at a time'


def test_fewer_crops_at_once_come_before_a_lower_resolution():
    network = Hungry(lambda images, crops, side: crops is not None and crops <= 12)
    outcome = Runner(network, infer, EstimatorOptions(**CPU)).run(batch())
    assert outcome.scale == 1.0
    assert '12 crops at once' in outcome.note


def test_an_image_too_large_for_the_memory_is_retried_smaller():
    network = Hungry(lambda images, crops, side: side <= 3)
    outcome = Runner(network, infer, EstimatorOptions(**CPU)).run(batch())
    assert outcome.scale == pytest.approx(1 / 3)
    assert '0.33x tokens' in outcome.note


def test_a_smaller_setting_stays_for_the_next_frames():
    network = Hungry(lambda images, crops, side: side <= 3)
    runner = Runner(network, infer, EstimatorOptions(**CPU))
    runner.run(batch())
    network.calls.clear()
    assert runner.run(batch()).scale == pytest.approx(1 / 3)
    assert len(network.calls) == 1


def test_what_never_fits_is_refused_and_the_runner_lives():
    network = Hungry(lambda images, crops, side: side <= 1)
    runner = Runner(network, infer, EstimatorOptions(**CPU))
    with pytest.raises(InputError, match='fit into memory') as refused:
        runner.run(batch(side=90))
    assert refused.value.fault == 'out_of_memory'
    assert runner.run(batch(side=9)).outputs['depth'].shape == (1, 1, 1)


class SmallDevice(Doubling):
    """Never fits while its weights are in the precision that only the device has."""

    def forward(self, images, max_crops_per_batch=None):
        if self.offset.dtype == torch.bfloat16:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20 GiB')
        return super().forward(images, max_crops_per_batch)


def retreating(network):
    """Return a runner whose device is played by bf16, and whose last resort is the CPU."""
    options = EstimatorOptions(**CPU, precision='bf16')
    return Runner(network, infer, options, last_resort=torch.device('cpu'))


def test_what_fits_on_the_device_in_no_setting_is_answered_on_the_cpu():
    network, data = SmallDevice(), batch()
    outcome = retreating(network).run(data)
    assert (outcome.precision, outcome.scale) == ('fp32', pytest.approx(1 / 9))
    assert '0.11x tokens, on the CPU, out of memory' in outcome.note
    assert network.offset.item() == 1.0 + 2.0**-20  # the exact weights, not the rounded ones


def test_the_cpu_keeps_answering_and_it_is_said_once(caplog):
    network = SmallDevice()
    runner = retreating(network)
    for _ in range(3):
        assert 'on the CPU' in runner.run(batch()).note
    assert len(network.calls) == 3
    assert sum('runs on the CPU' in record.message for record in caplog.records) == 1


def test_weights_that_do_not_fit_on_the_device_go_to_the_cpu_at_once():
    class Heavy(Doubling):
        def _apply(self, fn, recurse=True):
            if fn(torch.zeros(1)).dtype == torch.bfloat16:
                raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 4 GiB')
            return super()._apply(fn, recurse)

    outcome = retreating(Heavy()).run(batch())
    assert 'on the CPU' in outcome.note
    assert outcome.outputs['depth'].isfinite().all()


def test_what_does_not_even_fit_on_the_cpu_is_refused():
    with pytest.raises(InputError, match='fit into memory'):
        retreating(Hungry(lambda images, crops, side: False)).run(batch())


class Tight(Doubling):
    """Has no room for its exact weights the first times, after some of them are cast."""

    def __init__(self, failures):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.failures = failures

    def forward(self, images, max_crops_per_batch=None):
        assert self.offset.dtype == self.scale.dtype
        answer = super().forward(images) * self.scale
        return answer.where(answer < 100.0, torch.nan) if answer.dtype != torch.float32 else answer

    def _apply(self, fn, recurse=True):
        exact = fn(torch.zeros(1, dtype=torch.float16)).dtype == torch.float32
        if exact and self.scale.dtype != torch.float32 and self.failures:
            self.failures -= 1
            self.offset.data = fn(self.offset.data)
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20 MiB')
        return super()._apply(fn, recurse)


def test_a_change_of_precision_that_does_not_fit_ends_on_the_cpu():
    network = Tight(1)
    outcome = retreating(network).run(of_value(1000.0))
    assert (outcome.precision, network.failures) == ('fp32', 0)
    assert 'on the CPU, out of memory' in outcome.note
    assert torch.equal(outcome.outputs['depth'].unique(), 2000.0 + network.offset.detach()[None])


@pytest.mark.parametrize(('failures', 'last_resort'), [(1, None), (2, torch.device('cpu'))])
def test_a_change_of_precision_that_fits_nowhere_leaves_the_network_as_it_was(
    failures, last_resort
):
    options = EstimatorOptions(**CPU, precision='fp16')
    runner = Runner(Tight(failures), infer, options, last_resort)
    before = runner.run(of_value(1.0))
    with pytest.raises(InputError, match='not even the weights in fp32 fit into memory'):
        runner.run(of_value(1000.0))
    after = runner.run(of_value(1.0))
    assert (after.precision, after.note) == (before.precision, before.note) == ('fp16', '')
    assert torch.equal(after.outputs['depth'], before.outputs['depth'])


@pytest.mark.parametrize(
    'words', ['CUDA error: CUBLAS_STATUS_ALLOC_FAILED', "can't allocate memory: you tried"]
)
def test_libraries_that_report_lack_of_memory_in_their_own_way_are_understood(words):
    class Library(Doubling):
        def forward(self, images, max_crops_per_batch=None):
            if len(images) > 1:
                raise RuntimeError(words)
            return super().forward(images, max_crops_per_batch)

    outcome = Runner(Library(), infer, EstimatorOptions(**CPU)).run(batch(2))
    assert outcome.note == 'one image at a time'


def test_other_errors_of_the_network_are_not_swallowed():
    class Broken(Doubling):
        def forward(self, images, max_crops_per_batch=None):
            raise RuntimeError('shapes cannot be multiplied')

    with pytest.raises(RuntimeError, match='cannot be multiplied'):
        Runner(Broken(), infer, EstimatorOptions(**CPU)).run(batch())


@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
def test_a_precision_that_yields_nan_falls_back_to_exact_float32(precision):
    network = Overflowing({torch.bfloat16, torch.float16})
    data = batch()
    runner = Runner(network, infer, EstimatorOptions(**CPU, precision=precision))
    outcome = runner.run(data)
    assert outcome.precision == 'fp32'
    assert outcome.note == f'fp32 after overflow in {precision}'
    assert torch.equal(outcome.outputs['depth'], data.images[:, 0] * (1.0 + 2.0**-20))
    assert runner.run(data).precision == 'fp32'


def test_the_fallback_is_said_once(caplog):
    runner = Runner(
        Overflowing({torch.bfloat16}), infer, EstimatorOptions(**CPU, precision='bf16')
    )
    for _ in range(3):
        runner.run(batch())
    assert [record.message for record in caplog.records] == [
        'the network overflows in bf16; it runs in fp32 from now on'
    ]


def test_a_network_that_yields_nan_in_float32_too_keeps_its_precision():
    network = Overflowing({torch.bfloat16, torch.float32})
    outcome = Runner(network, infer, EstimatorOptions(**CPU, precision='bf16')).run(batch())
    assert outcome.precision == 'bf16'
    assert outcome.note == ''


class OverflowingAbove(nn.Module):
    """Yields NaN for NaN, and in bf16 for numbers above 100."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.precisions = []

    def forward(self, images):
        self.precisions.append(self.weight.dtype)
        answer = images.to(self.weight.dtype) * self.weight
        if self.weight.dtype == torch.bfloat16:
            answer = answer.where(answer <= 100.0, torch.nan)
        return answer


def test_what_float32_needed_in_vain_is_not_kept():
    class Large(OverflowingAbove):
        def forward(self, images):
            if self.weight.dtype == torch.float32 and len(images) > 1:
                raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20 MiB')
            return super().forward(images)

    runner = Runner(Large(), infer, EstimatorOptions(**CPU, precision='bf16'))
    nothing = Batch(torch.full((2, 3, 4, 4), torch.nan))
    assert runner.run(nothing).note == ''
    assert runner.run(Batch(torch.ones(2, 3, 4, 4))).note == ''


def test_a_frame_that_is_no_number_on_the_cpu_either_does_not_keep_it_there(caplog):
    class Heavy(OverflowingAbove):
        exact_weights_fit = False

        def _apply(self, fn, recurse=True):
            exact = fn(torch.zeros(1, dtype=torch.float16)).dtype == torch.float32
            if exact and not self.exact_weights_fit:
                self.exact_weights_fit = True  # on the CPU
                raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 4 GiB')
            return super()._apply(fn, recurse)

    runner = retreating(Heavy())
    outcome = runner.run(of_value(torch.nan))
    assert (outcome.precision, outcome.note) == ('bf16', '')
    assert caplog.records[-1].message == 'fp32 needed this in vain: the network runs as before'
    assert runner.run(of_value(1.0)).precision == 'bf16'


def of_value(value):
    return Batch(torch.full((1, 3, 9, 9), value))


def test_an_input_without_numbers_does_not_end_the_watch_for_overflow():
    runner = Runner(OverflowingAbove(), infer, EstimatorOptions(**CPU, precision='bf16'))
    for value, precision in ((torch.nan, 'bf16'), (1.0, 'bf16'), (1000.0, 'fp32')):
        outcome = runner.run(of_value(value))
        assert outcome.precision == precision
    assert outcome.outputs['depth'].isfinite().all()


def test_inputs_without_numbers_are_not_computed_twice_for_ever():
    network = OverflowingAbove()
    runner = Runner(network, infer, EstimatorOptions(**CPU, precision='bf16'))
    for _ in range(10):
        runner.run(of_value(torch.nan))
    assert network.precisions.count(torch.float32) == 3
    runner.run(of_value(1.0))  # numbers again: the watch goes on
    assert runner.run(of_value(1000.0)).precision == 'fp32'


def test_infinity_that_the_finish_puts_for_the_sky_is_no_overflow():
    def with_sky(network, data, scale):
        return {'depth': network(data.images).index_fill(2, torch.tensor([0]), torch.inf)}

    network = Overflowing(set())
    outcome = Runner(network, with_sky, EstimatorOptions(**CPU, precision='bf16')).run(batch())
    assert outcome.precision == 'bf16'


def test_tensors_beside_the_images_stay_with_their_image():
    def infer_all(network, data, scale):
        return {'sum': network(data.images)[:, 0, 0, 0] + data.focal_px + data.prompts['unit']}

    network = Hungry(lambda images, crops, side: images == 1)
    data = Batch(torch.rand(3, 3, 2, 2), torch.arange(3.0), {'unit': 10 * torch.arange(3.0)})
    outcome = Runner(network, infer_all, EstimatorOptions(**CPU)).run(data)
    expected = 2 * data.images[:, 0, 0, 0] + network.offset.detach() + 11 * torch.arange(3.0)
    torch.testing.assert_close(outcome.outputs['sum'], expected)


def test_a_network_may_prefer_another_low_precision(monkeypatch):
    monkeypatch.setattr(runner_module, 'chosen_precision', lambda wanted, device, low: low)
    preferring = Doubling()
    preferring.low_precision = 'fp16'
    precisions = [
        Runner(network, infer, EstimatorOptions(**CPU)).run(batch()).precision
        for network in (Doubling(), preferring)
    ]
    assert precisions == ['bf16', 'fp16']


def test_what_the_weights_held_is_given_back_after_they_left(monkeypatch):
    events = []

    class Watched(SmallDevice):
        def _apply(self, fn, recurse=True):
            events.append('moved')
            return super()._apply(fn, recurse)

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: events.append('given back'))
    runner = retreating(Watched())
    events.clear()
    assert 'on the CPU' in runner.run(batch()).note
    assert events[-1] == 'given back'


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_gpu_answers_like_the_cpu():
    data = batch(2)
    options = EstimatorOptions(device='cuda', precision='fp32', compile=True)
    runner = Runner(Doubling(), infer, options)
    runner.warm_up(data)  # records the CUDA graph
    expected = Runner(Doubling(), infer, EstimatorOptions(**CPU)).run(data)
    for _ in range(2):
        outcome = runner.run(data)
        torch.testing.assert_close(outcome.outputs['depth'], expected.outputs['depth'])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_graph_recorded_in_one_thread_runs_in_another():
    runner = Runner(Doubling(), infer, EstimatorOptions(device='cuda', compile=True))
    runner.warm_up(batch())
    with ThreadPoolExecutor(1) as worker:
        outcome = worker.submit(runner.run, batch()).result()
    assert outcome.outputs['depth'].shape == (1, 9, 9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_gpu_takes_the_lower_precision_by_itself():
    assert Runner(Doubling(), infer, EstimatorOptions(device='cuda')).run(batch()).precision == (
        'bf16' if torch.cuda.get_device_capability() >= (8, 0) else 'fp32'
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_the_memory_of_a_gpu_running_out_is_survived():
    class Large(Doubling):
        def forward(self, images, max_crops_per_batch=None):
            if len(images) > 1:
                torch.empty(1 << 50, device=images.device)  # no GPU has a pebibyte
            return super().forward(images, max_crops_per_batch)

    outcome = Runner(Large(), infer, EstimatorOptions(device='cuda')).run(batch(2))
    assert outcome.note == 'one image at a time'


def test_a_network_of_one_resolution_is_not_retried_with_fewer_tokens():
    network = Hungry(lambda images, crops, side: side <= 3)
    runner = Runner(network, infer, EstimatorOptions(**CPU), one_resolution=True)
    with pytest.raises(InputError, match='not even 1x tokens'):
        runner.run(batch())
