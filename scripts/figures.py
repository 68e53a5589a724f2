#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the tables of README.md and docs/BENCHMARKS.md, and write them in: `make figures`.

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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / 'out' / 'figures'
COMMAND = [sys.executable, '-m', 'metric_depth_ros.cli.main']
DOCUMENTS = [ROOT / 'README.md', ROOT / 'docs' / 'BENCHMARKS.md']
ESTIMATORS = ('nearest', 'classical:fast', 'classical:quality', 'compact_teacher')


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
    tables = {
        'accuracy': accuracy_table(json.loads((args.data / 'baselines.json').read_text())),
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
    for name, options in (
        ('replay', []),
        ('replay_with_points', ['--with-points', '--rate', '0.5']),
    ):
        shutil.rmtree(OUT / name, ignore_errors=True)  # replay records over nothing
        run(
            'replay', str(bag), '--loops', '5', *options,
            '--out', str(OUT / name), '--json', str(OUT / f'{name}.json'),
        )  # fmt: skip


def run(*arguments: str) -> None:
    """Run one command of the package; a failed bar of a bench is told by its table."""
    print('metric-depth', *arguments, flush=True)
    subprocess.run([*COMMAND, *arguments], check=arguments[0] != 'bench')


def evaluation_file(estimator: str) -> Path:
    """Return where an estimator's evaluation is kept."""
    return OUT / f'evaluate_{estimator.replace(":", "_")}.json'


def accuracy_table(baselines: list[dict[str, Any]]) -> str:
    """Return AbsRel per group for every estimator, beside the best of the five baselines."""
    best: dict[tuple[str, str], float] = {}
    for row in baselines:
        key = (row['set'], row['prompt'])
        if not row.get('empty_images'):
            best[key] = min(best.get(key, math.inf), row['all'][0])
    scores = {}
    for name in ESTIMATORS:
        groups = json.loads(evaluation_file(name).read_text())['groups']
        scores[name] = {(g['set'], g['prompt']): g['metrics']['abs_rel'] for g in groups}
    keys = [key for key in scores['nearest'] if key in best]
    lines = [
        '| frames / prompt | best baseline | ' + ' | '.join(f'`{n}`' for n in ESTIMATORS) + ' |',
        '|---|---:|' + '---:|' * len(ESTIMATORS),
    ]
    for key in keys:
        cells = [f'{scores[name][key]:.4f}' for name in ESTIMATORS]
        lines.append(f'| {key[0]} / {key[1]} | {best[key]:.4f} | ' + ' | '.join(cells) + ' |')
    means = [geometric_mean([scores[n][k] / best[k] for k in keys]) for n in ESTIMATORS]
    cells = [f'**{mean:.3f}**' for mean in means]
    lines.append('| **geometric mean of the ratios** | **1** | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean of positive values."""
    return math.exp(sum(map(math.log, values)) / len(values))


def replay_table() -> str:
    """Return what the live node did with a bag."""
    lines = [
        '| replay of real camera + LiDAR, 1242x375 | in | out | replaced | AbsRel | estimator p50 '
        '| latency p50 | p99 | CPU | RSS growth |',
        '|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ]
    for name, title in (('replay', '10 Hz'), ('replay_with_points', '5 Hz, `--with-points`')):
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
