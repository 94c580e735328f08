"""The policy as a document: what it means, what is wrong with it, and back to a text."""

import json
import re
from dataclasses import fields
from datetime import UTC, date, datetime

import pytest
from hypothesis import given

from callrec_pbx.config.explain import _remedy
from callrec_pbx.domain.policy.rules import Holiday, Place, PolicyText, Rule, Window
from callrec_pbx.domain.policy.settings import Settings, names
from callrec_pbx.domain.words import (
    Channels,
    ConsentMode,
    Device,
    Direction,
    Mode,
    Notice,
    OnHoliday,
    OnTrouble,
)
from callrec_pbx.policy.document import (
    CRITERIA,
    Document,
    RulePart,
    SettingsPart,
    from_document,
    parse,
)
from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.toml_text import to_toml
from callrec_pbx.policy.values import days_text
from callrec_pbx.policy.written import to_document, to_json
from callrec_pbx.resources import resource_dir
from tests.policy.made import policies

FILE = "/etc/callrec-pbx/policy.toml"

WHOLE = """
excluded_numbers = ["+46 70-123 45 67", "+4989*"]

[[tenant]]
consent = "opt_in"
retention = "unlimited"
channels = "stereo"

[[site]]
name = "Stockholm"
voicemail = true

[[department]]
name = "Support"
tenant = "acme"
announcement = "suppress"

[[holiday]]
date = 2026-12-24
name = "Christmas Eve"
sites = "Stockholm"

[[rule]]
name = "support"
mode = "always_pausable"
enabled = false
valid_from = 2026-03-01
valid_to = 2026-03-31
direction = ["inbound", "internal"]
ddi = "+46812345*"
queue = ["support", "sup*"]
department = "Försäljning & Support"
user = "anna@*"
line = "30?"
site = "Stockholm"
trunk = "trunk-se"
profile = "Abroad"
device = "mobile"
number = "+46 (0)8*"
tenant = "acme"
consent = "announce"
announce_outbound = false
announcement = "acme"
on_refusal = "hang_up"
on_failure = "hang_up"
whisper = false
start_stop = "beep"
notice = "announcement"
reminder_s = 15
resume_after_s = 120
voicemail = true
retention = "30 days"
language = "de"

[[rule.when]]
days = ["mon-wed", "fri", "sun"]
from = "22:00"
to = 06:00:00
holidays = "only"

[[rule.when]]
"""


def read(text: str) -> PolicyText:
    return parse(text, FILE)


def problem(text: str) -> str:
    with pytest.raises(PolicyFileError) as caught:
        read(text)
    return str(caught.value)


def test_everything_reaches_the_domain() -> None:
    assert read(WHOLE) == PolicyText(
        places=(
            Place(
                "tenant",
                "",
                "",
                Settings(
                    consent=ConsentMode.OPT_IN, retention="unlimited", channels=Channels.STEREO
                ),
            ),
            Place("site", "", "Stockholm", Settings(voicemail=True)),
            Place("department", "acme", "Support", Settings(announcement="suppress")),
        ),
        rules=(
            Rule(
                name="support",
                mode=Mode.ALWAYS_PAUSABLE,
                enabled=False,
                valid_from=datetime(2026, 3, 1, tzinfo=UTC),
                valid_to=datetime(2026, 4, 1, tzinfo=UTC),
                tenant=("acme",),
                direction=(Direction.INBOUND, Direction.INTERNAL),
                ddi=("+46812345*",),
                queue=("support", "sup*"),
                department=("Försäljning & Support",),
                user=("anna@*",),
                line=("30?",),
                site=("Stockholm",),
                trunk=("trunk-se",),
                profile=("Abroad",),
                device=(Device.MOBILE,),
                number=("+46 (0)8*",),
                when=(
                    Window((0, 1, 2, 4, 6), 22 * 60, 6 * 60, OnHoliday.ONLY),
                    Window(),
                ),
                settings=Settings(
                    consent=ConsentMode.ANNOUNCE,
                    announcement="acme",
                    announce_outbound=False,
                    on_refusal=OnTrouble.HANG_UP,
                    on_failure=OnTrouble.HANG_UP,
                    whisper=False,
                    start_stop=Notice.BEEP,
                    notice=Notice.ANNOUNCEMENT,
                    reminder_s=15,
                    resume_after_s=120,
                    voicemail=True,
                    retention="30 days",
                    language="de",
                ),
            ),
        ),
        holidays=(Holiday(date(2026, 12, 24), "Christmas Eve", "", ("Stockholm",)),),
        excluded_numbers=("+46 70-123 45 67", "+4989*"),
    )


