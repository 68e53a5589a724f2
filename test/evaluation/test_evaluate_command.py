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
    assert 'src="data:image/' in html


def test_without_files_to_write_the_table_is_all(mini_set: Path) -> None:
    done = metric_depth('evaluate', mini_set, '--estimator', 'nearest')
    assert done.returncode == 0, done.stderr
    assert 'mini / grid' in done.stderr


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
