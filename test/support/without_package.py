# SPDX-License-Identifier: Apache-2.0
"""Python processes in which a package is not installed."""

import os
from pathlib import Path

_SITE = """
import sys


class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == {package!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)


sys.meta_path.insert(0, Hidden())
"""


def python_path_without(package: str, folder: Path) -> str:
    """Write into `folder` what hides the package; return the PYTHONPATH that does so."""
    (folder / 'sitecustomize.py').write_text(_SITE.format(package=package))
    return first_on_python_path(folder)


def first_on_python_path(folder: Path) -> str:
    """Return the PYTHONPATH in which a folder comes before all that it has now."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get('PYTHONPATH')]))
