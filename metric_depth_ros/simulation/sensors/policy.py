# SPDX-License-Identifier: Apache-2.0
"""What a network is shown in training: one random prompt of an example, of any kind and density.

May import examples and the sensors of this package. Prompts are made by the code that makes them
on a robot, so that their noise figures and sources are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from metric_depth_ros.prompting.depth_image import prompt_from_registered_depth
from metric_depth_ros.prompting.lidar import prompt_from_cloud
from metric_depth_ros.prompting.low_resolution import prompt_from_low_resolution
from metric_depth_ros.simulation.examples import Example
from metric_depth_ros.simulation.sensors import faults, patterns
from metric_depth_ros.simulation.sensors.rgbd import DepthCameraModel, measure
from metric_depth_ros.simulation.sensors.sfm import triangulated_corners
from metric_depth_ros.simulation.sensors.surfaces import fool
from metric_depth_ros.simulation.sensors.time_of_flight import TimeOfFlightModel, measure_cells
from metric_depth_ros.types import SparsePrompt

# How often each kind of prompt is drawn, relative to the others that the example can give.
SHARES: Mapping[str, float] = {
    'none': 0.02,
    'random': 0.22,
    'grid': 0.12,
    'lines': 0.10,
    'lidar': 0.22,
    'solid_state': 0.05,
    'radar': 0.08,
    'structured_light': 0.05,
    'stereo': 0.04,
    'time_of_flight': 0.04,
    'corners': 0.05,
    'blocks': 0.03,
}
_FEWEST = 10
_FEWEST_RETURNS = 3
_CLEANED = 0.7  # a node removes hidden points unless it is told not to
_THINNED = 0.35
_NOISY = 0.25
_WITH_HOLES = 0.1
_WITH_OUTLIERS = 0.25
_MERGED = 0.04  # two sensors on one robot
_UNREGISTERED = 0.2
_MOVED_TO_COLOR = 0.2  # point by point, from a depth camera with fewer pixels
_FOOLED = 0.5
_SENSOR_SCALE_PX = 580.0


def draw_prompt(
    example: Example, rng: np.random.Generator, shares: Mapping[str, float] = SHARES
) -> SparsePrompt:
    """Draw one prompt; sometimes it has no points at all.

    Parameters
    ----------
    example
        What to look at.
    rng
        Source of the choice and of all faults.
    shares
        How often each kind of prompt is drawn; kinds that the example lacks are left out.
    """
    prompt = _draw_one(example, rng, shares)
    if len(prompt) and rng.random() < _MERGED:
        prompt = SparsePrompt.merge((prompt, _draw_one(example, rng, shares)))
    if rng.random() < _WITH_HOLES:
        mask = patterns.block_mask(example.depth.shape, rng.uniform(0.1, 0.6), rng)
        prompt = faults.drop_under(prompt, mask)
    if rng.random() < _WITH_OUTLIERS:
        prompt = faults.misplace(prompt, rng.uniform(0.005, 0.07), rng)
    return prompt


def _draw_one(
    example: Example, rng: np.random.Generator, shares: Mapping[str, float]
) -> SparsePrompt:
    kind = _draw_kind(example, rng, shares)
    return SparsePrompt.empty() if kind is None else _DRAW[kind](example, rng)


def _draw_kind(
    example: Example, rng: np.random.Generator, shares: Mapping[str, float]
) -> str | None:
    if not patterns.valid(example.depth).any():
        return None
    names = [
        name
        for name in shares
        if name not in _FROM_SENSORS or len(example.sensors.get(name, ())) >= _FEWEST_RETURNS
    ]
    weights = np.array([shares[name] for name in names])
    if not weights.sum() > 0.0:
        return None
    return names[rng.choice(len(names), p=weights / weights.sum())]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _none(example: Example, rng: np.random.Generator) -> SparsePrompt:
    return SparsePrompt.empty()


def _random(example: Example, rng: np.random.Generator) -> SparsePrompt:
    count = int(_log_uniform(rng, _FEWEST, 0.5 * example.depth.size))
    return _maybe_noisy(patterns.random_points(example.depth, count, rng), rng)


def _grid(example: Example, rng: np.random.Generator) -> SparsePrompt:
    factor = rng.choice((8.0, 16.0, _log_uniform(rng, 3.0, 24.0)))
    return _maybe_noisy(patterns.grid(example.depth, factor, rng.random() < 0.5), rng)


def _lines(example: Example, rng: np.random.Generator) -> SparsePrompt:
    lines = int(rng.choice((4, 8, 8, 16, 32, 64)))
    tilt = rng.normal(0.0, 0.05) * (rng.random() < 0.3)
    shots, half_height = int(_log_uniform(rng, 100, 600)), rng.uniform(0.3, 0.6)
    if rng.random() < 0.5:
        shots, half_height = 200, 0.5
    return _maybe_noisy(patterns.scan_lines(example.depth, lines, shots, half_height, tilt), rng)


def _lidar(name: str) -> Callable[[Example, np.random.Generator], SparsePrompt]:
    def draw(example: Example, rng: np.random.Generator) -> SparsePrompt:
        prompt = example.sensors[name]
        if rng.random() < _THINNED:
            prompt = faults.keep_share(prompt, _log_uniform(rng, 0.05, 0.9), rng)
        if rng.random() < _CLEANED:
            points = example.camera.unproject(prompt.uv, prompt.depth)
            prompt = prompt_from_cloud(example.camera, points, np.eye(4))
        return prompt

    return draw


def _radar(example: Example, rng: np.random.Generator) -> SparsePrompt:
    return faults.keep_share(example.sensors['radar'], rng.uniform(0.4, 1.0), rng)


def _structured_light(example: Example, rng: np.random.Generator) -> SparsePrompt:
    return _depth_camera(
        example, rng, edge_loss=rng.uniform(0.3, 0.9), darkness=rng.choice((0.0, 25.0, 50.0))
    )


def _stereo(example: Example, rng: np.random.Generator) -> SparsePrompt:
    return _depth_camera(
        example,
        rng,
        edge_loss=rng.uniform(0.0, 0.4),
        fattening_px=int(rng.integers(1, 4)),
        texture_need=rng.uniform(0.5, 3.0),
    )


def _depth_camera(
    example: Example,
    rng: np.random.Generator,
    *,
    edge_loss: float,
    fattening_px: int = 0,
    texture_need: float = 0.0,
    darkness: float = 0.0,
) -> SparsePrompt:
    """Measure with a depth camera of a size that suits the scene: of a hand, or of a truck."""
    typical = float(np.median(example.depth[patterns.valid(example.depth)]))
    noise_px = _log_uniform(rng, 0.03, 0.15)
    relative = _log_uniform(rng, 0.001, 0.03)
    model = DepthCameraModel(
        focal_px=_SENSOR_SCALE_PX,
        baseline_m=noise_px / relative * typical / _SENSOR_SCALE_PX,
        disparity_step_px=rng.choice((0.03125, 0.0625, 0.125)),
        disparity_noise_px=noise_px,
        noise_patch_px=_log_uniform(rng, 0.8, 6.0),
        min_depth_m=rng.uniform(0.0, 0.4) * typical,
        max_depth_m=_log_uniform(rng, 1.5, 20.0) * typical,
        edge_loss=edge_loss,
        fattening_px=fattening_px,
        texture_need=texture_need,
        darkness=darkness,
    )
    depth = example.depth
    if rng.random() < _FOOLED:
        depth = fool(depth, example.image, int(rng.integers(1, 5)), rng)
    depth = measure(depth, example.image, example.camera, model, rng)
    prompt = prompt_from_registered_depth(depth)
    if rng.random() < _MOVED_TO_COLOR:
        prompt = faults.keep_lattice(prompt, rng.uniform(1.05, 3.0))
    return _maybe_unregistered(prompt, example, rng)


def _time_of_flight(example: Example, rng: np.random.Generator) -> SparsePrompt:
    typical = float(np.median(example.depth[patterns.valid(example.depth)]))
    model = TimeOfFlightModel(
        factor=rng.choice((7.5, _log_uniform(rng, 3.0, 16.0))),
        smoothing_cells=rng.uniform(0.3, 1.0),
        noise_rel=_log_uniform(rng, 0.002, 0.03),
        max_depth_m=_log_uniform(rng, 1.2, 10.0) * typical,
    )
    height, width = example.depth.shape
    prompt = prompt_from_low_resolution(width, height, measure_cells(example.depth, model, rng))
    return _maybe_unregistered(prompt, example, rng)


def _corners(example: Example, rng: np.random.Generator) -> SparsePrompt:
    return triangulated_corners(
        example.depth,
        example.image,
        int(_log_uniform(rng, 50, 1500)),
        rng,
        relative_noise=_log_uniform(rng, 0.002, 0.05),
        outliers=rng.uniform(0.0, 0.08),
    )


def _blocks(example: Example, rng: np.random.Generator) -> SparsePrompt:
    mask = patterns.block_mask(example.depth.shape, rng.uniform(0.2, 0.8), rng)
    pixel = np.flatnonzero(patterns.valid(example.depth) & ~mask)
    return _maybe_noisy(patterns.at_pixels(example.depth, pixel), rng)


def _maybe_noisy(prompt: SparsePrompt, rng: np.random.Generator) -> SparsePrompt:
    if rng.random() < _NOISY:
        return faults.add_noise(prompt, _log_uniform(rng, 0.002, 0.03), rng)
    return prompt


def _maybe_unregistered(
    prompt: SparsePrompt, example: Example, rng: np.random.Generator
) -> SparsePrompt:
    if rng.random() < _UNREGISTERED:
        by_px = rng.normal(0.0, 0.005 * example.camera.width, 2)
        return faults.shift(prompt, by_px, example.camera.size)
    return prompt


_FROM_SENSORS = ('lidar', 'solid_state', 'radar')
_DRAW: Mapping[str, Callable[[Example, np.random.Generator], SparsePrompt]] = {
    'none': _none,
    'random': _random,
    'grid': _grid,
    'lines': _lines,
    'lidar': _lidar('lidar'),
    'solid_state': _lidar('solid_state'),
    'radar': _radar,
    'structured_light': _structured_light,
    'stereo': _stereo,
    'time_of_flight': _time_of_flight,
    'corners': _corners,
    'blocks': _blocks,
}
