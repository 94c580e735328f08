"""What a check of the catalogue can find."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A way in which rows, sidecars and files can disagree."""

    ROW_MISSING = "row_missing"
    ROW_DIFFERS = "row_differs"
    SIDECAR_MISSING = "sidecar_missing"
    SIDECAR_BROKEN = "sidecar_broken"
    SIDECAR_MISPLACED = "sidecar_misplaced"
    CALL_UNKNOWN = "call_unknown"
    NEVER_FINISHED = "never_finished"
    AUDIO_MISSING = "audio_missing"
    ENCODED_MISSING = "encoded_missing"
    WAVEFORM_MISSING = "waveform_missing"
    NAME_MISSING = "name_missing"
    SIZE_DIFFERS = "size_differs"
    CHECKSUM_DIFFERS = "checksum_differs"
    HEADER_DAMAGED = "header_damaged"
    CHANNELS_LEFT = "channels_left"
    AUDIO_LEFT = "audio_left"
    AUDIO_ORPHANED = "audio_orphaned"
    AUDIO_MISPLACED = "audio_misplaced"
    TEMPORARY_FILE = "temporary_file"
    UNKNOWN_FILE = "unknown_file"
    MARKER_LEFT = "marker_left"
    FOLLOW_UP_SET_ASIDE = "follow_up_set_aside"
    HOLD_BROKEN = "hold_broken"
    HOLD_FILE_MISSING = "hold_file_missing"
    HOLD_ROW_DIFFERS = "hold_row_differs"


class What(StrEnum):
    """What a finding is about."""

    RECORDING = "recording"
    CALL = "call"
    HOLD = "hold"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement.

    Attributes:
        item: The id of the recording, call or hold; of a file its path in the directory.
        detail: More of it, for people; never a number or name of a caller.
        mended: Whether it has been.
        error: Why it could not be mended, where that was tried.
    """

    kind: Kind
    what: What
    item: str
    detail: str = ""
    mended: bool = False
    error: str = ""
