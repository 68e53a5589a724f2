# SPDX-License-Identifier: Apache-2.0
"""Small charts as SVG: they stand inside a report, stay sharp, and take a few kilobytes each.

Standard library only. A chart has one y axis from zero, a few round ticks, and a caption that
names what is drawn.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 32, 44  # the legend stands in the upper margin
_COLORS = ('#2563a8', '#c2571a', '#4f7d38', '#7b4ea3')
_TICKS = 5
_LETTER_PX = 5.8


@dataclass(frozen=True)
class Chart:
    """A drawing (an ``<svg>`` element) with its caption."""

    svg: str
    caption: str = ''


@dataclass(frozen=True)
class Curve:
    """Points (x, y) in the order of x; a y that is not finite breaks the line."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def line_chart(
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    caption: str = '',
    *,
    log_x: bool = False,
    diagonal: bool = False,
) -> Chart:
    """Draw curves.

    Parameters
    ----------
    curves
        Up to four.
    x_label, y_label, caption
        What is drawn, with its unit.
    log_x
        Whether x is spread by its logarithm.
    diagonal
        Whether to draw the line y = x, where a perfect calibration lies.
    """
    x_values = [x for curve in curves for x in curve.x]
    y_values = [y for curve in curves for y in curve.y if math.isfinite(y)]
    if not x_values or not y_values:
        return Chart(_frame('', x_label, y_label, 'nothing to show'), caption)
    axes = _Axes(min(x_values), max(x_values), max(*y_values, 1e-9), log_x)
    body = axes.grid()
    if diagonal:
        end = min(axes.x_high, axes.y_high)
        body += (
            f'<line x1="{axes.x(axes.x_low):.1f}" y1="{axes.y(axes.x_low):.1f}" '
            f'x2="{axes.x(end):.1f}" y2="{axes.y(end):.1f}" stroke="#9aa4b1" '
            'stroke-dasharray="4 4"/>'
        )
    for i, curve in enumerate(curves):
        body += _curve(axes, curve, _COLORS[i % len(_COLORS)])
    if len(curves) > 1:
        body += _legend([curve.name for curve in curves])
    return Chart(_frame(body, x_label, y_label, caption), caption)


def histogram(
    values: Sequence[float], x_label: str, caption: str = '', *, bins: int = 30
) -> Chart:
    """Draw how often values occur, with lines at the median and the 95th percentile."""
    known = sorted(value for value in values if math.isfinite(value))
    if not known:
        return Chart(_frame('', x_label, 'frames', 'nothing to show'), caption)
    low, high = known[0], known[-1]
    if high <= low:
        low, high = low - 0.5, high + 0.5
    counts = [0] * bins
    for value in known:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    axes = _Axes(low, high, max(counts), log_x=False)
    body = axes.grid(whole_y=True)
    for i, count in enumerate(counts):
        left, right = (axes.x(low + (high - low) * (i + k) / bins) for k in (0, 1))
        wide = max(right - left - 1.0, 0.5)
        body += (
            f'<rect x="{left:.1f}" y="{axes.y(count):.1f}" width="{wide:.1f}" '
            f'height="{axes.y(0.0) - axes.y(count):.1f}" fill="{_COLORS[0]}" opacity="0.75"/>'
        )
    for share, color in ((0.5, _COLORS[2]), (0.95, _COLORS[1])):
        at = known[math.ceil(share * len(known)) - 1]
        body += (
            f'<line x1="{axes.x(at):.1f}" x2="{axes.x(at):.1f}" y1="{_TOP}" '
            f'y2="{_HEIGHT - _BOTTOM}" stroke="{color}" stroke-width="1.5"/>'
        )
    body += _legend(['frames', '95th percentile', 'median'])
    return Chart(_frame(body, x_label, 'frames', caption), caption)


class _Axes:
    """Places of values in the drawing."""

    def __init__(self, x_low: float, x_high: float, y_high: float, log_x: bool) -> None:
        if log_x:
            x_low = max(x_low, 1e-9)
        if x_high <= x_low:
            x_high = x_low * 2.0 if log_x else x_low + 1.0
        self.x_low, self.x_high, self.y_high = x_low, x_high, 1.05 * y_high
        self._log_x = log_x

    def x(self, value: float) -> float:
        """Return the horizontal place of a value."""
        if self._log_x:
            share = math.log(max(value, self.x_low) / self.x_low) / math.log(
                self.x_high / self.x_low
            )
        else:
            share = (value - self.x_low) / (self.x_high - self.x_low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Return the vertical place of a value."""
        return _HEIGHT - _BOTTOM - value / self.y_high * (_HEIGHT - _TOP - _BOTTOM)

    def grid(self, *, whole_y: bool = False) -> str:
        """Return lines and numbers of both axes; with `whole_y` no fraction of a count."""
        parts = []
        for value in _round_ticks(0.0, self.y_high):
            if whole_y and value % 1.0:
                continue
            y = self.y(value)
            parts.append(
                f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                f'stroke="#e6eaef"/><text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">'
                f'{value:g}</text>'
            )
        ticks = (
            _decade_ticks(self.x_low, self.x_high)
            if self._log_x
            else _round_ticks(self.x_low, self.x_high)
        )
        for value in ticks:
            parts.append(
                f'<text x="{self.x(value):.1f}" y="{_HEIGHT - _BOTTOM + 15}" '
                f'text-anchor="middle">{value:g}</text>'
            )
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{self.y(0.0):.1f}" '
            f'y2="{self.y(0.0):.1f}" stroke="#7d8895"/>'
        )
        return ''.join(parts)


def _curve(axes: _Axes, curve: Curve, color: str) -> str:
    pieces: list[list[str]] = [[]]
    dots = []
    for x, y in zip(curve.x, curve.y, strict=True):
        if not math.isfinite(y):
            pieces.append([])
            continue
        pieces[-1].append(f'{axes.x(x):.1f},{axes.y(y):.1f}')
        dots.append(f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="2.2"/>')
    lines = ''.join(
        f'<polyline points="{" ".join(piece)}" fill="none" stroke="{color}" stroke-width="1.8"/>'
        for piece in pieces
        if len(piece) > 1
    )
    return f'{lines}<g fill="{color}">{"".join(dots)}</g>'


def _legend(names: Sequence[str]) -> str:
    parts, left = [], float(_LEFT)
    for i, name in enumerate(names):
        parts.append(
            f'<rect x="{left:.0f}" y="8" width="10" height="10" '
            f'fill="{_COLORS[i % len(_COLORS)]}"/><text x="{left + 14:.0f}" y="17">'
            f'{html.escape(name)}</text>'
        )
        left += 28 + _LETTER_PX * len(name)
    return ''.join(parts)


def _frame(body: str, x_label: str, y_label: str, title: str) -> str:
    middle = _TOP + (_HEIGHT - _TOP - _BOTTOM) / 2
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(title)}" '
        'font-size="11" font-family="system-ui, sans-serif" fill="#47525f">'
        f'{body}<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f'{html.escape(x_label)}</text><text transform="translate(13 {middle}) rotate(-90)" '
        f'text-anchor="middle">{html.escape(y_label)}</text></svg>'
    )


def _round_ticks(low: float, high: float) -> list[float]:
    """Return a few round numbers from low to high."""
    raw = (high - low) / _TICKS
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * k for k in (1.0, 2.0, 2.5, 5.0, 10.0) if unit * k >= raw)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _decade_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 of each decade from low to high."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = [k * 10.0**decade for decade in range(first, last + 1) for k in (1.0, 2.0, 5.0)]
    return [value for value in values if low * 0.999 <= value <= high * 1.001]
