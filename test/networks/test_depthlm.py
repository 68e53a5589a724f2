# SPDX-License-Identifier: Apache-2.0
"""How DepthLM is shown a pixel, and what its answers say."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.depthlm_images import distance_to_z, rays, unify
from metric_depth_ros.networks.depthlm_text import official_value, read_distance, target


@pytest.mark.parametrize(
    ('answer', 'meters'),
    [
        (target(2.346), 2.35),
        ('<answer>0.87</answer>', 0.87),
        ('<answer> 12 meters </answer>', 12.0),
        ('<answer> 9.0 </answer> no: <answer> 2.5 </answer>', 2.5),
        ('I put it in <answer>. <answer> 3.2 </answer>', 3.2),
    ],
)
def test_a_distance_is_read_from_the_last_answer(answer, meters):
    assert read_distance(answer) == meters


@pytest.mark.parametrize(
    'answer',
    [
        '',
        '2.35',
        '<think> 2.35 </think>',
        '<answer> 2.35',
        '<answer></answer>',
        '<answer> two </answer>',
        '<answer> -2.35 </answer>',
        '<answer> 0 </answer>',
        '<answer> inf </answer>',
        '<answer> nan </answer>',
        '<answer> 1.0 or 2.35 </answer>',
        '<answer> 1,234.5 </answer>',
        '<answer> 12 feet </answer>',
        '<answer> 1e1 </answer>',
        '<answer> 3/2 </answer>',
        '<answer> 2.5 </answer> no: <answer> ? </answer>',
    ],
)
def test_what_states_no_distance_is_a_failure_never_a_number(answer):
    with pytest.raises(InputError, match='states no distance') as raised:
        read_distance(answer)
    assert raised.value.fault == 'answer_unreadable'


def test_the_authors_reading_of_no_number_is_none():
    pytest.importorskip('math_verify', reason='the reader of their evaluation: math-verify')
    assert official_value('<answer> far away </answer>') is None


def test_the_authors_reading_is_the_same_in_every_thread():
    pytest.importorskip('math_verify', reason='the reader of their evaluation: math-verify')
    answers = [target(2.346), '<answer> 3/2 </answer>', '<answer> far away </answer>']
    with ThreadPoolExecutor(1) as other:
        assert list(other.map(official_value, answers)) == [official_value(a) for a in answers]
    assert official_value(answers[0]) == 2.35


def test_a_piece_of_a_piece_is_where_it_is_in_the_image():
    unified = unify(np.zeros((100, 120, 3), np.uint8), (500.0, 500.0, 60.0, 50.0), 500.0)
    piece = unified.cut(10, 5, 80, 70).cut(3, 4, 40, 40)
    assert piece.resized.shape == (40, 40, 3)
    assert piece.pixel((40, 30)) == (27, 21)


def test_nine_pixels_are_painted_and_the_one_asked_about_is_not():
    image = np.zeros((100, 120, 3), np.uint8)
    unified = unify(image, (500.0, 500.0, 60.0, 50.0), 500.0)

    marked = unified.marked((40, 30))

    assert (marked == (255, 0, 0)).all(axis=-1).sum() == 9
    assert not marked[30, 40].any()
    assert not unified.resized.any()


@pytest.mark.parametrize('pixel', [(4, 50), (50, 4), (115, 50), (50, 95)])
def test_a_pixel_at_the_border_is_refused(pixel):
    unified = unify(np.zeros((100, 120, 3), np.uint8), (500.0, 500.0, 60.0, 50.0), 500.0)
    with pytest.raises(InputError, match='border'):
        unified.marked(pixel)


def test_an_image_far_larger_than_the_network_sees_is_refused_before_it_is_made():
    image = np.zeros((480, 640, 3), np.uint8)
    with pytest.raises(InputError, match=r'camera of 640x480 .* 80 px.*CameraInfo') as refused:
        unify(image, (80.0, 80.0, 320.0, 240.0), 750.0)
    assert refused.value.fault == 'camera_focal'


@pytest.mark.parametrize('focal_px', [0.0, -3.0, np.nan, 1e9])
def test_a_focal_length_that_is_none_is_refused(focal_px):
    with pytest.raises(InputError, match='focal'):
        unify(np.zeros((48, 64, 3), np.uint8), (focal_px, focal_px, 32.0, 24.0), 750.0)


def test_distance_becomes_depth_along_the_axis(rng):
    intrinsics = (400.0, 420.0, 320.0, 240.0)
    pixels = rng.uniform((0, 0), (640, 480), (50, 2))
    z = rng.uniform(0.5, 20.0, 50)
    distance = np.linalg.norm(rays(pixels, intrinsics) * z[:, None], axis=1)
    np.testing.assert_allclose(distance_to_z(distance, pixels, intrinsics), z, rtol=1e-12)
