# SPDX-License-Identifier: Apache-2.0
import base64
import re

import cv2
import numpy as np
import pytest

from metric_depth_ros.evaluation.report import (
    Figure,
    Section,
    Table,
    format_number,
    write_report,
)


def page(tmp_path, *sections: Section) -> str:
    write_report(tmp_path / 'report.html', 'A <title>', sections)
    return (tmp_path / 'report.html').read_text(encoding='utf-8')


def test_a_report_needs_no_other_file_and_no_script(tmp_path) -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    html = page(tmp_path, Section('One', ['text'], pictures=[Figure(image, 'caption')]))
    assert '<script' not in html
    assert not re.search(r'(src|href)="(?!data:)', html)


def test_all_text_is_escaped(tmp_path) -> None:
    nasty = '<b>"&'
    image = np.zeros((4, 6, 3), np.uint8)
    html = page(
        tmp_path,
        Section(nasty, [nasty], [Table([nasty], [[nasty]], nasty)], [Figure(image, nasty)]),
    )
    assert '<b>' not in html
    assert html.count('&lt;b&gt;&quot;&amp;') == 7
    assert '<title>A &lt;title&gt;</title>' in html


def test_a_lossless_picture_comes_back_as_it_was(tmp_path, rng) -> None:
    image = rng.integers(0, 255, (5, 7, 3), np.uint8)
    html = page(tmp_path, Section('One', pictures=[Figure(image, lossless=True)]))
    data = re.search(r'data:image/png;base64,([^"]+)"', html).group(1)
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[..., ::-1], image)


def test_numbers_are_aligned_to_the_right(tmp_path) -> None:
    html = page(tmp_path, Section('One', tables=[Table(['name', 'value'], [['a', 1.5]])]))
    assert '<td>a</td><td class="number">1.500</td>' in html


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (None, '–'),
        (float('nan'), '–'),
        (3, '3'),
        ('x', 'x'),
        (0.01234, '0.0123'),
        (1.234, '1.234'),
        (12.345, '12.35'),
        (1234.5, '1234.5'),
    ],
)
def test_numbers_have_about_four_digits(value: object, text: str) -> None:
    assert format_number(value) == text
