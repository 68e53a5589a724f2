# SPDX-License-Identifier: Apache-2.0
import json
import subprocess
import sys
from pathlib import Path

import pytest


def metric_depth(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'metric_depth_ros.cli.main', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_evaluate_writes_figures_and_a_report(mini_set: Path, tmp_path: Path) -> None:
    out, page = tmp_path / 'out' / 'figures.json', tmp_path / 'out' / 'report.html'
    done = metric_depth(
        'evaluate', mini_set, '--estimator', 'nearest', '--json', out, '--html', page
    )
    assert done.returncode == 0, done.stderr
    assert 'mini / grid' in done.stderr
    result = json.loads(out.read_text())
    assert (result['estimator'], result['aggregation']) == ('nearest', 'per_image')
    assert result['weights'] == {}
    assert result['options']['precision'] == 'auto'
    assert {'processor', 'cores'} <= set(result['machine'])
    assert {'python', 'numpy'} <= set(result['versions'])
    assert [(g['set'], g['prompt']) for g in result['groups']] == [
        ('mini', 'grid'),
        ('mini', 'lidar'),
    ]
    group = result['groups'][0]
    assert {'abs_rel', 'mae_m', 'rmse_m', 'delta1', 'boundary_f1'} <= set(group['metrics'])
    assert {'abs_rel', 'mae_m'} <= set(group['metrics_unprompted'])
    assert group['frames'] == 2
    assert group['coverage'] == 1.0
    assert group['ms']['p50'] <= group['ms']['p95']
    assert 'box' in group['masks']
    html = page.read_text()
    assert 'mini / lidar' in html
    assert 'Estimator nearest on auto; options: device auto' in html
    assert 'src="data:image/' in html


def test_without_files_to_write_the_table_is_all(mini_set: Path) -> None:
    done = metric_depth('evaluate', mini_set, '--estimator', 'nearest')
    assert done.returncode == 0, done.stderr
    assert 'mini / grid' in done.stderr
    assert 'estimator nearest' in done.stderr


def test_options_of_a_network_without_the_name_of_one_are_refused(mini_set: Path) -> None:
    done = metric_depth('evaluate', mini_set, '--weights', 'mine.pt', '--backend', 'onnx')
    assert done.returncode == 2
    assert "estimator classical does not use weights 'mine.pt'" in done.stderr
    assert "backend 'onnx'" in done.stderr


def test_only_the_named_prompt_is_scored(mini_set: Path, tmp_path: Path) -> None:
    out = tmp_path / 'figures.json'
    done = metric_depth(
        'evaluate', mini_set, '--prompt', 'lidar', '--estimator', 'nearest', '--json', out
    )
    assert done.returncode == 0, done.stderr
    assert [g['prompt'] for g in json.loads(out.read_text())['groups']] == ['lidar']


def test_a_prompt_that_does_not_exist_exits_with_2(mini_set: Path, tmp_path: Path) -> None:
    out = tmp_path / 'figures.json'
    done = metric_depth('evaluate', mini_set, '--prompt', 'sonar', '--json', out)
    assert done.returncode == 2
    assert "'sonar' does not exist" in done.stderr
    assert 'grid, lidar' in done.stderr
    assert 'Traceback' not in done.stderr


def change(folder: Path, part: str, frames: slice, **values: object) -> None:
    """Change a part of the index, ``gt`` or the name of a prompt, in some of the frames."""
    index = json.loads((folder / 'frames.json').read_text())
    for frame in index['frames'][frames]:
        (frame['gt'] if part == 'gt' else frame['prompts'][part]).update(values)
    (folder / 'frames.json').write_text(json.dumps(index))


def test_frames_without_ground_truth_that_counts_are_warned_of(mini_set: Path) -> None:
    change(mini_set, 'gt', slice(1, 2), scale=1.0)  # of 2 m and 4 m in units of 1/256 m
    done = metric_depth('evaluate', mini_set, '--prompt', 'grid', '--estimator', 'nearest')
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if 'counts' in line]
    assert line.startswith('mini / grid: 1 of 2 frames have no pixel of ground truth that counts')
    assert 'the values are 512 to 1024 m with its scale 1, and min_m 0.1 to max_m 3.9' in line


