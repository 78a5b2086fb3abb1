"""Owns Tarjan's algorithm: the strongly connected components of a graph.

Must not know what the nodes are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_Node = TypeVar("_Node")


def components(nodes: Iterable[_Node], successors: Callable[[_Node], Iterable[_Node]]) -> list[list[_Node]]:
    """The components, each after those that it leads to.

    Iterative, since interface files may declare long chains.
    """
    number: dict[_Node, int] = {}
    lowest: dict[_Node, int] = {}
    unassigned: list[_Node] = []
    on_stack: set[_Node] = set()
    found: list[list[_Node]] = []

    def enter(node: _Node) -> tuple[_Node, Iterator[_Node]]:
        number[node] = lowest[node] = len(number)
        unassigned.append(node)
        on_stack.add(node)
        return node, iter(successors(node))

    def leave(node: _Node) -> None:
        if lowest[node] == number[node]:
            component: list[_Node] = []
            while not component or component[-1] != node:
                component.append(unassigned.pop())
            on_stack.difference_update(component)
            found.append(component)

    for root in nodes:
        path = [enter(root)] if root not in number else []
        while path:
            node, remaining = path[-1]
            successor = next(remaining, None)
            if successor is None:
                path.pop()
                leave(node)
                if path:
                    parent = path[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[node])
            elif successor not in number:
                path.append(enter(successor))
            elif successor in on_stack:
                lowest[node] = min(lowest[node], number[successor])
    return found
