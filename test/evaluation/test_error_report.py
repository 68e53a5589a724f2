# SPDX-License-Identifier: Apache-2.0
"""Charts, error profiles, and the section of a report that shows them."""

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from metric_depth_ros.evaluation.charts import Curve, histogram, line_chart
from metric_depth_ros.evaluation.error_report import ErrorReport, frames_to_picture
from metric_depth_ros.evaluation.profiles import ErrorProfile, WorstFrames
from metric_depth_ros.evaluation.report import write_report
from metric_depth_ros.geometry.camera import CameraModel
from metric_depth_ros.types import DepthEstimate, Frame

CAMERA = CameraModel.pinhole(40, 30, 37.5, 37.5, 19.5, 14.5)


def flat(value):
    return np.full((30, 40), value, np.float32)


def texts(chart):
    return [e.text for e in ElementTree.fromstring(chart.svg).iter() if e.tag == 'text']


def polylines(chart):
    return [e for e in ElementTree.fromstring(chart.svg).iter() if e.tag == 'polyline']


def test_a_chart_names_its_axes_and_breaks_where_nothing_is_known():
    curve = Curve('a < b', [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, math.nan, 2.0, 1.0])
    chart = line_chart([curve, Curve('c', [1.0, 5.0], [0.5, 0.5])], 'm', 'share')
    assert {'m', 'share', 'a < b', 'c'} <= set(texts(chart))
    assert len(polylines(chart)) == 3


def test_a_logarithmic_axis_has_even_decades():
    chart = line_chart([Curve('a', [1.0, 10.0, 100.0], [1.0, 1.0, 1.0])], 'm', 'y', log_x=True)
    (line,) = polylines(chart)
    first, second, third = (float(p.split(',')[0]) for p in line.get('points').split())
    assert second - first == pytest.approx(third - second, abs=0.2)


@pytest.mark.parametrize('values', [[], [math.nan], [3.0], [1.0, 1.0, 5.0]])
def test_any_values_make_a_histogram(values):
    chart = histogram(values, 'ms')
    assert 'ms' in texts(chart)
    assert len(chart.svg) < 8000


def test_errors_are_told_apart_by_distance():
    profile = ErrorProfile()
    profile.add(flat(2.2), flat(2.0))
    profile.add(flat(21.0), flat(20.0))
    profile.add(flat(np.nan), flat(20.0))
    error, unknown = profile.distance()
    assert [round(x) for x in error.x] == [2, 19]
    assert error.y == pytest.approx([0.1, 0.05], abs=1e-5)
    assert unknown.y == pytest.approx([0.0, 0.5])


def test_calibration_tells_how_often_the_confident_are_right():
    profile = ErrorProfile()
    profile.add(flat(2.0), flat(2.0), flat(0.95))
    profile.add(flat(4.0), flat(2.0), flat(0.05))
    good, error = profile.calibration()
    assert good.x == pytest.approx([0.05, 0.95])
    assert good.y == [0.0, 1.0]
    assert error.y == pytest.approx([1.0, 0.0])


def test_the_worst_frames_come_first_and_no_more_than_wanted():
    worst = WorstFrames(2)
    for error, name in ((0.1, 'a'), (0.3, 'b'), (math.nan, 'c'), (0.2, 'd'), (0.3, 'e')):
        worst.add(error, name)
    assert worst.worst_first() == [(0.3, 'b'), (0.3, 'e')]


def test_a_section_shows_the_worst_frame_first(tmp_path):
    report = ErrorReport(pictured=1)
    image = np.zeros((30, 40, 3), np.uint8)
    for i, depth in enumerate((2.0, 2.6, 2.2)):
        estimate = DepthEstimate(flat(depth), flat(0.5), CAMERA)
        report.add(f'frame {i}', Frame(i, 'camera', image, CAMERA), estimate, flat(2.0), 10.0 + i)
    section = report.section('Room', 'Text.')
    assert [row[0] for row in section.tables[0].rows] == ['frame 1', 'frame 2', 'frame 0']
    assert all(figure.caption.startswith('frame 1') for figure in section.pictures)
    assert len(section.charts) == 3
    write_report(tmp_path / 'report.html', 'Title', [section])
    page = (tmp_path / 'report.html').read_text()
    assert page.count('<svg') == 3
    assert '<script' not in page


def test_without_ground_truth_the_slowest_frames_are_shown():
    report = ErrorReport(pictured=1)
    image = np.zeros((30, 40, 3), np.uint8)
    for i in range(4):
        estimate = DepthEstimate(flat(2.0), None, CAMERA)
        report.add(f'frame {i}', Frame(i, 'camera', image, CAMERA), estimate, None, 10.0 + i)
    section = report.section('Room', 'Text.')
    assert section.tables[0].rows[0][0] == 'frame 3'
    assert len(section.charts) == 1


def test_frames_without_ground_truth_are_not_listed_among_errors():
    report = ErrorReport(pictured=1)
    image = np.zeros((30, 40, 3), np.uint8)
    for i, truth in enumerate((None, flat(2.0), None)):
        estimate = DepthEstimate(flat(2.2), None, CAMERA)
        report.add(f'frame {i}', Frame(i, 'camera', image, CAMERA), estimate, truth, 45.0)
    section = report.section('Room', 'Text.')
    assert section.tables[0].header[1] == 'AbsRel'
    assert [row[0] for row in section.tables[0].rows] == ['frame 1']
    assert all(figure.caption.startswith('frame 1') for figure in section.pictures)


def test_a_report_of_many_sections_pictures_fewer_frames_of_each():
    assert [frames_to_picture(n) for n in (0, 1, 3, 50)] == [3, 3, 2, 1]
