# SPDX-License-Identifier: Apache-2.0
"""One thread for torch: on a busy machine its threads mostly wait for each other."""

import pytest
import torch


@pytest.fixture(scope='package', autouse=True)
def one_thread():
    """Run torch in the test's own thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
