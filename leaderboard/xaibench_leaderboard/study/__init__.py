"""Published studies, done again: what to run, which figures of the paper to set ours beside, and what differs."""
