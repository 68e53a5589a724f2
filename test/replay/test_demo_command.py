# SPDX-License-Identifier: Apache-2.0
"""The demo, small: everything it promises to leave behind."""

import pytest

from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.cli.main import main

pytest.importorskip('rclpy', reason='needs ROS 2 or its wheels')


def test_the_demo_leaves_bags_recordings_pictures_and_a_report(tmp_path, capsys):
    out, picture = tmp_path / 'demo', tmp_path / 'picture.png'
    arguments = ['--seconds', '0.6', '--scale', '0.2', '-p', 'estimator:=classical:fast']
    code = main(['demo', '--out', str(out), '--picture', str(picture), *arguments])
    assert code == 0, capsys.readouterr().err
    for scene in ('street', 'tabletop'):
        with BagReader(out / scene / 'recording') as recording:
            answered = recording.count('/depth/image')
        assert answered > 0
        assert len(list((out / scene / 'frames').glob('*.jpg'))) == answered
        assert (out / scene / 'figures.json').exists()
    report = (out / 'report.html').read_text()
    assert 'AbsRel' in report
    assert 'latency' in report
    assert 'src="data:image' in report
    assert picture.stat().st_size < 300_000


def test_the_demo_does_not_empty_a_folder_of_somebody_else(tmp_path, capsys):
    (tmp_path / 'street').mkdir()
    (tmp_path / 'street' / 'thesis.txt').write_text('years of work')
    assert main(['demo', '--out', str(tmp_path)]) == 2
    assert (tmp_path / 'street' / 'thesis.txt').exists()
    assert 'other files' in capsys.readouterr().err


def test_a_parameter_that_the_node_does_not_have_is_refused_before_the_work(tmp_path, capsys):
    out = tmp_path / 'demo'
    assert main(['demo', '--out', str(out), '-p', 'estimatr:=nearest']) == 2
    assert 'did you mean estimator?' in capsys.readouterr().err
    assert not out.exists()


def test_images_that_are_too_large_are_refused_before_anything_is_written(tmp_path, capsys):
    out = tmp_path / 'demo'
    assert main(['demo', '--out', str(out), '--scale', '200']) == 2
    said = capsys.readouterr().err
    assert 'an image of 166400x51200 has 8519680000 pixels' in said
    assert '--scale' in said
    assert not out.exists()


def test_a_file_is_no_folder_for_the_demo(tmp_path, capsys):
    path = tmp_path / 'file'
    path.write_text('')
    assert main(['demo', '--out', str(path)]) == 2
    assert f'--out: the folder {path} cannot be made' in capsys.readouterr().err
