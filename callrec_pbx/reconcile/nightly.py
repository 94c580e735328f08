"""The check that the listener makes every night."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from callrec_pbx import metrics
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.reconcile import memory
from callrec_pbx.reconcile.check import Check, Checked, Scope
from callrec_pbx.reconcile.finding import Finding
from callrec_pbx.reconcile.mend import Way
from callrec_pbx.storage import locks
from callrec_pbx.storage.locks import BusyError

LOCK = "check"
"""What is locked by a check of everything: one at a time."""
MOST_LOGGED = 100
"""Findings that get a line of their own in the log."""

log = structlog.get_logger(__name__)


class NightlyCheck:
    """Checks everything and mends what can be; each call is one night's."""

    def __init__(self, place: Place, way: Way, checksum_gb: float) -> None:
        """Prepare it; nothing is looked at yet.

        Args:
            place: Catalogue and recordings directory.
            way: How to go about it.
            checksum_gb: How much audio to read each night to compare checksums (GB); 0: none.
        """
        self._place = place
        self._way = replace(way, mend=True)
        self._gigabytes = checksum_gb
        self._stopping = threading.Event()
        self._logged = 0

    def stop(self) -> None:
        """End soon; the next night begins anew."""
        self._stopping.set()

    def __call__(self) -> None:
        """Check, as `run`."""
        self.run()

    def run(self) -> Checked | None:
        """Check; None when another one is at work.

        Raises:
            SpoolError: the recordings directory is not to be had.
            DBAPIError: the catalogue is not to be had.
        """
        try:
            with locks.held(self._place.store.directory, LOCK, wait=False):
                return self._run()
        except BusyError:
            log.info("check_busy")
            return None

    def _run(self) -> Checked:
        directory, self._logged = self._place.store.directory, 0
        share = memory.Share(memory.load(directory), self._gigabytes, datetime.now(UTC))
        verify = share if self._gigabytes > 0 else None
        checked = Check(
            self._place,
            self._way,
            Scope(verify=verify),
            on_finding=self._log,
            stopping=self._stopping.is_set,
        ).run()
        last = share.end(through=not checked.stopped) if verify else memory.load(directory)
        if not checked.stopped:
            last = memory.after(last, checked, self._way.by, datetime.now(UTC))
            metrics.check_ran(checked.left.total())
        memory.save(directory, last)
        log.info(
            "check_done",
            recordings=checked.recordings,
            calls=checked.calls,
            found=checked.found.total(),
            mended=checked.mended.total(),
            left={str(kind): count for kind, count in sorted(checked.left.items())},
            verified_mb=checked.verified_bytes // 1_000_000,
            stopped=checked.stopped,
        )
        return checked

    def _log(self, found: Finding) -> None:
        self._logged += 1
        if self._logged > MOST_LOGGED:
            return
        tell = log.info if found.mended else log.warning
        tell(
            "check_found",
            kind=str(found.kind),
            what=str(found.what),
            id=found.item,
            detail=found.detail,
            mended=found.mended,
            error=found.error,
        )
        if self._logged == MOST_LOGGED:
            log.warning("check_found_more", remedy="callrec-pbx catalogue check lists all")
