#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make .venv with the pinned dependencies. Standard library only; used by the Makefile.

Says in one sentence what to do where this cannot work: another platform, another Python, a system
library that is missing, no way to the packages. Does nothing when .venv is up to date.
"""

from __future__ import annotations

import argparse
import ctypes.util
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
SUPPORTED = [(3, 10), (3, 11), (3, 12), (3, 13)]
# Libraries that wheels load but do not carry: (name for the loader, Debian package, who needs it).
SYSTEM_LIBRARIES = [
    ('usb-1.0', 'libusb-1.0-0', 'open3d'),
    ('GL', 'libgl1', 'open3d'),
    ('EGL', 'libegl1', 'open3d'),
]


def main() -> int:
    """Check the machine, then create and fill .venv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--extras', default='embedded', help='comma-separated extras of setup.py')
    extras = parser.parse_args().extras
    problem = platform_problem()
    if problem:
        print(problem, file=sys.stderr)
        return 1
    if not provide_system_libraries():
        return 1
    fill(extras)
    return 0


def platform_problem() -> str | None:
    """Return what keeps this machine from running the PyPI build of ROS 2, if anything."""
    elsewhere = (
        'Install a ROS 2 distribution (Jazzy or later), put this package into a colcon '
        'workspace, then: rosdep install --from-paths src -y && colcon build (see README.md).'
    )
    if sys.version_info[:2] not in SUPPORTED:
        found = '.'.join(map(str, sys.version_info[:3]))
        return (
            f'Python {found} is not supported: CPython 3.10 to 3.13 is. Run make with '
            'PYTHON=python3.12, for example.'
        )
    if sys.platform != 'linux' or platform.machine() != 'x86_64':
        return (
            f'ROS 2 wheels exist for Linux on x86-64 only, this is {platform.system()} on '
            f'{platform.machine()}. {elsewhere}'
        )
    name, version = platform.libc_ver()
    if name != 'glibc' or tuple(map(int, version.split('.')[:2])) < (2, 28):
        return f'ROS 2 wheels need glibc 2.28 or newer, this is {name} {version}. {elsewhere}'
    return None


def provide_system_libraries() -> bool:
    """Install missing system libraries when root, or say how; return whether all are there."""
    missing = [row for row in SYSTEM_LIBRARIES if ctypes.util.find_library(row[0]) is None]
    if not missing:
        return True
    packages = [row[1] for row in missing]
    command = ['apt-get', 'install', '-y', *packages]
    if os.geteuid() == 0 and shutil.which('apt-get'):
        print(f'Installing {" ".join(packages)} …', flush=True)
        subprocess.run(['apt-get', 'update', '-qq'], check=False)
        if subprocess.run([*command, '-qq'], check=False).returncode == 0:
            return True
    for _, package, user in missing:
        print(f'The system library {package} is missing; {user} needs it.', file=sys.stderr)
    print(f'Install with: sudo {" ".join(command)}', file=sys.stderr)
    return False


def fill(extras: str) -> None:
    """Create .venv and install the package with its extras, unless that was done already.

    Raises
    ------
    SystemExit
        With a sentence: .venv cannot be made, or pip cannot install.
    """
    if not is_whole():
        create()
    sources = [ROOT / 'setup.py', ROOT / 'constraints.txt']
    digest = hashlib.sha256(b''.join(path.read_bytes() for path in sources))
    digest.update(f'{sys.version_info[:2]}'.encode())
    done = VENV / f'installed-{extras.replace(",", "-")}'
    if done.exists() and done.read_text() == digest.hexdigest():
        return
    print(f'Installing dependencies ({extras}): about 3 GB, some minutes …', flush=True)
    command = [
        str(VENV / 'bin' / 'python'), '-m', 'pip', 'install', '--disable-pip-version-check',
        *([] if sys.stdout.isatty() else ['--quiet', '--progress-bar', 'off']),
        '--constraint', str(ROOT / 'constraints.txt'), '--editable', f'{ROOT}[{extras}]',
    ]  # fmt: skip
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(
            'The dependencies could not be installed; pip says why above. They come from PyPI: '
            'check the network, the index (pip config list, PIP_INDEX_URL, PIP_NO_INDEX) and the '
            'proxy (HTTPS_PROXY), then run make again.'
        )
    done.write_text(digest.hexdigest())


def is_whole() -> bool:
    """Return whether .venv has a pip, of this Python, that was installed at this place.

    The scripts of an environment name its path: one of a moved or copied checkout does not start,
    or starts the other checkout's.
    """
    command = [str(VENV / 'bin' / 'pip'), '--isolated', '--version']
    alone = {**os.environ, 'PYTHONPATH': ''}  # another pip may lie there
    try:
        said = subprocess.run(
            command, env=alone, capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return False
    return f'{VENV}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/' in said


def create() -> None:
    """Make an empty .venv in place of whatever is there."""
    print(f'Creating {VENV.name} with Python {platform.python_version()} …', flush=True)
    try:
        venv.create(VENV, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(VENV, ignore_errors=True)
        version = f'{sys.version_info[0]}.{sys.version_info[1]}'
        sys.exit(
            f'{VENV} could not be made: {error}. On Debian and Ubuntu: sudo apt-get install '
            f'python{version}-venv; else see that the disk has room and this user may write there.'
        )


if __name__ == '__main__':
    sys.exit(main())
