"""What benchmarks share: cells that are run once each, data sets with few labels, tables."""
