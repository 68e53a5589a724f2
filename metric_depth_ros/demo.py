# SPDX-License-Identifier: Apache-2.0
"""The whole chain without any hardware: simulate, replay through the live node, score, report.

May import everything below the commands. torch and rclpy are loaded only while a demo runs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.errors import InputError
from metric_depth_ros.evaluation.error_report import ErrorReport
from metric_depth_ros.evaluation.report import Section, Table, write_report
from metric_depth_ros.evaluation.result_pictures import result_pictures
from metric_depth_ros.replay.given_parameters import single_parameters

if TYPE_CHECKING:
    from metric_depth_ros.replay.session import ReplayRun
    from metric_depth_ros.simulation.scene import Scene

Picture = NDArray[np.uint8]
# Called with what is being done, and how many steps of how many are done.
Progress = Callable[[str, int, int], None]

_MARKER = '.metric_depth_demo'  # a folder without it was not made by a demo, and is not emptied
_REPORT = 'report.html'
_OVERVIEW_FRAMES = 3
_SEED = 1
_SLOWER = 0.4  # of the frames a second, for a machine that could not keep up
_FRAME_WIDTH_PX = 1920
_GAP_PX = 6
_SHADE = 8
_METRICS = (
    ('AbsRel', 'abs_rel'),
    ('MAE m', 'mae_m'),
    ('RMSE m', 'rmse_m'),
    ('δ1', 'delta1'),
)


@dataclass(frozen=True)
class DemoScene:
    """One part of the demo: which scene, what the reader is told, and the sensor it shows."""

    name: str
    title: str
    text: str


SCENES = (
    DemoScene(
        'street',
        'Street drive: camera and 32-line LiDAR',
        'A simulated drive. The LiDAR sits beside the camera, so that its cloud holds points that '
        'the camera cannot see; it has range noise and drop-outs.',
    ),
    DemoScene(
        'tabletop',
        'Table top: color camera and registered depth camera',
        'A simulated camera moves around a table. The structured-light depth has noise, steps, '
        'and holes at edges, behind objects and on shiny surfaces; the prompt is what is left.',
    ),
)


@dataclass(frozen=True, eq=False)
class DemoPart:
    """What came out of one scene: figures as in the JSON of a replay, pictures by caption.

    `passed_over` is a sentence about the frames that the node did not get to, or empty.
    """

    scene: DemoScene
    figures: dict[str, Any]
    failures: list[str]
    pictures: list[dict[str, Picture]]
    report: ErrorReport
    passed_over: str = ''


def run_demo(
    out: Path,
    *,
    seconds: float = 4.0,
    rate_hz: float = 5.0,
    size_scale: float = 1.0,
    parameters: Sequence[str] = (),
    progress: Progress = lambda text, done, total: None,
) -> list[DemoPart]:
    """Run the demo and write its report.

    Parameters
    ----------
    out
        Folder to write into: a bag, the recorded answers, figures and a picture per frame for
        each scene, and ``report.html``. What an earlier demo left there is replaced.
    seconds, rate_hz
        Length of each recording, and frames a second.
    size_scale
        Size of the images against the scenes' own.
    parameters
        Parameters of the node, ``name:=value`` each.
    progress
        Called as the work goes on.

    Raises
    ------
    InputError
        `out` holds something that no demo has made, the node has no such parameter, or the images
        are too large.
    """
    single_parameters(parameters)  # refused before the work
    worlds = [_make_world(scene.name, size_scale) for scene in SCENES]
    _prepare(out)
    parts = [
        _run_scene(out / scene.name, scene, world, seconds, rate_hz, parameters, progress)
        for scene, world in zip(SCENES, worlds, strict=True)
    ]
    write_report(out / _REPORT, 'Metric depth demo', [_overview(parts), *map(_section, parts)])
    return parts


def refuse_unwritable_picture(path: Path, option: str) -> None:
    """Try to write a picture of this kind, into memory, before there is one.

    Raises
    ------
    InputError
        OpenCV writes no pictures whose names end so; the message names the option.
    """
    try:
        can_write, _ = cv2.imencode(path.suffix, np.zeros((64, 64, 3), np.uint8))
    except cv2.error:
        can_write = False
    if not can_write:
        raise InputError(
            'output_path',
            f'{option} {path} ends in {path.suffix!r}, which is no kind of color picture that '
            'can be written: name a .png or a .jpg file.',
        )


def write_overview_picture(parts: Sequence[DemoPart], path: Path, width_px: int = 1000) -> None:
    """Write one picture of all scenes: image, prompt, depth and cloud of a middle frame each.

    A scene of which no frame was answered has none; without any there is no picture.
    """
    wanted = ('image', 'prompt', 'depth', 'cloud')
    rows = []
    for part in parts:
        if not part.pictures:
            continue
        pictures = part.pictures[len(part.pictures) // 2]
        chosen = [p for name in wanted for key, p in pictures.items() if key.startswith(name)]
        is_wide = chosen[0].shape[1] > 2 * chosen[0].shape[0]
        for row in (chosen[:2], chosen[2:]) if is_wide else (chosen,):
            rows.append(_strip(row, width_px))
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # A PNG of fewer shades is half as large, and nobody sees the difference.
    _write_picture(path, np.concatenate(rows) // _SHADE * _SHADE + _SHADE // 2)


def _strip(pictures: Sequence[Picture], width_px: int) -> Picture:
    """Put pictures of any size side by side at one height, `width_px` wide in all."""
    shape = sum(p.shape[1] / p.shape[0] for p in pictures)
    height = round((width_px - _GAP_PX * (len(pictures) - 1)) / shape)
    strip = np.full((height + _GAP_PX, width_px, 3), 255, np.uint8)
    left = 0
    for picture in pictures:
        width = min(round(picture.shape[1] / picture.shape[0] * height), width_px - left)
        strip[:height, left : left + width] = cv2.resize(
            picture, (width, height), interpolation=cv2.INTER_AREA
        )
        left += width + _GAP_PX
    return strip


def _prepare(out: Path) -> None:
    marker = out / _MARKER
    if out.exists() and not marker.exists() and any(out.iterdir()):
        raise InputError(
            'output_path', f'--out {out} holds other files: name a new or an empty folder.'
        )
    out.mkdir(parents=True, exist_ok=True)
    marker.touch()
    (out / _REPORT).unlink(missing_ok=True)
    for scene in SCENES:
        shutil.rmtree(out / scene.name, ignore_errors=True)


def _run_scene(
    folder: Path,
    scene: DemoScene,
    world: Scene,
    seconds: float,
    rate_hz: float,
    parameters: Sequence[str],
    progress: Progress,
) -> DemoPart:
    from metric_depth_ros.replay.figures import failures, replay_figures
    from metric_depth_ros.replay.published import DEPTH_TOPIC
    from metric_depth_ros.replay.scoring import score_recording
    from metric_depth_ros.replay.session import ReplayOptions, replay
    from metric_depth_ros.simulation.recording import record

    folder.mkdir()
    bag = folder / 'bag'
    record(
        world,
        bag,
        count=max(1, round(seconds * rate_hz)),
        rate_hz=rate_hz,
        seed=_SEED,
        progress=lambda done, total: progress(f'{scene.name}: simulate', done, total),
    )
    options = ReplayOptions(
        bag=bag, out=folder, parameters=parameters, with_points=True, with_confidence=True
    )
    result = replay(options, lambda done, total: progress(f'{scene.name}: replay', done, total))
    score = score_recording(bag, result.streams, result.recording, DEPTH_TOPIC, result.settings)
    figures = replay_figures(options, result, score)
    (folder / 'figures.json').write_text(
        json.dumps(figures, indent=2, allow_nan=False) + '\n', encoding='utf-8'
    )
    report = ErrorReport()
    pictures = _picture_frames(folder, bag, result, report, progress)
    slower_hz = _SLOWER * rate_hz
    return DemoPart(
        scene,
        figures,
        failures(figures, result, (), slower_hz),
        pictures,
        report,
        passed_over(figures, slower_hz),
    )


def passed_over(figures: Mapping[str, Any], slower_hz: float) -> str:
    """Return why frames that the node accounted for were not answered; empty if all were."""
    counts = {'replaced by newer ones': 'replaced', 'too old': 'stale', 'refused': 'bad_input'}
    reasons = [f'{figures[key]} {text}' for text, key in counts.items() if figures[key]]
    if not reasons:
        return ''
    remedy = 'node.log in the folder of the scene says why.'
    if figures['replaced'] or figures['stale']:
        remedy = (
            f'The machine was too busy or is too slow for them: --rate {slower_hz:g} asks for '
            'fewer a second.'
        )
    return (
        f'Frames that were not answered: {", ".join(reasons)}, of {figures["frames_in"]}. {remedy}'
    )


def _make_world(name: str, size_scale: float) -> Scene:
    from metric_depth_ros.simulation.scenes import default_size, make_scene

    width, height = (max(32, round(side * size_scale)) for side in default_size(name))
    return make_scene(name, (width, height), _SEED)


def _picture_frames(
    folder: Path, bag: Path, run: ReplayRun, report: ErrorReport, progress: Progress
) -> list[dict[str, Picture]]:
    """Write a picture per frame; return those of a few, from the first to the last."""
    from metric_depth_ros.replay.answered import add_to_report, answered_frames, estimate_of
    from metric_depth_ros.replay.published import DEPTH_TOPIC

    (folder / 'frames').mkdir()
    with BagReader(run.recording) as reader:
        count = reader.count(DEPTH_TOPIC)
    shown = set(np.linspace(0, count - 1, _OVERVIEW_FRAMES).round().astype(int).tolist())
    chosen = []
    for i, (replayed, latency_ms) in enumerate(answered_frames(bag, run)):
        add_to_report(report, replayed, latency_ms)
        pictures = result_pictures(replayed.frame, estimate_of(replayed), replayed.ground_truth)
        shown_here = list(pictures.values())
        rows = [_strip(shown_here[at : at + 3], _FRAME_WIDTH_PX) for at in (0, 3)]
        _write_picture(folder / 'frames' / f'{i:04d}.jpg', np.concatenate(rows))
        if i in shown:
            chosen.append(pictures)
        progress(f'{folder.name}: pictures', i + 1, count)
    return chosen


def _write_picture(path: Path, picture: Picture) -> None:
    is_png = path.suffix.lower() == '.png'
    options = [cv2.IMWRITE_PNG_COMPRESSION, 9] if is_png else [cv2.IMWRITE_JPEG_QUALITY, 88]
    if not cv2.imwrite(str(path), picture[..., ::-1], options):
        raise InputError('output_path', f'the picture {path} cannot be written.')


def _overview(parts: Sequence[DemoPart]) -> Section:
    machine = parts[0].figures['machine']
    accuracy = [
        [p.scene.name, over, *(p.figures[key][name] for _, name in _METRICS)]
        for p in parts
        for over, key in (
            ('all pixels', 'metrics'),
            ('pixels without a measurement', 'metrics_unprompted'),
        )
    ]
    latency = [
        [
            p.scene.name,
            f'{p.figures["frames_out"]} of {p.figures["frames_in"]}',
            p.figures['latency_ms']['p50'],
            p.figures['latency_ms']['p95'],
            p.figures['latency_ms']['max'],
            p.figures['estimator_ms']['p50'],
            p.figures['cpu_percent'],
            p.figures['rss_mb']['end'],
        ]
        for p in parts
    ]
    return Section(
        'Accuracy and latency',
        [
            'Each recording was played in real time over DDS to the depth node in a process of '
            'its own; what it published was recorded and compared with the ground truth.',
            f'{machine["processor"]}, {machine["cores"]} cores; method '
            f'{parts[0].figures["method"]}. Latency is from the publication of an image to the '
            'receipt of its depth, with the cloud published too.',
        ],
        [
            Table(['scene', 'over', *(name for name, _ in _METRICS)], accuracy, 'Accuracy'),
            Table(
                ['scene', 'answered', 'latency p50 ms', 'p95 ms', 'max ms', 'estimator p50 ms',
                 'CPU %', 'memory MB'],
                latency,
                'Latency and load',
            ),
        ],
    )  # fmt: skip


def _section(part: DemoPart) -> Section:
    told = [part.scene.text, part.passed_over, *part.failures]
    return part.report.section(part.scene.title, ' '.join(told))
