"""Plans: a bounded set of calls that a person approves beforehand."""
