"""Recordings belong to a leg's line, and no talk is lost between the legs of a call."""

from dataclasses import replace

import pytest

from callrec_pbx.domain import calls
from callrec_pbx.domain.events import LegBridged
from callrec_pbx.domain.words import ConsentMode, Direction, Mode
from tests.domain.scene import START, Scene, rule, who

OPT_OUT = rule(consent=ConsentMode.OPT_OUT)


def test_an_internal_call_between_two_recorded_lines_gives_two_recordings() -> None:
    scene = Scene()
    scene.play(
        """
        0    301     offered internal 302    -> ask none + whisper
        5    301     bridged
        5    302     bridged                 -> start 301, start 302
        9    301     hung up                 -> finish 301
        9    302     hung up                 -> finish 302
        10   301     finished
        10   302     finished
        """
    )
    assert scene.recordings() == [("301", "stored", ""), ("302", "stored", "")]
    assert scene.outcomes() == [("recorded", "rule")]


def test_only_the_recorded_one_of_two_lines() -> None:
    scene = Scene(rule(line=("302",)))
    scene.play(
        """
        0    301     offered internal 302    -> ask none + whisper
        5    301     bridged
        5    302     bridged                 -> start 302
        """
    )


def test_a_blind_transfer_goes_on_with_the_next_agent() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    301     bridged                 -> start 301
        9    301     transferred blind 302
        9    caller  left
        9    301     left
        9    301     hung up                 -> finish 301
        9    caller  offered inbound 302     -> ask none + whisper
        12   caller  bridged c
        12   302     bridged c               -> start 302
        20   302     hung up                 -> finish 302
        20   caller  hung up
        20   301     finished
        21   302     finished
        """
    )
    assert scene.recordings() == [("301", "stored", ""), ("302", "stored", "")]
    assert scene.outcomes() == [("recorded", "rule")]
    (call,) = scene.calls.closed.values()
    assert call.facts().transfers == ("blind:302",)


def test_an_attended_transfer_merges_two_calls() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    301     bridged                 -> start 301
        9    301b@2  offered internal - queue=support -> ask none + whisper
        9    303@2   created
        10   303@2   hung up
        10   302@2   created
        12   301b@2  bridged c
        12   302@2   bridged c               -> start 301b, start 302
        19   302     transferred blind 304
        20   301     transferred attended 302
        20   301     left b
        20   caller  bridged c
        20   301     hung up                 -> finish 301
        20   301b@2  hung up                 -> finish 301b
        30   302     hung up                 -> finish 302
        30   caller  hung up
        31   301     finished
        31   301b    finished
        31   302     finished
        """
    )
    older, younger = scene.calls.closed["id1"], scene.calls.closed["id3"]
    assert younger.merged_into == older.call_id
    assert {r.call_id for r in scene.saved.values()} == {older.call_id}
    assert older.facts().pbx_ids == ("call1", "call2")
    assert {leg.leg for leg in older.facts().legs} == {"caller", "301", "301b", "302", "303"}
    assert older.facts().queue == "support"
    assert older.facts().transfers == ("attended:302", "blind:304")
    assert younger.facts().legs == ()
    assert scene.outcomes() == [("recorded", "rule")]


def test_a_recording_finished_under_the_old_call_is_saved_under_the_new_one() -> None:
    scene = Scene()
    scene.play(
        """
        0    301     offered internal 302    -> ask none + whisper
        1    301     bridged
        1    302     bridged                 -> start 301, start 302
        2    303@2   offered internal 304    -> ask none + whisper
        3    303@2   bridged c
        3    304@2   bridged c               -> start 303, start 304
        4    304@2   hung up                 -> finish 304
        """
    )
    finished = scene.event(scene.recording("304").created_at, "304", ["finished"])
    scene.play("5  303@2  bridged b")
    scene.give(finished)
    assert scene.recording("304").call_id == "id1"
    assert scene.recording("304").state == "stored"


def test_a_refusal_holds_through_transfer_and_merge() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        2    caller  heard opt_out key=*
        5    caller  bridged
        5    301     bridged
        9    301b@2  offered internal 302    -> ask opt_out + whisper
        14   301b@2  heard opt_out
        15   301b@2  bridged c
        15   302@2   bridged c               -> start 301b, start 302
        15   302@2   started
        16   303@2   bridged c               -> start 303
        17   303     left c
        20   caller  bridged c               -> stop 301b, stop 302, stop 303
        20   302     stopped                 -> finish 302
        20   301b@2  hung up                 -> finish 301b
        25   302     pressed start           -> tell 302 refused
        30   304     bridged c
        """
    )


def test_an_objection_holds_through_a_merge_and_takes_all_audio() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    301     bridged                 -> start 301
        9    301b@2  offered internal 302    -> ask none + whisper
        12   301b@2  bridged c
        12   302@2   bridged c               -> start 301b, start 302
        13   302@2   pressed discard         -> stop 301b, stop 302, tell 302 discarded
        20   caller  bridged c               -> stop 301
        20   301     hung up                 -> delete 301
        """
    )


