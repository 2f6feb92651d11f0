"""What can go wrong for a user's reason, with the exit code each ends in.

XaibenchError
├── UsageError        2   an option, a reference or a parameter that cannot be
│   └── Unsupported       what is asked of a model makes no sense for it: the cell says so, and nothing fails
├── DataError         2   a dataset or a results folder that is not what it should be
│   ├── StorageError      results cannot be written or read: no space, no right, no longer there
│   └── Damaged           stored work that is not what was written
├── NothingSelected   3   the selection is empty
└── BrokenPlugin      4   a plugin asked for by name does not load

Messages say what was given, what is allowed, and what to do.
"""


class XaibenchError(Exception):
    """A user's mistake: shown as one message, never as a traceback."""

    exit_code = 2


class UsageError(XaibenchError):
    """An option, a reference or a parameter that cannot be."""


class DataError(XaibenchError):
    """A dataset or a results folder that is not what it should be."""


class StorageError(DataError):
    """Results cannot be written or read: no space, no right, no longer there."""


class Damaged(DataError):  # noqa: N818
    """Stored work that is not what was written."""


class NothingSelected(XaibenchError):  # noqa: N818  # the name reads as the message does
    """The selection is empty."""

    exit_code = 3


class BrokenPlugin(XaibenchError):  # noqa: N818
    """A plugin asked for by name does not load."""

    exit_code = 4


class Unsupported(UsageError):  # noqa: N818
    """What is asked of a model makes no sense for it, as showed only when it was tried."""
