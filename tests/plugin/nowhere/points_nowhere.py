"""The entry points of this distribution are wrong in three ways."""

PRESENT = 1
