# SPDX-License-Identifier: Apache-2.0
"""Weights of a network as its authors' checkpoint has them, for tests that write one."""


def official_state(network):
    """Return the network's weights under their official keys: the inverse of `load_strict`."""
    return network.to_official(network.state_dict())
