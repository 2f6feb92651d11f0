"""Explainers: native ones, and those of other libraries (one module per vendor)."""
