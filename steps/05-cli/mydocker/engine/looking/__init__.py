"""Everything that only looks: lists, inspect, xray, stats, logs."""
