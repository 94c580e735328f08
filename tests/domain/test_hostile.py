"""Events in hostile orders: whatever comes, the domain keeps its promises."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.domain import events as e
from callrec_pbx.domain.people import People, Profile, Tenant
from callrec_pbx.domain.policy import Policy
from callrec_pbx.domain.words import (
    Consent,
    ConsentMode,
    Direction,
    Key,
    LegKind,
    Mode,
    Notice,
    OnTrouble,
    RecordingState,
    Switch,
)
from tests.domain.world import PROMPT_MS, Channel, World
from tests.rules import policy, rule

LINES = ("301", "302", "303")
BRIDGES = ("x", "y", "z")
HOW = ("done", "done", "done", "refused", "silent", "lost")
ENDS = {RecordingState.STOPPING, RecordingState.DISCARDING}
RECORDS = {RecordingState.STARTING, RecordingState.RECORDING, RecordingState.RESUMING}


@dataclass(frozen=True)
class Step:
    """One thing that happens; numbers choose among what there is, modulo their count.

    Attributes:
        lag: Whether events stay in the line for now.
    """

    what: str
    one: int
    two: int
    lag: bool


policies = st.builds(
    lambda mode, consent, failure, resume, excluded, announces: policy(
        rule("never", Mode.NEVER, line=("303",)),
        rule(
            "rule",
            mode,
            consent=consent,
            on_failure=failure,
            resume_after_s=resume,
            reminder_s=0,
            announce_inbound=announces,
            start_stop=Notice.ANNOUNCEMENT,
            voicemail=True,
        ),
        excluded=("0666",) if excluded else (),
        people=company(Switch.ON, None),
    ),
    st.sampled_from([Mode.ALWAYS_PAUSABLE, Mode.ALWAYS_PAUSABLE, Mode.ALWAYS, Mode.ON_DEMAND]),
    st.sampled_from(list(ConsentMode)),
    st.sampled_from(list(OnTrouble)),
    st.sampled_from([0, 30]),
    st.booleans(),
    st.booleans(),
)


def any_of(world: World, number: int) -> Channel | None:
    channels = list(world.channels.values())
    return channels[number % len(channels)] if channels else None


def nothing(world: World, one: int, two: int) -> None:
    pass


def inbound(world: World, one: int, two: int) -> None:
    caller = world.leg(LegKind.OUTSIDE)
    line = LINES[one % 3]
    if two % 4:
        world.offer(caller, Direction.INBOUND, None if two % 5 == 0 else line, menu(two))


def menu(number: int) -> Consent | None:
    """What a caller has answered in a menu of the administrator's, mostly nothing."""
    return {3: Consent.ACCEPTED, 4: Consent.DECLINED}.get(number % 9)


def offer_again(world: World, one: int, two: int) -> None:
    """A call is handed on to a place where it is offered."""
    channel = any_of(world, one)
    if channel is not None:
        world.leave(channel)
        world.offer(channel, Direction.INBOUND, LINES[two % 3], menu(two))


def voicemail(world: World, one: int, two: int) -> None:
    channel = any_of(world, one)
    if channel is not None and not channel.bridge:
        world.voicemail(channel, LINES[two % 3] if two % 4 == 0 else None)


def profile(world: World, one: int, two: int) -> None:
    channel = any_of(world, one)
    if channel is not None:
        world.say(e.ProfileDialled(world.now, channel.who, "1"))
        world.handle(e.ProfileSwitched(world.now, Profile("default", "anna@acme.se", f"{two}")))


def internal(world: World, one: int, two: int) -> None:
    caller = world.leg(LegKind.LINE, line=LINES[one % 3])
    if two % 4:
        direction = Direction.OUTBOUND if two % 2 else Direction.INTERNAL
        world.offer(caller, direction, LINES[two % 3])


def dial(world: World, one: int, two: int) -> None:
    caller = any_of(world, one)
    if caller is not None:
        kind = (LegKind.LINE, LegKind.LINE, LegKind.OUTSIDE, LegKind.OTHER)[two % 4]
        world.leg(kind, caller.who.ref, LINES[two % 3])


def whole_call(world: World, one: int, two: int) -> None:
    """A usual inbound call up to the conversation."""
    caller = world.leg(LegKind.OUTSIDE)
    world.offer(caller, Direction.INBOUND, LINES[one % 3])
    world.deliver()
    mode = (ConsentMode.ANNOUNCE, ConsentMode.OPT_OUT, ConsentMode.OPT_IN)[two % 3]
    world.ask(caller, mode, "1" if mode is ConsentMode.OPT_IN else "", PROMPT_MS)
    agent = world.leg(LegKind.LINE, caller.who.ref, LINES[one % 3])
    bridge = f"b{caller.who.leg}"
    world.bridge(caller, bridge)
    world.bridge(agent, bridge)


