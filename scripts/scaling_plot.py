# SPDX-License-Identifier: Apache-2.0
"""The plot of error by amount of data, as SVG that is the same every time. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

_PANELS = {
    'recorded, median set': 'recorded frames, median set',
    'simulated, median set': 'unseen simulated worlds, median set',
}
_INCHES = (8.0, 3.4)


def draw_scaling(path: Path, runs: Sequence[Mapping[str, float]]) -> None:
    """Draw AbsRel over the number of views that networks learned from.

    Parameters
    ----------
    runs
        Of each training its ``views`` and AbsRel of depth whose median was set to the truth's,
        ``simulated, median set`` and ``recorded, median set``. A line goes through the means of
        those with as many views.
    """
    with matplotlib.rc_context(
        {'svg.hashsalt': path.name, 'svg.fonttype': 'none', 'font.size': 9}
    ):
        figure = Figure(_INCHES, layout='constrained')
        for axes, (name, title) in zip(
            figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True
        ):
            views = sorted({run['views'] for run in runs})
            errors = [[run[name] for run in runs if run['views'] == count] for count in views]
            axes.plot(views, [sum(each) / len(each) for each in errors], color='#2563a8')
            axes.scatter([run['views'] for run in runs], [run[name] for run in runs], s=14)
            axes.set(title=title, xlabel='training views', ylabel='AbsRel, geometric mean')
            axes.set_xscale('log')
            axes.set_xticks(views, [f'{count:,}' for count in views], minor=False)
            axes.minorticks_off()
            axes.grid(color='#e6eaef')
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={'Date': None})
