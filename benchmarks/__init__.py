"""Measurements with goals: `python -m benchmarks.<name> [--quick] [--json]`; results are kept in RESULTS.md."""
