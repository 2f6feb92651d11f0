"""Ends the process the polite way."""

import sys

sys.exit("go away")
