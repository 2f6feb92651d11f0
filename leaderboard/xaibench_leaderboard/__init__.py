"""From results to what a person reads: statistics, table, HTML."""
