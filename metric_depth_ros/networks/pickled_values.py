# SPDX-License-Identifier: Apache-2.0
"""What a pickle asks for and would make, told without making any of it. Standard library.

Whoever hashes, compares or prints a value goes through each part of it as often as it is met
there: a few hundred bytes that put a tuple twice into a second one, that one twice into a third
and so on, would keep them busy for years. So what is shared counts as often as it is met.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

MOST_OPCODES = 500_000  # ten times those around the most released weights, as the values are
MOST_VALUES = 3_000_000  # and characters

_DEEPEST = 100
_OTHER_CALLS = ('STACK_GLOBAL', 'INST', 'EXT1', 'EXT2', 'EXT4')
# What `torch.save` writes: opcodes that are a value, ...
_LEAVES = (
    *('PROTO', 'STOP', 'GLOBAL', 'NONE', 'NEWTRUE', 'NEWFALSE', 'EMPTY_TUPLE', 'SHORT_BINSTRING'),
    *('BININT', 'BININT1', 'BININT2', 'BINFLOAT', 'BINUNICODE'),
)
_LONG = 300  # values that a number of any size counts as: some hash alike, which dicts are slow at
_GETS, _PUTS = ('BINGET', 'LONG_BINGET'), ('BINPUT', 'LONG_BINPUT')
_TO_MARK = -1
# ... those that make one of so many before them, and those that put these into what is below.
_MAKES: Mapping[str, int] = {
    **{'EMPTY_LIST': 0, 'EMPTY_DICT': 0, 'TUPLE': _TO_MARK, 'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3},
    **{'BINPERSID': 1, 'REDUCE': 2, 'NEWOBJ': 2},
}
_FILLS: Mapping[str, int] = {
    **{'APPEND': 1, 'APPENDS': _TO_MARK, 'SETITEM': 2, 'SETITEMS': _TO_MARK, 'BUILD': 1},
}

_Value: TypeAlias = int | list['_Value'] | None  # a size, parts, or a mark
_Extent: TypeAlias = tuple[int, int]  # how many values, and how deep in each other


def names_in(pickled: bytes) -> Iterator[str]:
    """Yield what a pickle asks Python for; opcodes of other protocols by their own name."""
    for name, argument in _opcodes(pickled):
        if name == 'GLOBAL':
            yield str(argument).replace(' ', '.', 1)
        elif name in _OTHER_CALLS:
            yield name


def refuse_bulk(pickled: bytes) -> None:
    """Refuse a pickle whose values are too many once all that they share is written out.

    Raises
    ------
    Exception
        More than `MOST_OPCODES` or `MOST_VALUES`, values deep in each other or in themselves, or
        opcodes that `torch.save` does not write; of any type where a pickle is damaged.
    """
    _extent(_values(pickled), {})


def _opcodes(pickled: bytes) -> Iterator[tuple[str, Any]]:
    for number, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
        if number == MOST_OPCODES:
            raise ValueError(f'more than {MOST_OPCODES} opcodes')
        yield opcode.name, argument


def _values(pickled: bytes) -> list[_Value]:
    """Return all that a pickle makes, as it is linked."""
    stack: list[_Value] = []
    memo: dict[int, _Value] = {}
    for name, argument in _opcodes(pickled):
        if name in _GETS:
            stack.append(memo[argument])
        elif name in _PUTS:
            memo[argument] = stack[-1]
        elif name == 'MARK':
            stack.append(None)
        elif name in _FILLS:
            parts = _taken(stack, _FILLS[name])
            filled = stack[-1]
            if not isinstance(filled, list):
                raise ValueError(f'{name} into what holds nothing')
            filled += parts
        elif name in _MAKES:
            stack.append(_taken(stack, _MAKES[name]))
        elif name in _LEAVES:
            stack.append(1 + len(argument) if isinstance(argument, str) else 1)
        elif name == 'LONG1':
            stack.append(_LONG)
        else:
            raise ValueError(f'the opcode {name}')
    return stack


def _taken(stack: list[_Value], count: int) -> list[_Value]:
    if count == _TO_MARK:
        return list(iter(stack.pop, None))
    return [stack.pop() for _ in range(count)]


def _extent(value: _Value, known: dict[int, _Extent | None], above: int = 0) -> _Extent:
    """Return that of a value within others; `known` has those met, None while they are told."""
    if not isinstance(value, list):
        return value or 1, 0
    if id(value) not in known and above <= _DEEPEST:
        known[id(value)] = None
        count, depth = 1, 0
        for part in value:
            part_count, part_depth = _extent(part, known, above + 1)
            count, depth = count + part_count, max(depth, 1 + part_depth)
            if count > MOST_VALUES:
                raise ValueError(f'more than {MOST_VALUES} values and characters')
        known[id(value)] = count, depth
    found = known.get(id(value))
    if found is None or found[1] > _DEEPEST:
        raise ValueError(f'values in themselves, or more than {_DEEPEST} deep in each other')
    return found