def test_nothing_is_a_policy_too() -> None:
    assert read("") == PolicyText()


def test_every_setting_and_criterion_of_the_domain_can_be_written() -> None:
    assert set(SettingsPart.model_fields) == set(names()) - {"language"}
    of_rule = {field.name for field in fields(Rule)} - {"settings"}
    assert set(RulePart.model_fields) == of_rule | set(names())
    assert set(CRITERIA) == of_rule - {
        "name", "mode", "enabled", "when", "valid_from", "valid_to",
    }  # fmt: skip


@given(policies())
def test_a_policy_is_the_same_after_writing_and_reading(text: PolicyText) -> None:
    assert read(to_toml(text)) == text
    assert from_document(json.loads(json.dumps(to_json(text))), FILE) == text


def test_what_is_written_is_readable_and_stays() -> None:
    text = read(WHOLE)
    written = to_toml(text, ["Version 3 by an\nna"])
    assert written.startswith("# The policy of callrec-pbx")
    assert "# Version 3 by an na\n" in written
    for line in (
        'days = ["mon-wed", "fri", "sun"]',
        'retention = "unlimited"',
        'queue = ["support", "sup*"]',
        'line = "30?"',
        "valid_to = 2026-04-01T00:00:00Z",
        '    "+4989*",',
        "[[rule.when]]",
    ):
        assert f"\n{line}\n" in written
    assert to_toml(read(written)) == to_toml(text)
    assert list(to_document(text)) == [
        "excluded_numbers", "tenant", "site", "department", "holiday", "rule",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ((0, 1, 2, 3, 4), ["mon-fri"]),
        ((5, 6), ["sat", "sun"]),
        ((0, 2, 4), ["mon", "wed", "fri"]),
        ((0, 1, 3, 4, 5), ["mon", "tue", "thu-sat"]),
    ],
)
def test_days_in_words(days: tuple[int, ...], words: list[str]) -> None:
    assert days_text(days) == words


