# SPDX-License-Identifier: Apache-2.0
"""Exact nearest prompts, by tree and by rows."""

import pytest

torch = pytest.importorskip('torch')

from metric_depth_ros.estimators.alignment import PromptList  # noqa: E402
from metric_depth_ros.estimators.alignment.neighbors import row_search, tree_search  # noqa: E402


def prompt_maps(height, width, counts, seed=3):
    generator = torch.Generator().manual_seed(seed)
    depth = torch.full((len(counts), height * width), torch.nan)
    for image, count in enumerate(counts):
        depth[image, torch.randperm(height * width, generator=generator)[:count]] = 5.0
    return depth.reshape(len(counts), height, width)


def brute_force(depth, rows, columns, count):
    found = []
    for image in depth:
        where = torch.argwhere(image > 0).float()
        squared = (rows[:, None, None] - where[:, 0]) ** 2 + (columns[:, None] - where[:, 1]) ** 2
        missing = torch.full((*squared.shape[:2], count), torch.inf)
        found.append(torch.cat((squared, missing), -1).sort(-1).values[..., :count])
    return torch.stack(found)


def lines(height, width):
    depth = torch.full((1, height, width), torch.nan)
    depth[:, height // 2 :: 5, ::2] = 3.0
    return depth


CASES = {
    'random': (prompt_maps(45, 83, [300, 41]), 1),
    'stride 4, size no multiple of it': (prompt_maps(45, 83, [300, 41]), 4),
    'few': (prompt_maps(30, 20, [1, 4, 0, 5]), 1),
    'every pixel': (prompt_maps(24, 32, [24 * 32]), 4),
    'scan lines below an empty sky': (lines(60, 90), 1),
}


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('search', [tree_search, row_search])
def test_search_finds_the_exact_nearest(search, case):
    depth, stride = CASES[case]
    rows, columns = (
        torch.arange(-(-side // stride)) * float(stride) + (stride - 1) / 2
        for side in depth.shape[1:]
    )
    prompts = PromptList.from_map(depth)
    slot, squared = search(prompts, rows, columns, 5)
    assert torch.equal(squared.sort(-1).values, brute_force(depth, rows, columns, 5))
    pixel = prompts.pixel.gather(1, slot.flatten(1)).reshape(slot.shape)
    down = pixel // prompts.width - rows[:, None, None]
    right = pixel % prompts.width - columns[:, None]
    there = squared.isfinite()
    assert torch.equal((down**2 + right**2)[there], squared[there])


def test_neighbors_of_a_position_are_distinct():
    depth = prompt_maps(40, 60, [200])
    rows, columns = torch.arange(40.0), torch.arange(60.0)
    for search in (tree_search, row_search):
        slot, _ = search(PromptList.from_map(depth), rows, columns, 5)
        assert (slot.sort(-1).values.diff(dim=-1) > 0).all()