def ask(world: World, one: int, two: int) -> None:
    channel = any_of(world, one)
    if channel is not None:
        mode = list(ConsentMode)[two % 4]
        if mode is not ConsentMode.NONE:
            heard = (PROMPT_MS, PROMPT_MS, 0, PROMPT_MS // 2)[two // 4 % 4]
            world.ask(channel, mode, ("", "", "*", "1", "2", "7")[two // 16 % 6], heard)


def bridge(world: World, one: int, two: int) -> None:
    channel = any_of(world, one)
    if channel is not None:
        world.bridge(channel, BRIDGES[two % 3], holding=two % 7 == 6)


def relink(world: World, one: int, two: int) -> None:
    channel, other = any_of(world, one), any_of(world, two)
    if channel is not None and other is not None:
        world.relink(channel, other.who.ref)


def leave(world: World, one: int, two: int) -> None:
    channel = any_of(world, one)
    if channel is not None:
        world.leave(channel)


def press(world: World, one: int, two: int) -> None:
    channel = any_of(world, one)
    if channel is not None:
        world.press(channel, list(Key)[two % 3])


def hang_up(world: World, one: int, two: int) -> None:
    channel = any_of(world, one)
    if channel is not None:
        world.hang_up(channel)


def carry_out(world: World, one: int, two: int) -> None:
    legs = list(world.queues)
    if legs:
        world.carry_out(legs[one % len(legs)], HOW[two % len(HOW)])


def work(world: World, one: int, two: int) -> None:
    if world.work:
        world.finish(two % 3 != 0)


def no_audio(world: World, one: int, two: int) -> None:
    known = list(world.recordings)
    if known:
        world.handle(e.AudioMissing(world.now, known[one % len(known)], "disk_full"))


def unanswered(world: World, one: int, two: int) -> None:
    channel = any_of(world, one)
    if channel is not None:
        world.say(e.OfferUnanswered(world.now, channel.who.leg))
        world.say(e.WhisperPlayed(world.now, channel.who.leg))
        world.say(e.CallTransferred(world.now, channel.who.leg, "blind", "302"))


def pass_time(world: World, one: int, two: int) -> None:
    world.pass_time((0.1, 1, 10, 31)[two % 4])


def again(world: World, one: int, two: int) -> None:
    """An event comes once more, or late, after everything else."""
    if world.past:
        world.lossless = False
        event = world.past[-1 - one % min(len(world.past), 12)]
        if not isinstance(event, e.SnapshotTaken):
            world.events.append(event)


def lose(world: World, one: int, two: int) -> None:
    if world.events:
        world.lossless = False
        del world.events[one % len(world.events)]


def swap(world: World, one: int, two: int) -> None:
    if len(world.events) > 1:
        world.lossless = False
        place = one % (len(world.events) - 1)
        world.events.rotate(-place)
        first, second = world.events.popleft(), world.events.popleft()
        world.events.extendleft((first, second))
        world.events.rotate(place)


def about_nobody(world: World, one: int, two: int) -> None:
    """An event about a leg and a recording that nobody knows."""
    at, nobody = world.now, f"nobody-{one}"
    strangers: list[e.Event] = [
        e.OfferUnanswered(at, nobody),
        e.LegUnbridged(at, nobody, "x"),
        e.KeyPressed(at, nobody, Key.DISCARD),
        e.ProfileSwitched(at, Profile("nobody", nobody, "Lunch")),
        e.RecordingStarted(at, nobody),
        e.RecordingPaused(at, nobody),
        e.RecordingStopped(at, nobody, offline_discard=True),
        e.CommandFailed(at, nobody, "start", "leg_gone"),
        e.AudioMissing(at, nobody, "no_audio"),
        e.TimerFired(at, f"resume:{nobody}"),
        e.LegHungUp(at, nobody),
    ]
    world.handle(strangers[two % len(strangers)])


def cut(world: World, one: int, two: int) -> None:
    world.cut()


def look(world: World, one: int, two: int) -> None:
    world.look()


def restart(world: World, one: int, two: int) -> None:
    world.restart(torn=two % 5 == 4)


def die(world: World, one: int, two: int) -> None:
    world.die()
    if two % 2:
        world.restart()
    else:
        world.look()


def new_rules(world: World, one: int, two: int) -> None:
    before = world.domain.policy
    text = replace(before.text, excluded_numbers=("0666", f"0{one}"))
    switch = (Switch.ON, Switch.ON, Switch.OFF_NEW, Switch.OFF_NOW)[two % 4]
    world.adopt(Policy(f"{one}", text, people=company(switch, limit=two % 7 or None)))


def company(switch: Switch, limit: int | None) -> People:
    return People.of([Tenant("default", switch, concurrent_limit=limit)])


USUAL: list[Callable[[World, int, int], None]] = [
    inbound, internal, dial, dial, whole_call, ask, ask, bridge, bridge, bridge, relink, leave,
    offer_again, voicemail, voicemail, profile,
    press, press, press, hang_up, carry_out, carry_out, carry_out, carry_out, work, unanswered,
    pass_time, new_rules,
]  # fmt: skip
FAULTS: list[Callable[[World, int, int], None]] = [
    again, lose, swap, about_nobody, cut, look, restart, die, no_audio,
]  # fmt: skip
BY_NAME = {act.__name__: act for act in (nothing, *USUAL, *FAULTS)}

numbers = st.integers(0, 96)


def steps(*acts: Callable[[World, int, int], None]) -> st.SearchStrategy[list[Step]]:
    names = st.sampled_from([act.__name__ for act in (nothing, *acts)])
    # Left to itself hypothesis makes short lists; `nothing` is what it shrinks steps to.
    return st.lists(
        st.builds(Step, names, numbers, numbers, st.booleans()), min_size=25, max_size=60
    )


def play(policy: Policy, todo: list[Step]) -> World:
    world = World(policy)
    world.look()
    for step in todo:
        BY_NAME[step.what](world, step.one, step.two)
        if not step.lag:
            world.deliver()
        promises(world)
    return world


def promises(world: World) -> None:
    """What holds at any moment (`World` itself looks at each command)."""
    domain = world.domain
    for leg in domain.legs.values():
        ours = [r for call in domain.calls.values() for r in call.recordings if r.leg == leg.leg]
        assert sum(not r.over for r in ours) <= 1, "two recordings on one leg"
        if leg.kind is not LegKind.LINE and leg.bridge and leg.recording is not None:
            ends = leg.recording.over or leg.recording.state in ENDS
            assert ends, "a message goes on although the caller talks to somebody"
    for call in domain.calls.values():
        assert call.outcome is None or call.ended_at is not None
        for recording in call.recordings:
            assert recording.call_id == call.call_id
            open_pauses = [pause for pause in recording.pauses if pause.to_ms is None]
            assert len(open_pauses) <= 1


def agreement(world: World) -> None:
    """What holds once everything under way has come to its end and nothing was lost."""
    for leg in world.domain.legs.values():
        channel = world.channels[leg.leg]
        state = leg.recording.state if leg.recording is not None else None
        running = bool(channel.monitor) and not channel.muted
        assert (state is RecordingState.RECORDING) == running, (state, channel)
        assert (state is RecordingState.PAUSED) == (bool(channel.monitor) and channel.muted)
        assert channel.bridge == (leg.bridge or channel.bridge * channel.holding)


def end(world: World) -> None:
    """Everybody hangs up, and every command is answered."""
    for channel in list(world.channels.values()):
        world.hang_up(channel)
    world.settle()
    world.look()  # what was lost on the way is learned here
    world.settle()


def balance(world: World) -> None:
    """What holds after the last call."""
    assert not world.domain.legs
    assert not world.domain.calls, "a call without an outcome"
    assert not world.domain.recordings
    assert not world.domain.bridges
    assert not world.domain.by_ref
    assert not world.timers
    assert set(world.calls_saved) == set(world.outcomes)
    assert all(len(outcomes) == 1 for outcomes in world.outcomes.values())
    for recording in world.recordings.values():
        assert recording.state in (
            RecordingState.STORED,
            RecordingState.FAILED,
            RecordingState.DISCARDED,
            RecordingState.INTERRUPTED,
        )
        assert all(pause.to_ms is not None for pause in recording.pauses)
        assert recording.ended_at is not None
        if world.is_withdrawn(recording.call_id) and not world.torn:
            assert recording.state is RecordingState.DISCARDED
            assert recording.recording_id in world.deleted
    for call in world.calls_saved.values():
        assert all(leg.ended_at is not None for leg in call.legs)


@given(policies, steps(*USUAL))
def test_usual_events_in_any_order(policy: Policy, todo: list[Step]) -> None:
    world = play(policy, todo)
    world.settle()
    agreement(world)
    end(world)
    balance(world)


@given(policies, steps(*USUAL, *FAULTS))
def test_hostile_events(policy: Policy, todo: list[Step]) -> None:
    world = play(policy, todo)
    world.settle()
    world.look()
    world.settle()
    for leg, channel in world.channels.items():
        call_id = world.domain.legs[leg].call.call_id
        running = channel.monitor and not channel.muted
        assert not (running and world.is_refused(call_id)), "goes on after a refusal"
    if world.lossless:
        agreement(world)
    end(world)
    balance(world)


def test_no_event_can_carry_a_digit() -> None:
    """Keyed card numbers have no place to be: only the answer to an announcement is a digit.

    The code of a profile is what a call was placed to, before anybody can have talked.
    """
    texts = {
        (kind.__name__, field.name)
        for kind in get_args(e.Event)
        for field in fields(kind)
        if field.name in ("digit", "digits", "key", "dtmf", "code")
    }
    assert texts == {
        ("ConsentReported", "key"),
        ("KeyPressed", "key"),
        ("TimerFired", "key"),
        ("ProfileDialled", "code"),
    }
