"""The account of all work: the only place that writes to `ops` and that makes partitions."""
