"""The three kinds of work: predict, explain, score. Each does the shards of a cell that are still missing."""
