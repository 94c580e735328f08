"""What can go wrong between us and a PBX."""


class PbxError(Exception):
    """Base of all of them; the message is for the administrator."""


class LinkDownError(PbxError):
    """The PBX is not connected, or the connection broke before it answered."""


class LoginRefusedError(PbxError):
    """The PBX refused the user name or secret: the administrator must mend the configuration."""


class ActionFailedError(PbxError):
    """The PBX answered with an error; the text is its own."""


class ActionTimeoutError(PbxError):
    """The PBX did not answer in time; whether it did what was asked is not known."""


class UnsafeValueError(PbxError, ValueError):
    """A value must not be sent to a PBX (CR, LF, NUL, or too long): a defect or an attack."""


class MalformedMessageError(PbxError, ValueError):
    """A message of the PBX lacks a header or has one that cannot be read."""