def test_a_run_that_scores_nothing_exits_with_2(mini_set: Path, tmp_path: Path) -> None:
    change(mini_set, 'gt', slice(None), scale=1.0)
    out = tmp_path / 'figures.json'
    done = metric_depth('evaluate', mini_set, '--estimator', 'nearest', '--json', out)
    assert done.returncode == 2
    assert 'mini / lidar: 2 of 2 frames' in done.stderr
    assert 'nothing was scored' in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ('prompt', 'values', 'why'),
    [
        ('grid', {'scale': 1.0}, 'the values are 2000 to 4000 m with its scale 1.'),
        ('lidar', {'T_camera_sensor': None}, 'none of its 48 points is in the image with the'),
    ],
)
def test_an_empty_prompt_is_warned_of(
    mini_set: Path, tmp_path: Path, prompt: str, values: dict[str, object], why: str
) -> None:
    change(mini_set, prompt, slice(0, 1), **values)
    out = tmp_path / 'figures.json'
    options = ('--prompt', prompt, '--estimator', 'nearest', '--json', out)
    done = metric_depth('evaluate', mini_set, *options)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if 'empty' in line]
    assert line.startswith(f'mini / {prompt}: 1 of 2 frames have an empty prompt: of frame 0, ')
    assert why in line
    (group,) = json.loads(out.read_text())['groups']
    assert group['frames_without_prompt'] == 1


def test_a_condition_that_holds_exits_with_1(mini_set: Path, tmp_path: Path) -> None:
    arguments = ('evaluate', mini_set, '--prompt', 'grid', '--estimator', 'nearest')
    out = ('--json', tmp_path / 'figures.json')
    assert metric_depth(*arguments, *out, '--fail-if', 'delta1>2').returncode == 0
    failed = metric_depth(*arguments, *out, '--fail-if', 'metrics_unprompted.delta1<2')
    assert failed.returncode == 1
    assert 'metrics_unprompted.delta1<2' in failed.stderr
    assert metric_depth(*arguments, *out, '--fail-if', 'absrel>1').returncode == 2


def test_an_output_that_cannot_be_written_exits_with_2(mini_set: Path, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    done = metric_depth('evaluate', mini_set, '--json', tmp_path / 'file' / 'figures.json')
    assert done.returncode == 2
    assert '--json' in done.stderr


def test_one_name_for_two_files_is_refused(mini_set: Path, tmp_path: Path) -> None:
    out = tmp_path / 'x.html'
    done = metric_depth('evaluate', mini_set, '--json', out, '--html', mini_set / '..' / 'x.html')
    assert done.returncode == 2
    assert f'--json and --html are both {out}: name two files.' in done.stderr
    assert not out.exists()


@pytest.mark.parametrize('option', ['--json', '--html'])
def test_a_full_disk_exits_with_2(mini_set: Path, option: str) -> None:
    done = metric_depth('evaluate', mini_set, '--estimator', 'nearest', option, '/dev/full')
    assert done.returncode == 2
    assert f'{option} /dev/full cannot be written: No space left' in done.stderr


@pytest.mark.parametrize('name', ['room [dark]', 'room [/b]'])
def test_the_name_of_a_set_is_shown_as_it_is(mini_set: Path, name: str) -> None:
    index = json.loads((mini_set / 'frames.json').read_text())
    (mini_set / 'frames.json').write_text(json.dumps(index | {'name': name}))
    done = metric_depth('evaluate', mini_set, '--estimator', 'nearest')
    assert done.returncode == 0, done.stderr
    assert f'{name} / grid' in done.stderr
