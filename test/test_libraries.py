# SPDX-License-Identifier: Apache-2.0
"""What cannot be imported: a package that somebody has to install, or a defect."""

from pathlib import Path

import pytest

from metric_depth_ros.errors import InputError
from metric_depth_ros.libraries import NEEDED, OPTIONAL, missing_libraries_named


def test_a_known_package_that_is_missing_is_named_with_its_command():
    words = r'open3d is not installed .*: pip install open3d\.$'
    with pytest.raises(InputError, match=words), missing_libraries_named():
        raise ModuleNotFoundError(name='open3d')


@pytest.mark.parametrize('name', ['torch.no_such_part', 'metric_depth_ros.no_such_module', None])
def test_any_other_module_that_is_missing_stays_a_defect(name):
    with pytest.raises(ModuleNotFoundError), missing_libraries_named():
        raise ModuleNotFoundError(name=name)


@pytest.mark.parametrize('library', [lib for lib in (*NEEDED, *OPTIONAL) if lib.least])
def test_pip_installs_what_is_new_enough(library):
    setup = (Path(__file__).resolve().parents[1] / 'setup.py').read_text()
    assert f"'{library.distribution}>={library.least}'" in setup
