"""What the documentation is built with: pages from cards, pictures, the command line, and the test of its snippets."""
