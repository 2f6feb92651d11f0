"""What people bring that is no plugin yet: networks, and objects that live in a Python session."""
