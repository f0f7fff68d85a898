"""The errors that are the user's to mend: their message says all, so that they are shown without a stack trace."""


class UserError(Exception):
    """A mistake in what the user gave: the message names the thing, its value and the remedy."""


class DataError(UserError):
    """The data cannot be used as they are; the message lists what is wrong, with file and line."""
