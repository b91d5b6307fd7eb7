"""Speed, measured: `make bench`, or one subject as `python -m benchmarks.training --help`."""
