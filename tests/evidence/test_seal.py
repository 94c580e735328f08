"""The document's own checksum: whatever is changed in it, it shows."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.evidence.seal import SEAL, Form, SealError, check, write
from callrec_pbx.storage.serial import call_to_dict
from tests.storage.samples import a_call

HOSTILE = "<script>alert('1')</script>&\"\x1b[31m\u202e\r\n" + SEAL + "0" * 64 + "\n\ud800"


def document(name: str = "Ann") -> dict[str, Any]:
    """The smallest document, with a caller's name."""
    call = call_to_dict(a_call(1, a_name=name)) | {"ended": True, "tombstone": None, "holds": []}
    return {
        "document": "callrec-pbx evidence",
        "format": 1,
        "product_version": "0",
        "made_at": "2026-03-01T09:00:00Z",
        "made_by": "cli:test",
        "call_id": call["call_id"],
        "merged": False,
        "holds_not_read": [],
        "calls": [call | {"consents": []}],
        "recordings": [],
        "policies": [],
        "audit": {"lines": [], "heads": []},
    }


FORMS = list(Form)
MADE = {form: write(document(), form)[0].encode() for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["Ann", HOSTILE, "", "Ærø"])
def test_what_was_made_is_unchanged(form: Form, name: str) -> None:
    text, sha256 = write(document(name), form)
    assert check(text.encode()) == (sha256, sha256)


@given(st.sampled_from(FORMS), st.integers(0, 2**20), st.integers(1, 255))
def test_any_byte_that_is_changed_shows(form: Form, at: int, flip: int) -> None:
    data = bytearray(MADE[form])
    data[at % len(data)] ^= flip
    if form is Form.JSON and _same_json(bytes(data)):
        return  # white space says nothing
    assert not unchanged(bytes(data))


@given(st.sampled_from(FORMS), st.integers(0, 2**20), st.binary(min_size=1, max_size=3))
def test_any_byte_that_is_added_shows(form: Form, at: int, more: bytes) -> None:
    at %= len(MADE[form]) + 1
    data = MADE[form][:at] + more + MADE[form][at:]
    if form is Form.JSON and _same_json(data):
        return
    assert not unchanged(data)


def unchanged(data: bytes) -> bool:
    try:
        says, has = check(data)
    except SealError:
        return False
    return says == has


def _same_json(data: bytes) -> bool:
    try:
        return bool(json.loads(data) == json.loads(MADE[Form.JSON]))
    except ValueError:
        return False


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "{", SEAL, "x\n" + SEAL + "12\n", '{"a":1,"a":1}']
)
def test_what_is_no_document_is_told(text: str) -> None:
    with pytest.raises(SealError):
        check(text.encode())
    with pytest.raises(SealError):
        check(b"\xff" + text.encode())


def test_a_page_runs_nothing_of_what_a_caller_is_called() -> None:
    page = write(document(HOSTILE), Form.HTML)[0]
    assert "<script" not in page
    assert set(re.findall(r"<(\w+)", page)) <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "table", "tr", "th", "td",
        "p", "code",
    }  # fmt: skip
    assert "default-src 'none'" in page
    assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&amp;&quot;" in page


def test_a_text_has_no_line_that_a_caller_has_written() -> None:
    text = write(document(HOSTILE), Form.TEXT)[0]
    assert [line for line in text.splitlines() if line.startswith(SEAL)] == text.splitlines()[-1:]
    assert all(char.isprintable() or char == "\n" for char in text)
