"""As much of Prometheus' query language as our rules and our dashboard speak, over two looks at the metrics: before and now."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import promql_parser as ql

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Series = dict[tuple[str, Labels], tuple[float, float]]
"""The value of each series before and now; ``before`` is as long ago as the range that is asked for."""

LINE = re.compile(r"(\w+)(?:\{(.*)\})? +(\S+) +(\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "^": operator.pow,
    "/": lambda a, b: a / b if b else math.nan,
}  # fmt: skip
COMPARISON: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
TOGETHER: dict[str, Callable[..., float]] = {"sum": math.fsum, "max": max, "min": min, "count": len}


def series(text: str) -> Series:
    """``name{label="value"} before now``, a line each."""
    found = [LINE.fullmatch(line.strip()) for line in text.strip().splitlines() if line.strip()]
    assert all(found), text
    return {
        (each[1], frozenset(LABEL.findall(each[2] or ""))): (float(each[3]), float(each[4])) for each in found if each
    }


def ask(query: str, data: Series) -> Vector:
    """What an alert would look at: everything in the answer is one alert."""
    answer = value(ql.parse(query), data)
    assert isinstance(answer, dict), f"{query} is a number"
    return answer


def metrics(query: str) -> set[str]:
    """The names of all metrics in a query."""
    names: set[str] = set()

    def note(node: Any) -> None:
        if isinstance(node, ql.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, ql.VectorSelector):
            names.add(node.name)

    ql.walk(ql.parse(query), note)
    return names


def value(node: Any, data: Series) -> Vector | float:
    match node:
        case ql.NumberLiteral():
            return float(node.val)
        case ql.ParenExpr():
            return value(node.expr, data)
        case ql.VectorSelector():
            return {labels: now for labels, (_, now) in _selected(node, data)}
        case ql.AggregateExpr():
            return _together(node, value(node.expr, data))
        case ql.Call():
            return _called(node, data)
        case ql.BinaryExpr():
            return _both(str(node.op), value(node.lhs, data), value(node.rhs, data), node.modifier)
    raise AssertionError(f"not spoken here: {node}")


def _selected(node: Any, data: Series) -> Iterator[tuple[Labels, tuple[float, float]]]:
    for (name, labels), values in data.items():
        if name == node.name and all(_holds(each, dict(labels)) for each in node.matchers.matchers):
            yield labels, values


def _holds(matcher: Any, labels: dict[str, str]) -> bool:
    has, negated = labels.get(matcher.name, ""), matcher.op in (ql.MatchOp.NotEqual, ql.MatchOp.NotRe)
    if matcher.op in (ql.MatchOp.Re, ql.MatchOp.NotRe):
        return (re.fullmatch(matcher.value, has) is None) is negated
    return (has != matcher.value) is negated


def _together(node: Any, vector: Vector | float) -> Vector:
    assert isinstance(vector, dict)
    by = set(node.modifier.labels) if node.modifier else set()
    assert node.modifier is None or node.modifier.type == ql.AggModifierType.By
    groups: dict[Labels, list[float]] = {}
    for labels, number in vector.items():
        groups.setdefault(frozenset(pair for pair in labels if pair[0] in by), []).append(number)
    return {labels: TOGETHER[str(node.op)](numbers) for labels, numbers in groups.items()}


def _called(node: Any, data: Series) -> Vector:
    argument = node.args[0]
    if node.func.name == "absent":
        return {} if value(argument, data) else {frozenset(): 1.0}
    seconds = argument.range.total_seconds()
    over = {
        "increase": lambda before, now: now - before,
        "rate": lambda before, now: (now - before) / seconds,
        "min_over_time": min,
    }[node.func.name]
    return {labels: over(*values) for labels, values in _selected(argument.vector_selector, data)}


def _both(op: str, left: Vector | float, right: Vector | float, modifier: Any) -> Vector | float:
    if op in ("and", "or", "unless"):
        assert isinstance(left, dict) and isinstance(right, dict) and (modifier is None or modifier.matching is None)
        kept = {"and": lambda k: k in right, "unless": lambda k: k not in right, "or": lambda k: True}[op]
        return (right if op == "or" else {}) | {labels: number for labels, number in left.items() if kept(labels)}
    if isinstance(left, float) and isinstance(right, float):
        return ARITHMETIC[op](left, right)
    pairs = _paired(left, right)
    if op in COMPARISON:
        return {labels: a for labels, (a, b) in pairs.items() if COMPARISON[op](a, b)}
    return {labels: ARITHMETIC[op](a, b) for labels, (a, b) in pairs.items()}


def _paired(left: Vector | float, right: Vector | float) -> dict[Labels, tuple[float, float]]:
    if isinstance(left, float):
        assert isinstance(right, dict)
        return {labels: (left, number) for labels, number in right.items()}
    if isinstance(right, float):
        return {labels: (number, right) for labels, number in left.items()}
    return {labels: (number, right[labels]) for labels, number in left.items() if labels in right}
