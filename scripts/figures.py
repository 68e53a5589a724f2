#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure tables of README.md, BENCHMARKS.md and CLASSICAL.md, and write them in: `make figures`.

Needs the evaluation frame sets (`--data`), which are not shipped. Tables stand between
`<!-- figures:NAME -->` and `<!-- end -->`; nothing else of a document is touched. The other
documents name the scripts that write theirs.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / 'out' / 'figures'
COMMAND = [sys.executable, '-m', 'metric_depth_ros.cli.main']
DOCUMENTS = [
    ROOT / 'README.md',
    *(ROOT / 'docs' / f'{name}.md' for name in ('BENCHMARKS', 'CLASSICAL')),
]
ESTIMATORS = ('nearest', 'classical:fast', 'classical:quality', 'compact_teacher')
REPLAYS = {
    'replay': ('`classical`, 10 Hz', []),
    'replay_with_points': (
        '`classical`, 5 Hz, `--with-points`',
        ['--with-points', '--rate', '0.5'],
    ),
    'replay_compact_teacher': ('`compact_teacher`, 10 Hz', ['-p', 'estimator:=compact_teacher']),
}


@dataclass(frozen=True)
class GroupScores:
    """AbsRel of one group of frames: by estimator, and of the best baseline.

    Attributes
    ----------
    of_truth
        Whether the prompts of this set are made of its ground truth.
    """

    frames: str
    prompt: str
    images: int
    of_truth: bool
    best: float
    abs_rel: dict[str, float]

    def ratio(self, estimator: str) -> float:
        """Return the error in shares of the best baseline's."""
        return self.abs_rel[estimator] / self.best


def main() -> int:
    """Measure what is asked for and rewrite the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, required=True, help='the evaluation frame sets')
    parser.add_argument(
        '--tables-only', action='store_true', help='use the figures of out/figures'
    )
    args = parser.parse_args()
    if not (args.data / 'baselines.json').is_file():
        print(f'--data {args.data} has no baselines.json: expected frame sets', file=sys.stderr)
        return 2
    if not args.tables_only:
        measure(args.data)
    scores = measured_scores(args.data)
    tables = {
        'accuracy': accuracy_table(scores),
        'accuracy_by_set': accuracy_by_set_table(scores),
        'replay': replay_table(),
        'speed': bench_table('projection', 'codecs', 'estimator'),
        'machine': machine_line(),
    }
    for document in DOCUMENTS:
        document.write_text(filled(document.read_text(encoding='utf-8'), tables), encoding='utf-8')
    return 0


def measure(data: Path) -> None:
    """Run the project's own commands; their JSON is the only source of the tables."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name in ESTIMATORS:
        run('evaluate', str(data), '--estimator', name, '--json', str(evaluation_file(name)))
    for what in ('projection', 'codecs', 'estimator'):
        run('bench', what, '--out', str(OUT))
    bag = OUT / 'kitti_raw_bag'
    if not bag.exists():
        run('make-bag', str(data / 'kitti_raw'), str(bag))
    for name, (_, options) in REPLAYS.items():
        shutil.rmtree(OUT / name, ignore_errors=True)  # replay records over nothing
        run(
            'replay', str(bag), '--loops', '25', *options,
            '--out', str(OUT / name), '--json', str(OUT / f'{name}.json'),
        )  # fmt: skip


def run(*arguments: str) -> None:
    """Run one command of the package; a failed bar of a bench is told by its table."""
    print('metric-depth', *arguments, flush=True)
    subprocess.run([*COMMAND, *arguments], check=arguments[0] != 'bench')


def evaluation_file(estimator: str) -> Path:
    """Return where an estimator's evaluation is kept."""
    return OUT / f'evaluate_{estimator.replace(":", "_")}.json'


def measured_scores(data: Path) -> list[GroupScores]:
    """Return the scores of every group that baselines.json has, in the order of the evaluation."""
    best: dict[tuple[str, str], float] = {}
    for row in json.loads((data / 'baselines.json').read_text('utf-8')):
        key = (row['set'], row['prompt'])
        if not row.get('empty_images'):
            best[key] = min(best.get(key, math.inf), row['all'][0])
    evaluated = {
        name: {
            (g['set'], g['prompt']): g
            for g in json.loads(evaluation_file(name).read_text())['groups']
        }
        for name in ESTIMATORS
    }
    return [
        GroupScores(
            key[0],
            key[1],
            group['frames'],
            has_prompts_of_truth(data / key[0]),
            best[key],
            {name: groups[key]['metrics']['abs_rel'] for name, groups in evaluated.items()},
        )
        for key, group in evaluated['nearest'].items()
        if key in best
    ]


def has_prompts_of_truth(frame_set: Path) -> bool:
    """Return whether any prompt of a set was made of its ground truth."""
    frames = json.loads((frame_set / 'frames.json').read_text('utf-8'))['frames']
    return any(p.get('simulated', False) for frame in frames for p in frame['prompts'].values())


