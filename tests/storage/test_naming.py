"""Names for people: whatever is in the fields, safe, stable and distinct."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.storage import naming
from callrec_pbx.storage.naming import FIELDS, PRESETS, Names, TemplateError, free, is_safe, parse
from tests.storage.samples import a_call, a_recording, an_id

BERLIN = naming.zone("Europe/Berlin")

HOSTILE = st.one_of(
    st.text(max_size=40),
    st.text(
        st.sampled_from("./\\~ \0\n-_+*?<>|:\"'`$;&%\u202e\u0430é\u0308Ω٣\U0001f600"), max_size=30
    ),
    st.sampled_from(
        ["..", "../../etc/passwd", "/etc/passwd", ".", ".hidden", "-rf", "con", "COM1", "a" * 5000]
    ),
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[RecordingFacts, CallFacts]:
    """A recording and its call, with anything in what a name can be made of."""
    one = draw(st.integers(1, 10**6))
    call = a_call(
        one,
        a_number=draw(HOSTILE),
        b_number=draw(HOSTILE),
        c_number=draw(HOSTILE),
        ddi=draw(HOSTILE),
        queue=draw(HOSTILE),
    )
    recording = a_recording(
        one,
        call,
        tenant=draw(HOSTILE),
        owner=draw(HOSTILE),
        line=draw(HOSTILE),
        site=draw(HOSTILE),
        department=draw(HOSTILE),
        rule=draw(HOSTILE),
    )
    return recording, call


TEMPLATES = st.one_of(
    st.sampled_from(list(PRESETS)),
    st.lists(
        st.lists(st.sampled_from([f"{{{name}}}" for name in FIELDS]), min_size=1, max_size=8).map(
            "_".join
        ),
        min_size=1,
        max_size=6,
    ).map("/".join),
)


@given(TEMPLATES, conversations())
def test_no_name_leaves_its_folder(text: str, made: tuple[RecordingFacts, CallFacts]) -> None:
    names = Names(parse(text), BERLIN)
    stem = names.stem(*made)
    assert stem == names.stem(*made), "the same each time"
    assert stem.isascii()
    assert len(stem) <= naming.LONGEST_FOLDERS + naming.LONGEST_NAME
    assert is_safe(stem)
    parts = stem.split("/")
    assert len(parts) == text.count("/") + 1 or text in PRESETS
    for part in parts:
        assert part
        assert part not in {".", ".."}
        assert not part.startswith((".", "-"))
        assert not part.endswith(".")
        assert not set(part) & set('/\\\0 *?<>|:"')
    root = Path("/recordings/named")
    assert (root / stem).resolve().is_relative_to(root)


@given(TEMPLATES, st.lists(conversations(), min_size=2, max_size=12))
def test_distinct_recordings_get_distinct_names(
    text: str, made: list[tuple[RecordingFacts, CallFacts]]
) -> None:
    """Also where names are not told apart by their case."""
    names = Names(parse(text), BERLIN)
    for _ in range(2):
        taken: dict[str, str] = {}
        for recording, call in made:
            stem = names.stem(recording, call)

            me = recording.recording_id
            others = {name for name, one in taken.items() if one != me}
            name = free(stem, me, "wav", lambda name, others=others: name.casefold() in others)  # type: ignore[misc]
            taken[name.casefold()] = me
            assert is_safe(name)
            assert PurePosixPath(name).suffix == ".wav"
            assert len(name) <= 255
        assert len(set(taken.values())) == len({one.recording_id for one, _ in made})


@given(st.text(max_size=60))
def test_a_template_is_refused_or_can_be_used(text: str) -> None:
    try:
        found = parse(text)
    except TemplateError as error:
        problem, _, remedy = str(error).partition("; ")
    else:
        problem, remedy = "", naming.stem(found, a_recording(), a_call())
        assert is_safe(remedy)
    assert bool(remedy) or not problem


def test_the_preset_of_matelso() -> None:
    call = a_call(
        a_number="+4930123456", b_number="+49301000", c_number="201", ddi="+49 30/1000", tenant="x"
    )
    recording = a_recording(call=call, tenant="Müller & Söhne GmbH")
    assert Names(parse("matelso"), BERLIN).stem(recording, call) == (
        "call_recording/Muller_Sohne_GmbH/+49_30_1000/"
        "rec_20260301_100005_Muller_Sohne_GmbH_+49_30_1000_+4930123456_+49301000_201"
    )
    outbound = replace(call, ddi="", c_number="")
    assert Names(parse("matelso"), BERLIN).stem(recording, outbound) == (
        "call_recording/Muller_Sohne_GmbH/+49301000/"
        "rec_20260301_100005_Muller_Sohne_GmbH_+49301000_+4930123456_+49301000_none"
    )


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("by_day", "2026/03/01/100005_inbound_+4930123456_201"),
        ("by_owner", "anna_example.com/2026-03/20260301_100005_inbound_+4930123456_201"),
        ("flat", "20260301_100005_anna_example.com_inbound_+4930123456_201"),
        ("id", an_id(1)),
        ("x-{queue}.{rule}", "x-sales.sales"),
        ("{site}/{department}/{line}/{call}", f"Berlin/Sales/201/{an_id(1, 'c')}"),
    ],
)
def test_templates(template: str, name: str) -> None:
    recording = a_recording(owner="anna@example.com")
    assert Names(parse(template), BERLIN).stem(recording, a_call()) == name


def test_the_time_is_local() -> None:
    at = datetime(2026, 6, 30, 22, 30, tzinfo=UTC)
    recording = a_recording(started_at=at)
    template = parse("{yyyy}-{mm}-{dd}_{hhmmss}")
    assert naming.stem(template, recording, a_call(), BERLIN) == "2026-07-01_003000"
    assert naming.stem(template, recording, a_call(), naming.zone("UTC")) == "2026-06-30_223000"


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("Ærø Straße", "Aero_Strasse"),
        ("Łódź", "Lodz"),
        ("½ x²", "1_2_x2"),
        ("con", "_con"),
        ("LPT1.txt", "_LPT1.txt"),
        ("...", "none"),
        ("", "none"),
        ("Москва", "none"),
        ("\u202egnp.exe", "gnp.exe"),
    ],
)
def test_values(value: str, part: str) -> None:
    assert naming.stem(parse("{owner}"), a_recording(owner=value), a_call()) == part


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{tenat}/{id}", "no field {tenat}; known are {id}, {call}, {tenant}"),
        ("mattelso", "is neither a preset nor a template"),
        ("", "is neither a preset nor a template"),
        ("{a", "a { by itself"),
        ("{a}}", "a } by itself"),
        ("{}", "no field {}"),
        ("{a!r}", "no field {a!r}"),
        ("/{a}", "without a name"),
        ("{a}//{b}", "without a name"),
        ("{a}/", "without a name"),
        ("../{a}", "begins with ."),
        ("x/.{a}", "begins with ."),
        ("-{a}", "begins with . or -"),
        ("{a}..{b}", ".. in it"),
        ("{a} {b}", "' ' in it"),
        ("{a}\\{b}", "in it"),
        ("{a}.wav", "extension"),
        ("{a}.OPUS", "extension"),
        ("1/2/3/4/5/6/{a}", "6 folders"),
        ("x" * 61 + "{a}", "60 characters"),
    ],
)
def test_bad_templates(text: str, said: str) -> None:
    with pytest.raises(TemplateError) as error:
        parse(text)
    assert said in str(error.value)


def test_an_unknown_zone() -> None:
    for name in ("Europe/Atlantis", "../etc/passwd", "/etc/localtime", "Europe"):
        with pytest.raises(TemplateError, match="is no time zone; give one such as"):
            naming.zone(name)
    assert naming.zone("") is None


@pytest.mark.parametrize(
    "path",
    ["", "/x", "x/", "a//b", "../x", "a/../b", "a/..", ".x", "a/.x", "-x", "a b", "a\nb", "ä"],
)
def test_what_is_not_safe(path: str) -> None:
    assert not is_safe(path)
