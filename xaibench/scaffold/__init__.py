"""Plugins to begin with: small distributions that can be installed, and pass the conformance kit, as they are."""
