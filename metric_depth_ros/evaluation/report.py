# SPDX-License-Identifier: Apache-2.0
"""Self-contained HTML reports: one file, no script, pictures inside. NumPy and OpenCV only.

A report is a title and sections; a section is a heading with paragraphs, tables, charts and
picture grids::

    write_report(
        'report.html',
        'Evaluation',
        [
            Section(
                'Accuracy',
                paragraphs=['Mean over images.'],
                tables=[Table(['set', 'AbsRel'], [['street', 0.031]], caption='All pixels')],
                pictures=[Figure(rgb, 'depth of frame 0')],
            )
        ],
    )

All text is escaped. Numbers are aligned to the right.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metric_depth_ros.evaluation.charts import Chart

Cell = str | int | float | None
_CHART_WIDTH_PX = 330

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: #1c2430;
  font: 15px/1.55 system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 72px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
section { background: #fff; border: 1px solid #e2e6ec; border-radius: 10px;
  padding: 22px 26px 26px; margin-top: 22px; }
h2 { font-size: 19px; margin: 0 0 8px; }
p { margin: 6px 0 10px; max-width: 78ch; color: #3d4856; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 12px 0 4px; font-variant-numeric: tabular-nums;
  font-size: 13.5px; min-width: 50%; }
caption { text-align: left; color: #5b6675; padding-bottom: 6px; }
th { text-align: left; font-weight: 600; color: #47525f; border-bottom: 2px solid #cfd6df;
  padding: 5px 12px 5px 0; white-space: nowrap; }
td { border-bottom: 1px solid #edf0f4; padding: 5px 12px 5px 0; white-space: nowrap; }
tbody tr:hover td { background: #f3f6fa; }
th.number, td.number { text-align: right; }
.grid { display: grid; gap: 16px; margin-top: 14px;
  grid-template-columns: repeat(auto-fill, minmax(var(--cell), 1fr)); }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 6px;
  background: #22262c; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { font-size: 12.5px; color: #5b6675; margin-top: 5px; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Table:
    """A table; rows are shown in the order given, None and NaN as a dash."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ''


@dataclass(frozen=True, eq=False)
class Figure:
    """A picture (H, W, 3) uint8 RGB with its caption; `lossless` stores PNG instead of JPEG."""

    image: NDArray[np.uint8]
    caption: str = ''
    lossless: bool = False


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a report; `picture_width_px` is the least width of a picture in the grid."""

    heading: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Figure] = field(default_factory=tuple)
    picture_width_px: int = 340
    charts: Sequence[Chart] = ()


def write_report(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write a report as one HTML file that needs no other file, network or script.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    body = '\n'.join(_section(section) for section in sections)
    Path(path).write_text(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n'
        f'<body>\n<main>\n<h1>{html.escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n',
        encoding='utf-8',
    )


def format_number(value: Cell) -> str:
    """Return a cell as text; about four significant digits, a dash for what does not exist."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return '–'
    if not isinstance(value, float):
        return str(value)
    size = abs(value)
    decimals = 4 if size < 1.0 else 3 if size < 10.0 else 2 if size < 100.0 else 1
    return f'{value:.{decimals}f}'


def _section(section: Section) -> str:
    parts = [f'<section>\n<h2>{html.escape(section.heading)}</h2>']
    parts += [f'<p>{html.escape(text)}</p>' for text in section.paragraphs]
    parts += [_table(table) for table in section.tables]
    parts += _grid([_chart(chart) for chart in section.charts], _CHART_WIDTH_PX)
    parts += _grid([_figure(figure) for figure in section.pictures], section.picture_width_px)
    return '\n'.join([*parts, '</section>'])


def _grid(figures: Sequence[str], width_px: int) -> list[str]:
    if not figures:
        return []
    lines = '\n'.join(figures)
    return [f'<div class="grid" style="--cell:{width_px}px">\n{lines}\n</div>']


def _chart(chart: Chart) -> str:
    caption = html.escape(chart.caption)
    return f'<figure class="chart">{chart.svg}<figcaption>{caption}</figcaption></figure>'


def _table(table: Table) -> str:
    numeric = [
        any(isinstance(row[i], (int, float)) for row in table.rows if i < len(row))
        for i in range(len(table.header))
    ]
    caption = f'<caption>{html.escape(table.caption)}</caption>' if table.caption else ''
    head = ''.join(
        _cell('th', name, number) for name, number in zip(table.header, numeric, strict=True)
    )
    rows = '\n'.join(
        '<tr>'
        + ''.join(
            _cell('td', format_number(v), number) for v, number in zip(row, numeric, strict=True)
        )
        + '</tr>'
        for row in table.rows
    )
    return (
        f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead>\n'
        f'<tbody>\n{rows}\n</tbody></table></div>'
    )


def _cell(tag: str, text: str, number: bool) -> str:
    kind = ' class="number"' if number else ''
    return f'<{tag}{kind}>{html.escape(text)}</{tag}>'


def _figure(figure: Figure) -> str:
    caption = html.escape(figure.caption)
    extension, options = (
        ('.png', []) if figure.lossless else ('.jpg', [cv2.IMWRITE_JPEG_QUALITY, 82])
    )
    bgr = np.ascontiguousarray(figure.image[..., ::-1])
    written, data = cv2.imencode(extension, bgr, options)
    if not written:
        raise ValueError(f'a picture of shape {figure.image.shape} cannot be encoded')
    kind = 'png' if figure.lossless else 'jpeg'
    source = f'data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode("ascii")}'
    return (
        f'<figure><img src="{source}" alt="{caption}" width="{bgr.shape[1]}" '
        f'height="{bgr.shape[0]}"><figcaption>{caption}</figcaption></figure>'
    )
