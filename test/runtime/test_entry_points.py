# SPDX-License-Identifier: Apache-2.0
import gc
import math
import weakref

import pytest
import torch
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed

from metric_depth_ros.estimators.runtime.buckets import STEADY_AFTER
from metric_depth_ros.estimators.runtime.entry_points import install


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.lengths = []

    def forward(self, images, fixed_length=False):
        self.lengths.append(fixed_length)
        return {'depth': images + 1.0}


@pytest.fixture
def compilations(monkeypatch):
    """Count what would be compiled, by shape, and run it as it is."""
    shapes = []

    def compiler(method, **options):
        seen = set()

        def run(images, **kwargs):
            if images.shape not in seen:
                seen.add(images.shape)
                shapes.append(tuple(images.shape))
            return method(images, **kwargs)

        return run

    monkeypatch.setattr(torch, 'compile', compiler)
    return shapes


def test_nothing_is_compiled_unless_asked_for(compilations):
    network = Network()
    install(network, compiled=False, on_cuda=False)
    network(torch.rand(1, 3, 4, 4))
    assert compilations == []


def test_an_odd_image_is_answered_without_compiling_again(compilations):
    network = Network()
    install(network, compiled=True, on_cuda=False)
    steady, odd = torch.rand(1, 3, 48, 64), torch.rand(1, 3, 47, 65)
    for images in (steady, odd, steady, odd):
        assert torch.equal(network(images)['depth'], images + 1.0)
    assert compilations == [(1, 3, 48, 64)]


def test_compiled_code_gets_shapes_that_depend_on_no_value(compilations):
    network = Network()
    install(network, compiled=True, on_cuda=False)
    network(torch.rand(1, 3, 4, 4))
    network(torch.rand(1, 3, 5, 5))
    assert network.lengths == [True, False]


@pytest.fixture
def readiness(monkeypatch):
    """Return a network with compiled code, and what it says of its readiness in each call."""
    said = []
    network = Network()

    def compiler(method, **options):
        def run(*args, **kwargs):
            said.append(point.preparation.ended_s())
            return method(*args, **kwargs)

        return run

    monkeypatch.setattr(torch, 'compile', compiler)
    (point,) = install(network, compiled=True, on_cuda=False)
    return network, point, said


def compiles(said):
    return [ended_s == math.inf for ended_s in said]


def test_the_first_run_of_the_code_for_a_shape_is_preparation(readiness):
    network, _, said = readiness
    first, second = torch.rand(1, 3, 4, 4), torch.rand(2, 3, 4, 4)
    network(first)
    network(first)
    for _ in range(STEADY_AFTER + 2):  # runs as it is until the shape has stayed
        network(second)
    network(first)
    assert compiles(said) == [True, False, True, False, False]


def test_code_for_another_number_of_threads_is_preparation(readiness, monkeypatch):
    network, _, said = readiness
    for count in (2, 2, 1, 2):
        monkeypatch.setattr(torch, 'get_num_threads', lambda count=count: count)
        network(torch.rand(1, 3, 4, 4))
    assert compiles(said) == [True, False, True, False]


def test_code_that_was_forgotten_is_preparation_again(readiness):
    network, point, said = readiness
    network(torch.rand(1, 3, 4, 4))
    point.start_over()
    network(torch.rand(1, 3, 4, 4))
    assert compiles(said) == [True, True]


def test_a_machine_without_a_compiler_runs_uncompiled(monkeypatch, caplog):
    def failing(method, **options):
        def run(*args, **kwargs):
            raise BackendCompilerFailed('inductor', RuntimeError('no C++ compiler'), None)

        return run

    monkeypatch.setattr(torch, 'compile', failing)
    network = Network()
    (point,) = install(network, compiled=True, on_cuda=False)
    for _ in range(2):
        assert network(torch.zeros(1, 3, 2, 2))['depth'].max() == 1.0
    assert point.failure == 'not compiled'
    assert len(caplog.records) == 1


def test_faults_of_the_network_itself_are_raised(monkeypatch):
    class Broken(Network):
        def forward(self, images, fixed_length=False):
            raise RuntimeError('wrong shapes')

    monkeypatch.setattr(torch, 'compile', lambda method, **options: method)
    network = Broken()
    install(network, compiled=True, on_cuda=False)
    with pytest.raises(RuntimeError, match='wrong shapes'):
        network(torch.zeros(1, 3, 2, 2))


def test_really_compiled_code_answers_the_same():
    network = Network()
    install(network, compiled=True, on_cuda=False)
    images = torch.rand(1, 3, 8, 8)
    assert torch.equal(network(images)['depth'], images + 1.0)


@pytest.fixture
def graphs(monkeypatch):
    """Compile with torch's own machinery into graphs that tell when they are freed."""
    alive = []
    compiler = torch.compile

    class Graph:
        def __init__(self, module):
            self.module = module

        def __call__(self, *inputs):
            return self.module.forward(*inputs)

    def backend(module, inputs):
        graph = Graph(module)
        alive.append(weakref.ref(graph))
        return graph

    monkeypatch.setattr(
        torch, 'compile', lambda method, **options: compiler(method, backend=backend)
    )
    return alive


def test_starting_over_frees_the_compiled_code_of_this_network_only(graphs):
    class Pure(nn.Module):
        def forward(self, images):
            return {'depth': images + 1.0}

    images = torch.rand(1, 3, 4, 4)
    networks = [Pure(), Pure()]
    points = [install(network, compiled=True, on_cuda=False)[0] for network in networks]
    for network in networks:
        network(images)
    assert len(graphs) == 2
    points[0].start_over()
    gc.collect()
    assert [graph() is not None for graph in graphs] == [False, True]
    networks[1](images)
    assert len(graphs) == 2  # the other one was not compiled again
    assert torch.equal(networks[0](images)['depth'], images + 1.0)
    assert len(graphs) == 3
