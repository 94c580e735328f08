"""`callrec-pbx run`: keeps the link, the heartbeat, the disk watch and the retention going."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial

import structlog
from sqlalchemy import Engine

from callrec_pbx import metrics
from callrec_pbx.catalogue import holds
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.audit_anchor import keep_anchors
from callrec_pbx.catalogue.engine import is_outage
from callrec_pbx.catalogue.rows import Item, RecordingRow
from callrec_pbx.catalogue.writer import CatalogueWriter
from callrec_pbx.catalogue.written import note_written
from callrec_pbx.config import Config
from callrec_pbx.domain.facts import PromptBook
from callrec_pbx.domain.words import Switch
from callrec_pbx.followup.runner import FollowUpRunner, work_of
from callrec_pbx.pbx.asterisk.adapter import Asterisk
from callrec_pbx.pbx.asterisk.link import AmiLink
from callrec_pbx.pbx.errors import LoginRefusedError, PbxError
from callrec_pbx.pbx.freeswitch.adapter import FreeSwitch
from callrec_pbx.pbx.freeswitch.link import EslLink
from callrec_pbx.pbx.interface import OnEvents, Pbx
from callrec_pbx.policy.load import defaults_of
from callrec_pbx.reconcile.mend import Way
from callrec_pbx.reconcile.nightly import NightlyCheck
from callrec_pbx.recorder.jobs import Jobs, daily
from callrec_pbx.recorder.notify import Notifier
from callrec_pbx.recorder.observe import Lookout, show_policy, show_start
from callrec_pbx.recorder.observe_counts import Counts
from callrec_pbx.recorder.observe_http import MetricsServer
from callrec_pbx.recorder.opening import open_when_there
from callrec_pbx.recorder.policies import News, Policies
from callrec_pbx.recorder.prompt_book import prompt_book
from callrec_pbx.recorder.pump import Pump
from callrec_pbx.recorder.spool import Spool
from callrec_pbx.recorder.tidying import add_retention
from callrec_pbx.storage.store import RecordingStore

log = structlog.get_logger(__name__)

BEAT_S = 1.0
"""Between heartbeats; the dialplan takes a heartbeat of 3 s ago for nobody."""

BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Between attempts to connect; the last one repeats."""

REFUSED_BACK_OFF_S = 30.0
"""After a refused login: only a person can mend it, and the PBX logs each attempt."""

DISK_WATCH_S = 5.0
DISK_EMPTY_BYTES = 1 << 20
"""With less room than this, running recordings are taken to have failed."""

POLICY_WATCH_S = 1.0
"""Between looks for a new version of the policy, and for users who have switched profiles."""

PROMPTS_WATCH_S = 5.0
"""Between looks at the manifest of the prompts."""

COUNT_S = 30.0
"""Between counts in the database, of what metrics show."""

READY_S = 15.0
"""How long the service manager waits for the PBX before it counts the listener as started."""

LINK_FIRST_S = 30.0
"""How long rows that an earlier listener left wait for the link."""

STOP_S = 10.0
"""How long the end of the process may take to write what is known."""


