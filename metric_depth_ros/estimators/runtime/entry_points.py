# SPDX-License-Identifier: Apache-2.0
"""The calls of a network that get compiled code, in place of the network's own methods.

A network's `infer` prepares images, calls its `forward` and finishes; only the call in the middle
is worth compiling, and its shapes change less than those of the images. On CUDA, compiled code is
recorded as a CUDA graph.
"""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from metric_depth_ros.estimators.preparation import Preparation
from metric_depth_ros.estimators.runtime.buckets import Buckets
from metric_depth_ros.estimators.runtime.settings import is_out_of_memory

# Methods that `infer` may call with tensors of the network's own input size.
METHODS = ('forward', 'canonical_inverse_depth')
# Arguments of those methods that make shapes depend on shapes only, not on values.
_STATIC_ARGUMENTS = {'fixed_length': True}

# Graphs without "trees", which torch's mode reduce-overhead would take: those belong to the thread
# that recorded them, and a node warms up in another thread than it works in.
_CUDA_GRAPHS: dict[str, Any] = {'triton.cudagraphs': True, 'triton.cudagraph_trees': False}

_LOGGER = logging.getLogger(__name__)


class EntryPoint:
    """One method of a network: plain, or compiled for the shapes that are worth it.

    Parameters
    ----------
    method
        Bound method of the network.
    compiled
        Whether to compile at all.
    on_cuda
        Whether it runs on a GPU.
    """

    def __init__(self, method: Callable[..., Any], *, compiled: bool, on_cuda: bool) -> None:
        self.plain = method
        self.preparation = Preparation()
        self.warming_up = False
        self.last_output: list[Tensor] = []
        self.failure = ''
        self._on_cuda = on_cuda
        self._buckets = Buckets()
        self._compiled_for: set[Hashable] = set()
        self._static = {
            name: value
            for name, value in _STATIC_ARGUMENTS.items()
            if name in inspect.signature(method).parameters
        }
        self._source = _with_own_code(method)
        self._fast = self._compile() if compiled else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method the fast way where there is one."""
        output = self._call(args, kwargs)
        self.last_output = [x for x in pytree.tree_leaves(output) if isinstance(x, Tensor)]
        return output

    def start_over(self, *, compiled: bool = True) -> None:
        """Forget this method's compiled code, and with it the memory that it holds.

        Parameters
        ----------
        compiled
            Whether to compile again.
        """
        if self._fast is None:
            return
        # Loads in seconds, which those who compile nothing need not wait for.
        from torch._dynamo.eval_frame import remove_from_cache

        remove_from_cache(self._source)
        self._buckets = Buckets()
        self._compiled_for.clear()
        self._fast = self._compile() if compiled else None

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        shape = _shape_of((args, kwargs))
        if self._fast is None or not self._buckets.admits(shape, at_once=self.warming_up):
            return self.plain(*args, **kwargs)
        try:
            return self._run_fast(self._fast, shape, args, {**kwargs, **self._static})
        except Exception as error:
            if is_out_of_memory(error):
                raise
            reason = str(error)
        # Raises too where the network itself is at fault, and not what was made of it.
        output = self.plain(*args, **kwargs)
        self.failure = 'not compiled'
        self.start_over(compiled=False)
        _LOGGER.warning('torch.compile failed, the network runs uncompiled: %s', reason)
        return output

    def _run_fast(
        self,
        fast: Callable[..., Any],
        shape: Hashable,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        made_for = shape, torch.get_num_threads()  # another number of them takes code of its own
        is_made = made_for in self._compiled_for
        with nullcontext() if is_made else self.preparation.under_way():
            output = fast(*args, **kwargs)
        self._compiled_for.add(made_for)
        if not self._on_cuda:
            return output
        # A CUDA graph answers in memory that its next run overwrites.
        return pytree.tree_map_only(Tensor, torch.clone, output)

    def _compile(self) -> Callable[..., Any]:
        options = _CUDA_GRAPHS if self._on_cuda else None
        return torch.compile(self._source, dynamic=False, options=options)


def install(network: nn.Module, *, compiled: bool, on_cuda: bool) -> list[EntryPoint]:
    """Put entry points in place of a network's methods and return them."""
    points = []
    for name in METHODS:
        if hasattr(network, name):
            point = EntryPoint(getattr(network, name), compiled=compiled, on_cuda=on_cuda)
            setattr(network, name, point)
            points.append(point)
    return points


def _shape_of(arguments: Any) -> Hashable:
    """Return what compiled code depends on: shapes and types of tensors, values of the rest."""
    leaves, structure = pytree.tree_flatten(arguments)
    described = [
        (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else repr(leaf)
        for leaf in leaves
    ]
    return str(structure), tuple(described)


def _with_own_code(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls the method, with a code object of its own.

    torch keeps compiled code by code object. All networks of a class share those of its methods,
    so that forgetting one network's code would forget, and recompile, that of the others.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    code = call.__code__.replace()
    return types.FunctionType(code, call.__globals__, call.__name__, None, call.__closure__)