@pytest.mark.parametrize(
    ("words", "days"),
    [
        ('"fri-mon"', (0, 4, 5, 6)),
        ('["SAT", "Sun"]', (5, 6)),
        ('["mon-tue", "tue"]', (0, 1)),
        ('"wed-wed"', (2,)),
    ],
)
def test_days_may_be_spans(words: str, days: tuple[int, ...]) -> None:
    text = f"[[rule]]\nname='a'\nmode='never'\n[[rule.when]]\ndays = {words}"
    assert read(text).rules[0].when[0].days == days


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("valid_from = 2026-03-01T08:00:00+01:00", datetime(2026, 3, 1, 7, tzinfo=UTC)),
        ('valid_from = "2026-03-01"', datetime(2026, 3, 1, tzinfo=UTC)),
        ("valid_to = 2026-03-01T08:00:00Z", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("valid_to = 2026-02-28", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_validity(written: str, meant: datetime) -> None:
    rule = read(f"[[rule]]\nname='a'\nmode='never'\n{written}").rules[0]
    assert (rule.valid_from or rule.valid_to) == meant


RULE = "[[rule]]\nname = 'a'\nmode = 'never'\n"
WHEN = RULE + "[[rule.when]]\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a = 1\n[[rule]\nb = 1", ["is not TOML", "line 2"]),
        ("rule = " + "[" * 3000, ["more than 20 deep", "is closed"]),
        ("rule" + ".a" * 3000 + " = 1", ["rule: has lists or tables", "more than 20 deep"]),
        (f"[[rule]]\nreminder_s = {'1' * 5000}", ["reminder_s = 1111", "5000 digits (line 2)"]),
        (f"[[rule]]\nreminder_s = 0x{'1' * 5000}", ["rule.reminder_s = 0x111", "beyond 64 bits"]),
        ("rule = 'x'", ['rule = "x": is not a list of tables; write [[rule]]']),
        ("rule = [1]", ["rule = 1: is not a list of tables; write [[rule]]"]),
        (RULE + "when = 1", ['rule 1 "a" when = 1: is not a list', "write [[rule.when]]"]),
        (RULE + "[rule.when]", ["write [[rule.when]], not [rule.when]"]),
        (RULE + "queue = 5", ['"a" queue = 5: is neither a text nor a list', "such as sales"]),
        (RULE + "resume_after_s = '120'", ['resume_after_s = "120": is not a whole number']),
        (RULE + "resume_after_s = 120.0", ["resume_after_s = 120.0: is not a whole number"]),
        (RULE + "retention = 30.0", ["retention = 30.0: is not a retention plan", "30 days"]),
        (RULE + "retention = true", ["retention = true: is not a retention plan"]),
        (RULE + "retention = '101 years'", ['retention = "101 years": is more than 100 years']),
        (RULE + "retention_days = 30", ["retention_days: there is no", "mean retention?"]),
        (RULE + "format = 'ogg'", ['format = "ogg": is not a word known here', "opus"]),
        (RULE + "keep_wav = 1", ["keep_wav = 1: is neither true nor false"]),
        (RULE + "reminder_s = '15'", ['reminder_s = "15": is not a whole number']),
        (RULE + "valid_from = 0001-01-01T00:00:00+10:00", ["end of all dates", "leave it out"]),
        ("bogus = 1", ["bogus: there is no such setting", "known are excluded_numbers, tenant"]),
        ("[[rules]]\nname = 'a'", ["rules: there is no such setting", "did you mean rule?"]),
        ("[rule]\nname = 'a'", ["rule", "[[rule]]"]),
        ("excluded_numbers = ['_0X.']", ['excluded_numbers = "_0X."', "dialplan pattern"]),
        ("excluded_numbers = ['1', '0[1-9]']", ['excluded_numbers = "0[1-9]"', "number"]),
        ("excluded_numbers = [46]", ["excluded_numbers = 46", "string"]),
        ("[[rule]]\nmode = 'never'", ["rule 1 name: is missing"]),
        ("[[rule]]\nname = 'a'", ['rule 1 "a" mode: is missing', "such as never"]),
        ("[[rule]]\nname = 'a'\nmode = 'allways'", ['rule 1 "a" mode = "allways"', "always?"]),
        (RULE + "reminder_s = 5", ['rule 1 "a" reminder_s = 5', "too short"]),
        (RULE + "reminder_s = 91", ['rule 1 "a" reminder_s = 91', "10 to 90"]),
        (RULE + "reminder_s = true", ['rule 1 "a" reminder_s = true', "number"]),
        (RULE + "retention = 0", ['"a" retention = 0', '"unlimited"']),
        (RULE + "retention = 'ever'", ['"a" retention = "ever"', "unlimited"]),
        (RULE + "number = '0[1-9]'", ['"a" number = "0[1-9]"', "number"]),
        (RULE + "line = '3#1'", ['"a" line = "3#1"', "no offer"]),
        (RULE + "queue = 'a@b'", ['"a" queue', "no offer"]),
        (RULE + "ddi = ['4', '5:6']", ['"a" ddi', "no offer"]),
        (RULE + "trunk = 'a b'", ['"a" trunk = "a b"', "pattern"]),
        (RULE + 'department = "\\t"', ['"a" department', "printable"]),
        (RULE + "user = ' '", ['"a" user', "printable"]),
        (RULE + "device = 'fax'", ['"a" device = "fax"', "desk, softphone, mobile, other"]),
        (RULE + "directon = 'x'", ['"a" directon', "direction?"]),
        (RULE + "whisper = 'no'", ['rule 1 "a" whisper = "no": is neither true nor false']),
        (RULE + "announcement = 'Acme!'", ['"a" announcement = "Acme!"', "such as acme"]),
        (RULE + "valid_from = 2026-03-01T08:00:00", ['"a" valid_from', "zone", "+01:00"]),
        (RULE + "valid_from = 'soon'", ['"a" valid_from = "soon"', "date"]),
        (RULE + "valid_to = 9999-12-31", ['"a" valid_to', "end of all dates", "leave it out"]),
        (RULE + "valid_from = 2026-03-02\nvalid_to = 2026-03-01", ['"a" valid_to', "not after"]),
        (WHEN + "days = []", ['rule 1 "a" when 1 days', "names no day"]),
        (WHEN + "days = ['mon', 'x']", ['rule 1 "a" when 1 days', "'x'", "mon-fri"]),
        (WHEN + "[[rule.when]]\nto = '24:01'", ['rule 1 "a" when 2 to = "24:01"', "08:00"]),
        (WHEN + "from = '24:00'", ['"a" when 1 from = "24:00"', "00:00"]),
        (WHEN + "from = 08:00:01", ['"a" when 1 from', "time of day"]),
        (WHEN + "form = '08:00'", ['"a" when 1 form', "did you mean from?"]),
        (WHEN + "holidays = 'shut'", ['"a" when 1 holidays = "shut"', "closed, open, only"]),
        ("[[rule]]\nname = ' '\nmode = 'never'", ["rule 1", "name", "60 printable"]),
        (RULE + RULE, ['rule 2 "a" name', "rule 1 has that name"]),
        ("[[tenant]]\n[[tenant]]", ["tenant 2", "tenant 1 has that name"]),
        ("[[site]]\nname = 'a'\n[[site]]\nname = 'a'", ['site 2 "a"', "one [[site]]"]),
        ("[[site]]\nname = 'a'\nmode = 'never'", ['site 1 "a" mode', "no such setting"]),
        ("[[site]]\nname = 'a'\nlanguage = 'de'", ['1 "a" language = "de"', "site set NAME"]),
        ("[[site]]\nvoicemail = true", ["site 1 name: is missing", "such as Stockholm"]),
        ("[[tenant]]\nannouncement = 'suppress'", ["tenant 1 announcement", "[[department]]"]),
        ("[[site]]\nname = 'a'\nannouncement = 'suppress'", ['site 1 "a" announcement']),
        ("[[department]]\nname = 'a'\n[[department]]\nname = 'a'", ['department 2 "a"']),
        ("[[holiday]]\nname = 'a'", ['holiday 1 "a" date: is missing', "2026-12-24"]),
        ("[[holiday]]\ndate = '24.12.'", ['holiday 1 date = "24.12."', "2026-12-24"]),
        ("[[holiday]]\ndate = 2026-12-24T00:00:00", ["holiday 1 date", "2026-12-24"]),
    ],
)
def test_a_bad_value_names_file_place_value_and_remedy(text: str, parts: list[str]) -> None:
    said = problem(text)
    assert said.startswith(f"{FILE}: ")
    assert "; " in said
    for part in parts:
        assert part in said


