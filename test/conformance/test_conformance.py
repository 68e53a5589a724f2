# SPDX-License-Identifier: Apache-2.0
"""Goldens are recomputed, compared as they say, and misses are not overlooked."""

import json
import math
import shutil

import numpy as np
import pytest

from metric_depth_ros.cli.main import main
from metric_depth_ros.conformance.golden import (
    Golden,
    Tolerance,
    compare,
    count_differences,
    find_goldens,
)
from metric_depth_ros.conformance.run import all_kinds, run_golden
from metric_depth_ros.errors import InputError

GOLDENS = (
    ('algorithms/boundary', 'boundary', 47),
    ('algorithms/focal_shift_moge', 'focal_shift_moge', 16),
    ('algorithms/focal_weiszfeld', 'focal_weiszfeld', 34),
    ('algorithms/knn_alignment', 'knn_alignment', 43),
    ('algorithms/losses', 'losses', 54),
    ('algorithms/metrics_moge', 'metrics_moge', 66),
    ('algorithms/metrics_omnidc', 'metrics_omnidc', 4),
    ('algorithms/metrics_radar', 'metrics_radar', 4),
    ('algorithms/metrics_student_eval', 'metrics_student_eval', 6),
    ('algorithms/promptda_fusion', 'promptda_fusion', 11),
    ('algorithms/sparse_sampler', 'sparse_sampler', 24),
    ('depth_pro/tiny', 'depth_pro', 44),
    ('depth_pro/tiny_1536', 'depth_pro', 20),
    ('depthlm', 'depthlm', 386),
    ('depthvlm/heads', 'depthvlm_heads', 12),
    ('depthvlm/metrics', 'depthvlm_metrics', 46),
    ('depthvlm/tiny', 'depthvlm', 164),
    ('lingbot_depth/tiny', 'lingbot_depth', 41),
    ('lingbot_depth/tiny_linear_multitap', 'lingbot_depth', 18),
    ('student_depthmap/tiny', 'student_depthmap', 46),
    ('student_depthmap/tiny_1536', 'student_depthmap', 30),
    ('student_pointmap/tiny', 'student_pointmap', 43),
)


@pytest.mark.parametrize(('folder', 'kind', 'quantities'), GOLDENS)
def test_goldens_pass_with_every_quantity(shared, folder, kind, quantities):
    golden = Golden.open(shared / 'goldens' / folder)

    checks = list(run_golden(golden))

    assert [name for name, known in all_kinds().items() if known.matches(golden)] == [kind]
    assert [check for check in checks if not check.ok] == []
    assert len(checks) == quantities


def test_no_golden_is_left_out(shared):
    root = shared / 'goldens'
    found = [golden.folder.relative_to(root).as_posix() for golden in find_goldens(root)]
    assert sorted(found) == [folder for folder, _, _ in GOLDENS]


@pytest.fixture
def copied(shared, tmp_path):
    """A golden under a name that tells nothing, writable."""
    folder = tmp_path / 'anything'
    shutil.copytree(shared / 'goldens/algorithms/promptda_fusion', folder)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    return folder


def change_outputs(folder, **arrays):
    with np.load(folder / 'outputs.npz') as stored:
        outputs = dict(stored)
    np.savez(folder / 'outputs.npz', **{**outputs, **arrays})
    return outputs


def test_the_command_runs_any_folder_of_the_format(copied, capsys):
    assert main(['conformance', str(copied.parent)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith('ok ') and str(copied) in line for line in lines[:-1])
    assert lines[-1] == '11 within tolerance, 0 off, 0 folders not usable'


def test_a_value_that_is_off_fails_the_command(copied, capsys):
    outputs = change_outputs(copied)
    outputs['case0_out'][0, 3, 4, 5] += 1e-3
    change_outputs(copied, case0_out=outputs['case0_out'])

    assert main(['conformance', str(copied)]) == 1

    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith('FAIL')]
    assert len(failed) == 1
    assert 'case0  out  1.0' in failed[0]


