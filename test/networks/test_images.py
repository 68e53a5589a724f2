# SPDX-License-Identifier: Apache-2.0
"""Images as the networks take them."""

import pytest
import torch

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.images import batched, unit_range


def test_an_image_may_be_bytes_or_fractions():
    image = torch.randint(0, 256, (3, 5, 6), dtype=torch.uint8)

    assert torch.equal(unit_range(image), unit_range(image.float() / 255))


def test_one_image_is_a_batch_of_one():
    assert batched(torch.zeros(3, 5, 6)).shape == (1, 3, 5, 6)


@pytest.mark.parametrize('shape', [(5, 6), (5, 6, 3), (1, 4, 5, 6), (1, 1, 3, 5, 6)])
def test_what_is_no_rgb_image_is_refused(shape):
    with pytest.raises(InputError, match=r'expected \(3, H, W\)'):
        batched(torch.zeros(shape))
