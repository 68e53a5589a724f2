# SPDX-License-Identifier: Apache-2.0
"""Look the pinned dependencies up among known vulnerabilities: what `make audit` runs.

pip-audit does the looking up. It says that all is well where it could look up nothing, because no
advisory service answered; here that is a failure of its own. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOUND, NOTHING_LOOKED_UP = 1, 2


def main() -> int:
    """Audit the requirements; exit 1 for what is vulnerable, 2 where nothing was looked up."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('requirements', type=Path)
    parser.add_argument('--pip-audit', type=Path, required=True, help='the program')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'report.json'
        done = subprocess.run(
            [
                args.pip_audit, '--requirement', args.requirements, '--no-deps', '--disable-pip',
                '--progress-spinner', 'off', '--format', 'json', '--output', path,
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if not path.exists():
            print(f'NOT AUDITED: pip-audit gave no report: {last_line(done.stderr)}')
            return NOTHING_LOOKED_UP
        code, lines = verdict(json.loads(path.read_text(encoding='utf-8')))
    print('\n'.join(lines))
    return code


def verdict(report: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Return the exit code and what to print for a report of pip-audit."""
    packages = report['dependencies']
    skipped = [p for p in packages if 'skip_reason' in p]
    vulnerable = [p for p in packages if p.get('vulns')]
    looked_up = len(packages) - len(skipped)
    if not looked_up:
        return NOTHING_LOOKED_UP, [
            f'NOT AUDITED: none of {len(packages)} packages could be looked up: no advisory '
            'service (pypi.org) answers here, or a mirror answers in its place. Run it where '
            'there is one.'
        ]
    lines = [f'not looked up: {p["name"]}: {p["skip_reason"]}' for p in skipped]
    for package in vulnerable:
        for found in package['vulns']:
            fixed = ', '.join(found['fix_versions']) or 'no version yet'
            lines.append(
                f'VULNERABLE: {package["name"]} {package["version"]}: {found["id"]}, fixed in '
                f'{fixed}'
            )
    lines.append(
        f'{looked_up} of {len(packages)} packages looked up, {len(vulnerable)} of them vulnerable'
    )
    return (FOUND if vulnerable else 0), lines


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else 'it said nothing'


if __name__ == '__main__':
    sys.exit(main())