def test_a_stored_quantity_that_is_not_computed_fails_the_command(copied, capsys):
    change_outputs(copied, case0_secret=np.zeros(3))

    assert main(['conformance', str(copied)]) == 1
    assert 'secret (not computed here)' in capsys.readouterr().out


def test_a_folder_of_unknown_kind_is_named_and_fails_the_command(tmp_path, capsys):
    (tmp_path / 'strange').mkdir()
    (tmp_path / 'strange' / 'config.json').write_text(json.dumps({'model': 'strange'}))

    assert main(['conformance', str(tmp_path)]) == 1
    assert f'FAIL  {tmp_path / "strange"}  unknown kind' in capsys.readouterr().out


def test_an_incomplete_golden_is_named_and_fails_the_command(copied, capsys):
    (copied / 'inputs.npz').unlink()

    assert main(['conformance', str(copied)]) == 1
    assert f'FAIL  {copied}  incomplete golden' in capsys.readouterr().out


def test_a_golden_without_anything_to_compare_fails_the_command(copied, capsys):
    (copied / 'outputs.npz').unlink()

    assert main(['conformance', str(copied)]) == 1
    said = capsys.readouterr().out
    assert f'FAIL  {copied}  nothing to compare' in said
    assert '0 within tolerance, 0 off, 1 folders not usable' in said


@pytest.mark.parametrize('config', [None, '{', '[]'])
def test_a_folder_without_a_readable_golden_is_bad_input(tmp_path, capsys, config):
    if config is not None:
        (tmp_path / 'config.json').write_text(config)

    assert main(['conformance', str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ('text', 'tolerance'),
    [
        ('atol 1e-4 + 2e-5*max|ref|', Tolerance(atol=1e-4, rtol_of_max=2e-5)),
        ('atol 1e-4*max|ref|', Tolerance(rtol_of_max=1e-4)),
        ('compare INVERSE depth with atol 1e-4 + rtol 2e-4', Tolerance(atol=1e-4, rtol=2e-4)),
        ('rtol 1e-4', Tolerance(rtol=1e-4)),
    ],
)
def test_tolerances_are_read_as_they_are_written(text, tolerance):
    assert Tolerance.parse(text) == tolerance


def test_a_tolerance_that_cannot_be_read_is_bad_input(tmp_path):
    with pytest.raises(InputError, match='roughly'):
        Tolerance.parse('roughly')
    with pytest.raises(InputError, match=r'tolerances\.depth'):
        Golden(tmp_path, {}).tolerance('tolerances', 'depth')


def test_the_error_is_of_the_element_nearest_to_its_tolerance():
    check = compare('c', 'q', [101.0, 1.5], [100.0, 1.0], Tolerance(rtol=0.1))

    assert (check.error, check.tolerance) == pytest.approx((0.5, 0.1))
    assert not check.ok


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_value_that_is_not_finite_where_the_reference_is_fails(value):
    assert not compare('c', 'q', [1.0, value], [1.0, 2.0], Tolerance(atol=1e9)).ok


def test_infinite_references_must_be_met_exactly():
    tolerance = Tolerance(atol=1.0)

    assert compare('c', 'q', [math.inf, math.nan], [math.inf, math.nan], tolerance).ok
    assert not compare('c', 'q', [-math.inf], [math.inf], tolerance).ok
    assert not compare('c', 'q', [3.0], [math.inf], tolerance).ok


def test_another_shape_fails():
    assert not compare('c', 'q', [1.0], [1.0, 1.0], Tolerance(atol=9)).ok
    assert not count_differences('c', 'q', [True], [True, True]).ok


def test_elements_left_out_do_not_count():
    where = np.array([True, False])

    assert compare('c', 'q', [1.0, 5.0], [1.0, 1.0], Tolerance(), where).ok
    assert count_differences('c', 'q', [True, True], [True, False], where).ok
    assert count_differences('c', 'q', [True, True], [True, False]).error == 1
