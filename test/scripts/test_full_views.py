# SPDX-License-Identifier: Apache-2.0
"""The table of weights on simulated views of full size."""

import full_views
import numpy as np
import pytest

from metric_depth_ros.types import Source, SparsePrompt


def _prompt(count, source=Source.LIDAR):
    uv = np.zeros((count, 2), np.float32)
    return SparsePrompt(
        uv,
        np.ones(count, np.float32),
        np.full(count, 0.01, np.float32),
        np.full(count, source, np.uint8),
    )


@pytest.mark.parametrize(('count', 'kind'), [(10_000, 0), (2_500, 1), (100, 3), (10, 4)])
def test_prompts_are_told_apart_by_the_distance_of_their_points(count, kind):
    assert full_views._kind_of(_prompt(count), 250_000) == full_views.KINDS[kind]


def test_radar_is_a_kind_of_its_own_however_dense():
    assert full_views._kind_of(_prompt(10_000, Source.RADAR), 250_000) == 'radar'


def test_ratios_are_geometric_means_over_prompts_with_flawed_images_apart():
    made, dense = full_views.Errors, full_views.KINDS[0]
    errors = {
        full_views.GUESS: {
            dense: [made(0.1, 1, 0.2), made(0.2, 1, 0.4)],
            'radar': [made(1, 9, 0)],
            full_views.FLAWED: [made(0.2, 2, 0.1)],
        },
        'mine': {
            dense: [made(0.05, 0.5, 0.3), made(0.2, 1, 0.5)],
            'radar': [made(1, 9, 0)],
            full_views.FLAWED: [made(0.3, 3, 0.2)],
        },
    }

    first, second, everything, flawed = list(full_views._table(errors))[2:]

    assert first.split(' | ')[1:] == ['2', '0.300', '0.711', '0.707', '0.400 |']
    assert second.split(' | ')[1:] == ['1', '0.000', '1.000', '1.000', '0.000 |']
    assert everything.split(' | ')[1:] == ['3', '0.200', '0.796', '0.794', '0.267 |']
    assert flawed.split(' | ')[1:] == ['1', '0.100', '1.498', '1.500', '0.200 |']
