"""What can be wrong with a policy, a version of it, or a file of cases."""

from callrec_pbx.config.errors import ProblemsError


class PolicyError(Exception):
    """Something of the policy cannot be had or done; the text says what to do."""


class PolicyFileError(ProblemsError, PolicyError):
    """A policy, or a file of cases, cannot be used; whoever wrote it must mend what it names."""


class NoSuchVersionError(PolicyError):
    """The policy has no such version; the user gives another."""


class PolicyChangedError(PolicyError):
    """Somebody else has changed the policy meanwhile; the user exports it and starts from that."""
