"""What the page holds: results turned into plain values, small enough to travel inside one file."""