def test_the_pbx_says_that_two_calls_are_one() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller    created
        0    301       created
        1    302@2     created
        2    302@1     bridged
        2    caller    bridged               -> start 302
        3    302@3     bridged
        """
    )
    assert scene.call().facts().pbx_ids == ("call1", "call2", "call3")
    assert len(scene.calls.calls) == 1


def test_a_call_that_has_ended_takes_no_new_legs() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  created
        1    301     bridged
        1    caller  bridged                 -> start 301
        5    301     hung up                 -> finish 301
        5    caller  hung up
        6    302@1   created
        7    303@2   bridged
        7    302@1   bridged                 -> start 303, start 302
        8    301     finished
        """
    )
    assert scene.outcomes() == [("recorded", "rule")]
    assert len(scene.calls.calls) == 1


def test_an_old_call_of_the_same_name_is_left_alone() -> None:
    """The PBX moves a leg into a call that is over but not yet settled."""
    scene = Scene()
    scene.play(
        """
        0    caller  created
        1    301     bridged
        1    caller  bridged                 -> start 301
        5    301     hung up                 -> finish 301
        5    caller  hung up
        6    302@2   created
        6    303@2   bridged
        7    302@1   bridged                 -> start 303, start 302
        8    304@1   created
        """
    )
    assert len(scene.calls.calls) == 2
    assert scene.calls.by_ref["call1"] is scene.calls.legs["302"].call
    assert scene.calls.legs["304"].call is scene.calls.legs["302"].call


def test_parked_is_no_conversation() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    301     bridged                 -> start 301
        9    caller  parked
        9    301     hung up                 -> finish 301
        10   302     created
        12   302     bridged p
        12   caller  bridged p               -> start 302
        """
    )


def test_a_parked_line_goes_on_being_recorded_and_starts_nothing() -> None:
    scene = Scene()
    scene.play(
        """
        0    301     offered internal 302    -> ask none + whisper
        0    301     parked
        1    302     parked
        5    301     bridged
        5    302     bridged                 -> start 301, start 302
        6    301     parked
        """
    )


def test_a_queue_does_not_know_yet_who_answers() -> None:
    agents = rule(queue=("sales",), line=("30?",), consent=ConsentMode.ANNOUNCE)
    scene = Scene(agents)
    scene.play(
        """
        0    caller  offered inbound - queue=sales -> ask announce + whisper
        5    caller  heard announce
        9    caller  bridged
        9    302     bridged                 -> start 302
        """
    )
    scene.play("20  302  hung up  -> finish 302")
    scene.play(
        """
        30   caller  bridged
        30   999     bridged
        """
    )
    assert scene.call().facts().queue == "sales"


def test_passive_mode_records_without_an_offer() -> None:
    scene = Scene(rule(direction=(Direction.INBOUND,)))
    scene.play(
        """
        0    caller  created
        0.1  301     created
        5    301     bridged
        5    caller  bridged                 -> start 301
        9    caller  hung up
        9    301     hung up                 -> finish 301
        9    301     finished
        """
    )
    (call,) = scene.calls.closed.values()
    facts = call.facts()
    assert (facts.direction, facts.a_number, facts.b_number, facts.c_number) == (
        "inbound",
        "+46caller",
        "301",
        "301",
    )


def test_passive_mode_tells_the_directions_apart() -> None:
    for first, second, direction in (
        ("301", "callee", "outbound"),
        ("301", "302", "internal"),
        ("local", "callee", "inbound"),
    ):
        scene = Scene(rule(Mode.NEVER))
        scene.play(
            f"""
            0    {first}   created
            1    {second}  created
            5    {first}   bridged
            5    {second}  bridged
            """
        )
        assert scene.call().facts().direction == direction


def test_passive_mode_cannot_ask_and_says_so() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  created
        5    301     bridged
        5    caller  bridged
        9    caller  hung up
        9    301     hung up
        """
    )
    assert scene.outcomes() == [("missed", "consent_missing")]


def test_an_excluded_number_stops_what_runs_until_it_has_left() -> None:
    scene = Scene(excluded=("+46doctor",))
    scene.play(
        """
        0    301     offered internal 302    -> ask none + whisper
        1    301     bridged
        1    302     bridged                 -> start 301, start 302
        9    doctor  bridged                 -> stop 301, stop 302
        9    301     stopped                 -> finish 301
        9    302     stopped                 -> finish 302
        20   doctor  hung up                 -> start 301, start 302
        """
    )


