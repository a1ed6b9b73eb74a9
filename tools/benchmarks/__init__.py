"""The benchmarks of `make bench`: each figure beside a named baseline measured in the same run."""
