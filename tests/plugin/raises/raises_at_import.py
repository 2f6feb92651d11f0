"""What a plugin looks like whose vendor library is too old."""

raise RuntimeError("vendorlib 9 is needed, but 3 is installed")


class Raiser:
    """Never gets here."""


def command() -> None:
    """Neither does this."""