def test_events_that_come_late_or_twice() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  created
        0    caller  created
        1    301     bridged
        1    301     bridged
        1    caller  bridged                 -> start 301
        1    caller  bridged
        2    301     started
        2    301     started
        3    301     left wrong
        9    301     hung up                 -> finish 301
        9    301     hung up
        9    301     left
        9    301     bridged
        9    301     created
        9    301     offered internal 302
        9    301     started
        9    301     stopped
        9    301     whispered
        9    301     transferred blind 302
        9    301     pressed pause
        9    301     unanswered
        """
    )
    assert scene.calls.ignored == {
        "started: recording": 1,
        "hangup: unknown leg": 1,
        "unbridged: unknown leg": 1,
        "bridged: leg has hung up": 1,
        "created: leg has hung up": 1,
        "offered: leg has hung up": 1,
        "started: unknown leg": 1,
        "ended: unknown leg": 1,
        "whisper: unknown leg": 1,
        "transferred: unknown leg": 1,
        "key: unknown leg": 1,
        "offer unanswered: unknown leg": 1,
    }


def test_a_leg_that_is_renamed_is_addressed_by_its_new_name() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  created
        1    301     bridged
        1    caller  bridged                 -> start 301
        """
    )
    renamed = scene.calls.legs["301"].recording
    assert renamed is not None
    scene.give(LegBridged(START, replace(who("301"), channel="PJSIP/new"), "b", holding=False))
    assert renamed.facts().channel == "PJSIP/new"


def test_what_is_over_is_remembered_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CLOSED_KEPT", 2)
    monkeypatch.setattr(calls, "DEPARTED_KEPT", 2)
    scene = Scene()
    for number in range(4):
        scene.play(
            f"""
            0    caller{number}@{number}  created
            1    caller{number}           hung up
            """
        )
    assert list(scene.calls.departed) == ["caller2", "caller3"]
    assert list(scene.calls.closed) == ["id3", "id4"]


def test_alone_in_a_bridge_is_no_conversation() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        6    301     created
        9    301     hung up
        9    caller  hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "no_conversation")]


def test_the_numbers_that_count_are_those_outside() -> None:
    scene = Scene(excluded=("49301", "301"))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    301     bridged                 -> start 301
        6    301b@2  offered internal 302    -> ask none + whisper
        """
    )


def test_a_dialled_number_counts_before_anybody_answers() -> None:
    scene = Scene(excluded=("0493012345",))
    scene.play("0  301  offered outbound 301 dialled=0493012345  -> ask none")


def test_an_internal_call_that_an_outside_party_joins_is_no_longer_internal() -> None:
    scene = Scene()
    scene.play(
        """
        0    301     offered internal 302    -> ask none + whisper
        1    301     bridged
        1    302     bridged                 -> start 301, start 302
        2    caller@2 offered inbound 303    -> ask none + whisper
        3    caller@2 bridged
        """
    )
    facts = scene.call().facts()
    assert (facts.direction, facts.pbx_ids) == ("inbound", ("call1", "call2"))


CONSULTED = (
    rule(direction=(Direction.INTERNAL,)),
    rule(direction=(Direction.OUTBOUND,), consent=ConsentMode.OPT_IN),
)


def test_a_call_between_colleagues_handed_on_to_the_outside_is_an_outside_call() -> None:
    """The customer is asked, hears no whisper, and is not recorded by the rule for colleagues."""
    scene = Scene(*CONSULTED)
    scene.play(
        """
        0    301     offered internal 302    -> ask none + whisper
        1    301     bridged
        1    302     bridged                 -> start 301, start 302
        1    301     started
        1    302     started
        9    302     hung up                 -> finish 302
        9    301     offered outbound 301    -> ask callee opt_in
        15   doctor  bridged                 -> stop 301
        """
    )


def test_only_a_users_line_has_keys() -> None:
    """A dialplan may give them to an outside caller who is transferred; they do nothing there."""
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        1    caller  bridged
        1    301     bridged                 -> start 301
        1    301     started
        9    caller  pressed discard         -> tell caller refused
        9    caller  pressed pause           -> tell caller refused
        """
    )


def test_a_stop_that_comes_before_the_start_is_not_its_own() -> None:
    """A second press while the listener was frozen: the PBX tells of the stop of the first file."""
    scene = Scene()
    scene.play(
        """
        0    caller  bridged
        0    301     bridged                 -> start 301
        0    301     stopped
        1    301     started
        9    301     hung up                 -> finish 301
        """
    )
