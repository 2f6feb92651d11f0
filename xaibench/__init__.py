"""xaibench: which explanation of an image classifier can be trusted, what it costs, and how sure we are."""

__version__ = "0.1.0"