def test_no_error_message_stumbles_over_its_own_words() -> None:
    models = (Document, RulePart, SettingsPart)
    for model in models:
        for name, field in model.model_fields.items():
            said = str(_remedy(field, ""))
            assert not re.match(r"give the (the|what|who|how|where|whether|its) ", said), name


def test_a_byte_order_mark_is_left_out() -> None:
    assert read("\ufeff" + RULE).rules[0].name == "a"


def test_all_problems_are_told_at_once() -> None:
    said = problem(f"excluded_numbers = ['[']\n{RULE}reminder_s = 5\nlines = '3'")
    assert len(said.splitlines()) == 3


def test_two_tenants_may_have_a_site_of_the_same_name() -> None:
    text = "[[site]]\nname = 'a'\ntenant = 'x'\n[[site]]\nname = 'a'\ntenant = 'y'"
    assert [place.tenant for place in read(text).places] == ["x", "y"]


def test_a_rule_may_name_what_an_offer_keeps_and_nothing_else() -> None:
    """What the dialplan leaves out of an offer could never match."""
    dialplan = (resource_dir("dialplan") / "asterisk" / "extensions.conf").read_text()
    for criterion, argument in (("line", 2), ("ddi", 3), ("queue", 4)):
        (kept,) = re.findall(rf"FILTER\(([^,]+),\$\{{ARG{argument}\}}\)", dialplan)
        for character in map(chr, range(33, 127)):
            document = {"rule": [{"name": "a", "mode": "never", criterion: f"a{character}"}]}
            if re.fullmatch(f"[{kept}?]", character):
                (rule,) = from_document(document, FILE).rules
                assert getattr(rule, criterion) == (f"a{character}",)
            else:
                with pytest.raises(PolicyFileError):
                    from_document(document, FILE)


def test_every_field_of_the_document_says_what_it_is() -> None:
    for field in (*Document.model_fields.values(), *RulePart.model_fields.values()):
        assert field.description
