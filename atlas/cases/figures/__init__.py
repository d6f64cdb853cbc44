"""The figures of the calls of a period, counted in spans of time and kept."""
