"""Percentiles that many of the benchmarks print."""

import statistics
from collections.abc import Sequence


def p95(values: Sequence[float]) -> float:
    """The 95th percentile, in the unit of the values; at least two of them."""
    return statistics.quantiles(values, n=20)[-1]