def accuracy_table(scores: list[GroupScores]) -> str:
    """Return AbsRel per group for every estimator, beside the best of the five baselines."""
    lines = [
        '| frames / prompt | images | best baseline | '
        + ' | '.join(f'`{name}`' for name in ESTIMATORS)
        + ' |',
        '|---|---:|---:|' + '---:|' * len(ESTIMATORS),
    ]
    for row in scores:
        cells = [f'{row.abs_rel[name]:.4f}' for name in ESTIMATORS]
        made = ' *' if row.of_truth else ''
        lines.append(
            f'| {row.frames} / {row.prompt}{made} | {row.images} | {row.best:.4f} | '
            + ' | '.join(cells)
            + ' |'
        )
    points = [row for row in scores if row.prompt != 'radar']
    for title, of in (('geometric mean', geometric_mean), ('largest', max)):
        cells = [f'**{of([row.ratio(name) for row in points]):.3f}**' for name in ESTIMATORS]
        lines.append(f'| **{title} of the ratios, without radar** | | 1 | {" | ".join(cells)} |')
    return '\n'.join(lines)


def accuracy_by_set_table(scores: list[GroupScores]) -> str:
    """Return, by set, the mean ratio to the best baseline; sets with measured prompts first."""
    lines = [
        '| frames | images | prompts | ' + ' | '.join(f'`{name}`' for name in ESTIMATORS) + ' |',
        '|---|---:|---|' + '---:|' * len(ESTIMATORS),
    ]
    sets: dict[str, list[GroupScores]] = {}
    for row in sorted(scores, key=lambda row: row.of_truth):  # stable: the order stays
        sets.setdefault(row.frames, []).append(row)
    by_set: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    for frames, rows in sets.items():
        for name in ESTIMATORS:
            by_set[name].append(geometric_mean(row.ratio(name) for row in rows))
        cells = [f'{by_set[name][-1]:.2f}' for name in ESTIMATORS]
        prompts = (
            f'{len(rows)}, made of the truth'
            if rows[0].of_truth
            else ', '.join(r.prompt for r in rows)
        )
        lines.append(f'| {frames} | {rows[0].images} | {prompts} | ' + ' | '.join(cells) + ' |')
    by_row = {name: [row.ratio(name) for row in scores] for name in ESTIMATORS}
    images = sum(rows[0].images for rows in sets.values())
    for title, ratios in (
        (f'geometric mean of the {len(sets)} sets', by_set),
        (f'geometric mean of the {len(scores)} pairs of set and prompt', by_row),
    ):
        cells = [f'**{geometric_mean(ratios[name]):.3f}**' for name in ESTIMATORS]
        lines.append(f'| **{title}** | {images} | | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def replay_table() -> str:
    """Return what the live node did with a bag."""
    lines = [
        '| replay of real camera + LiDAR, 1242x375 | in | out | replaced | AbsRel | estimator p50 '
        '| latency p50 | p99 | CPU | RSS growth |',
        '|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ]
    for name, (title, _) in REPLAYS.items():
        r = json.loads((OUT / f'{name}.json').read_text())
        growth = r['rss_mb']['end'] - r['rss_mb']['start']
        lines.append(
            f'| {title} | {r["frames_in"]} | {r["frames_out"]} | {r["replaced"]} '
            f'| {r["metrics"]["abs_rel"]:.4f} | {r["estimator_ms"]["p50"]:.0f} ms '
            f'| {r["latency_ms"]["p50"]:.0f} ms | {r["latency_ms"]["p99"]:.0f} ms '
            f'| {r["cpu_percent"]:.0f} % | {growth:+.1f} MB |'
        )
    return '\n'.join(lines)


def bench_table(*names: str) -> str:
    """Return the rows of the benches, each as a ratio to its floor."""
    lines = ['| part | p50 | ratio | to | bar |', '|---|---:|---:|---|---:|']
    for name in names:
        for row in json.loads((OUT / f'{name}.json').read_text())['rows']:
            bar = '' if row['bar'] is None else f'{row["bar"]:g}'
            lines.append(
                f'| {row["name"]} | {row["p50_ms"]:.2f} ms | {row["ratio"]:.2f} '
                f'| {row["baseline"]} | {bar} |'
            )
    return '\n'.join(lines)


def machine_line() -> str:
    """Return what the figures were measured on."""
    bench = json.loads((OUT / 'estimator.json').read_text())
    machine, versions = bench['machine'], bench['versions']
    libraries = ', '.join(f'{name} {version}' for name, version in versions.items())
    return f'Measured on {machine["processor"]}, {machine["cores"]} cores; {libraries}.'


def fill(document: Path, tables: dict[str, str]) -> None:
    """Write tables between the markers of a document, which has to have all of them."""
    text = document.read_text('utf-8')
    missing = [name for name in tables if not re.search(_between_markers(name), text, re.DOTALL)]
    if missing:
        sys.exit(
            f'{document} has no place for {", ".join(missing)}: expected a line '
            f'<!-- figures:{missing[0]} --> and after it a line <!-- end -->.'
        )
    document.write_text(filled(text, tables), 'utf-8')


def filled(text: str, tables: dict[str, str]) -> str:
    """Return a document with the text between its markers replaced, of the tables that it has."""
    for name, table in tables.items():
        pattern = _between_markers(name)
        text = re.sub(pattern, lambda m, t=table: f'{m[1]}{t}\n{m[2]}', text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def _between_markers(name: str) -> str:
    return rf'(<!-- figures:{name} -->\n).*?(<!-- end -->)'


if __name__ == '__main__':
    sys.exit(main())
