# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from metric_depth_ros.estimators.runtime.workplace import Workplace

SMALL = torch.device('meta')  # stands for a GPU


def crowded(device):
    """Do what fits on the CPU only."""
    if device == SMALL:
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')
    return device.type


def test_work_stays_on_its_device_while_it_fits():
    place = Workplace(SMALL, 'the alignment')
    assert [place.do(lambda device: device.type) for _ in range(2)] == ['meta', 'meta']


def test_work_that_does_not_fit_goes_to_the_cpu_for_good_and_it_is_said_once(caplog):
    place = Workplace(SMALL, 'the alignment')
    assert [place.do(crowded) for _ in range(3)] == ['cpu'] * 3
    assert place.do(lambda device: device.type) == 'cpu'
    assert [record.message for record in caplog.records] == [
        'out of memory (CUDA out of memory. Tried to allocate 2 GiB): the alignment runs on the '
        'CPU from now on, slowly; free the memory that others hold and configure again'
    ]


@pytest.mark.parametrize(
    ('device', 'error'),
    [(SMALL, RuntimeError('shapes')), (torch.device('cpu'), torch.OutOfMemoryError('full'))],
)
def test_other_errors_and_those_of_the_cpu_are_not_swallowed(device, error):
    def failing(_):
        raise error

    with pytest.raises(type(error), match=str(error)):
        Workplace(device, 'the alignment').do(failing)