class Service:
    """One listener beside one PBX.

    Args:
        make_pbx: Makes an unconnected PBX; it gets the function that takes events.
        prompts: Reads the prompts anew, so that an imported one counts without a restart.
        news: Says how the policy has changed, called in a thread; None: it does not.
        counts: Brings up to date what is counted in the database, called in a thread.
        notifier: The service manager that has started us, if one has.
    """

    def __init__(
        self,
        pump: Pump,
        make_pbx: Callable[[OnEvents], Pbx],
        writer: CatalogueWriter | None,
        prompts: Callable[[], PromptBook],
        news: Callable[[], News] | None = None,
        *,
        counts: Callable[[], None] | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self.pump = pump
        self._counts = counts
        self._notifier = notifier or Notifier({})
        self._lookout = Lookout(pump.calls, writer, self._notifier)
        self._prompts = prompts
        self._news = news
        self._make_pbx = make_pbx
        self._writer = writer
        self._stopping = asyncio.Event()
        self.linked = asyncio.Event()

    def stop(self) -> None:
        """End soon; running recordings go on and are adopted by the next listener."""
        self._stopping.set()

    async def serve(self) -> None:
        """Work until `stop`."""
        tasks = [
            asyncio.create_task(self._keep_link()),
            asyncio.create_task(self._watch_disk()),
            asyncio.create_task(self._watch_prompts()),
            asyncio.create_task(self._write_rows_left()),
            asyncio.create_task(self._lookout.watch()),
        ]
        if self._news is not None:
            tasks.append(asyncio.create_task(self._watch_policy(self._news)))
        if self._counts is not None:
            tasks.append(asyncio.create_task(self._watch_counts(self._counts)))
        ready = asyncio.create_task(self._tell_ready())
        waiter = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait({*tasks, waiter}, return_when=asyncio.FIRST_COMPLETED)
        self._notifier.stopping()
        for task in (*tasks, ready, waiter):
            task.cancel()
        await asyncio.gather(*tasks, ready, waiter, return_exceptions=True)
        self.pump.hold()
        self.pump.carrier.cancel_timers()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self.pump.carrier.idle()
                await self.pump.spool.close()
        if self._writer is not None:
            await asyncio.to_thread(self._writer.close, STOP_S)
        for task in done - {waiter}:
            task.result()

    async def _tell_ready(self) -> None:
        """The PBX may be away when the machine starts, which is no reason to fail."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                await self.linked.wait()
        self._notifier.ready()

    async def _keep_link(self) -> None:
        failures = 0
        while True:
            pbx = self._make_pbx(self.pump.take_all)
            wait_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            try:
                await self.pump.prepare()
                await pbx.connect()
                await self.pump.agree_with(pbx)
                await self._beat(pbx)
                failures = 0
                self.linked.set()
                metrics.PBX_LINKS.inc()
                metrics.PBX_LINK_UP.set(1)
                log.info("pbx_linked", calls=len(self.pump.calls.calls))
                await self._hold_link(pbx)
                log.warning("pbx_link_lost")
            except LoginRefusedError as error:
                wait_s = REFUSED_BACK_OFF_S
                log.error("pbx_login_refused", reason=str(error), remedy="callrec-pbx doctor")  # noqa: TRY400
            except PbxError as error:
                log.warning("pbx_not_linked", reason=str(error), again_in_s=wait_s)
            finally:
                self.linked.clear()
                metrics.PBX_LINK_UP.set(0)
                self.pump.hold()
                pbx.close()
            failures += 1
            await asyncio.sleep(wait_s)

    async def _hold_link(self, pbx: Pbx) -> None:
        """Return when the link is lost, or the PBX no longer answers."""
        lost = asyncio.create_task(pbx.wait_lost())
        try:
            while not lost.done():
                await asyncio.wait({lost}, timeout=BEAT_S)
                if not lost.done():
                    await self._beat(pbx)
        finally:
            lost.cancel()

    @staticmethod
    async def _beat(pbx: Pbx) -> None:
        await pbx.beat()
        metrics.PBX_HEARTBEAT.set_to_current_time()

    async def _watch_disk(self) -> None:
        missing = False
        directory = self.pump.spool.store.directory
        while True:
            try:
                free = await self.pump.spool.free_bytes()
                writable = await asyncio.to_thread(os.access, directory, os.W_OK | os.X_OK)
            except OSError as error:
                metrics.SPOOL_UP.set(0)
                log.exception("spool_missing", reason=str(error))
                if missing:  # a network file system may fail once
                    self.pump.spool_failed("spool_missing")
                missing = True
                await asyncio.sleep(DISK_WATCH_S)
                continue
            missing = False
            metrics.SPOOL_UP.set(writable)
            metrics.SPOOL_FREE.set(free)
            if free < DISK_EMPTY_BYTES:
                log.error("disk_full", free_bytes=free)
                self.pump.spool_failed("disk_full")
            await asyncio.sleep(DISK_WATCH_S)

    async def _write_rows_left(self) -> None:
        """What an earlier listener left; the link to the PBX comes first, if it comes soon."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINK_FIRST_S):
                await self.linked.wait()
        await self.pump.spool.write_rows_left()
        await asyncio.Event().wait()

    async def _watch_policy(self, look: Callable[[], News]) -> None:
        away = False
        while True:
            await asyncio.sleep(POLICY_WATCH_S)
            try:
                news = await asyncio.to_thread(look)
            except Exception as error:
                if not away:
                    log.exception("policy_not_looked_at", reason=str(error))
                away = True
                continue
            away = False
            if news.policy is not None:
                self.pump.adopt(news.policy)
                show_policy(news.policy.version)
                log.info("policy_loaded", version=news.policy.version)
            for switch in news.switches:
                calls = self.pump.calls
                calls.policy = calls.policy.with_profile(switch.tenant, switch.user, switch.profile)

    async def _watch_prompts(self) -> None:
        while True:
            await asyncio.sleep(PROMPTS_WATCH_S)
            try:
                self.pump.calls.prompts = await asyncio.to_thread(self._prompts)
            except Exception:
                log.exception("prompts_not_looked_at")

    async def _watch_counts(self, count: Callable[[], None]) -> None:
        failing = False
        while True:
            try:
                await asyncio.to_thread(count)
                failing = False
            except Exception as error:
                # A database that is away is told of by the writer.
                if not failing and not is_outage(error):
                    log.exception("not_counted", effect="metrics show what was counted last")
                    failing = True
            await asyncio.sleep(COUNT_S)


def pbx_of(config: Config) -> Callable[[OnEvents], Pbx]:
    """How to make the connection that the configuration describes."""
    return _freeswitch(config) if config.pbx == "freeswitch" else _asterisk(config)


def _freeswitch(config: Config) -> Callable[[OnEvents], Pbx]:
    settings = config.freeswitch

    def make(on_events: OnEvents) -> Pbx:
        return FreeSwitch(
            lambda on_messages: EslLink(
                settings.host,
                settings.port,
                settings.password.get_secret_value(),
                on_messages=on_messages,
                timeout_s=settings.action_timeout_s,
                connect_timeout_s=settings.connect_timeout_s,
            ),
            tuple(settings.trunks),
            config.sounds_dir,
            on_events,
            config.offer.wait_ms / 1000,
        )

    return make


def _asterisk(config: Config) -> Callable[[OnEvents], Pbx]:
    settings = config.asterisk

    def make(on_events: OnEvents) -> Pbx:
        return Asterisk(
            lambda on_messages: AmiLink(
                settings.host,
                settings.port,
                settings.username,
                settings.secret.get_secret_value(),
                on_messages=on_messages,
                timeout_s=settings.action_timeout_s,
                connect_timeout_s=settings.connect_timeout_s,
            ),
            tuple(settings.trunks),
            on_events,
            config.offer.wait_ms / 1000,
        )

    return make


def _note_written(store: RecordingStore, follow_up: FollowUpRunner, item: Item) -> Item | None:
    """See to the marker of a row that is committed, and have its follow-up work begun."""
    if isinstance(item, RecordingRow) and item.recording.to_do:
        follow_up.wake()
    return note_written(store, item)


def _nightly(config: Config, place: Place) -> NightlyCheck:
    names, retention = bool(config.names.on_disk), config.retention.default
    way = Way(mend=True, by="nightly check", names=names, retention=retention)
    return NightlyCheck(place, way, config.catalogue.checksum_gb_per_night)


async def _serve(config: Config, engine: Engine) -> None:
    store = RecordingStore(config.recordings.directory, config.recordings.pbx_directory)
    keep_anchors(engine, store.directory)
    holds.connect(store.holds, engine)
    follow_up = FollowUpRunner(work_of(config, engine, store), config.follow_up.threads)
    writer = CatalogueWriter(engine, on_written=partial(_note_written, store, follow_up))
    named = bool(config.names.on_disk)
    spool = Spool(store, writer, config.recordings.min_free_mb << 20, names=named)
    prompts = partial(prompt_book, config)
    policies = Policies(engine, defaults_of(config))
    log.info("policy_loaded", version=policies.policy.version)
    if all(one.recording is not Switch.ON for one in policies.policy.people.tenants.values()):
        log.warning("recording_off", remedy="callrec-pbx tenant acknowledge, tenant recording on")
    pump = Pump(
        policies.policy,
        prompts(),
        spool,
        config.recordings.start_check_s,
        policies.switch_profile,
    )
    show_start(policies.policy.version, spool.min_free_bytes)
    jobs = Jobs()
    add_retention(jobs, config, Place(engine, store), partial(setattr, pump.calls, "full"))
    counts = Counts(engine, store, config.sounds_dir, config.prompts.language)
    served = MetricsServer(config.metrics.listen)
    service = Service(
        pump,
        pbx_of(config),
        writer,
        prompts,
        policies.look,
        counts=counts.show,
        notifier=Notifier(),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    check = _nightly(config, Place(engine, store))
    jobs.add("check", daily(config.catalogue.check_at), check)
    jobs.start()
    follow_up.start()
    served.start()
    try:
        await service.serve()
    finally:
        await asyncio.to_thread(follow_up.stop)
        await asyncio.to_thread(served.stop)
        check.stop()
        await asyncio.to_thread(jobs.stop)


def run(config: Config) -> None:
    """Listen to the PBX until SIGTERM or SIGINT."""
    # Before the loop: Ctrl-C and SIGTERM end the wait.
    engine = open_when_there(config.catalogue.url)
    asyncio.run(_serve(config, engine))
