"""FreeSWITCH's one event socket: taken over, warned of, or replaced on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from callrec_pbx.setup import fsxml
from callrec_pbx.setup.apply import apply
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.event_socket import login_of
from callrec_pbx.setup.freeswitch import plan_setup
from callrec_pbx.setup.plan import Plan
from callrec_pbx.setup.undo import plan_undo
from tests.setup.freeswitch_host import EVENT_SOCKET, FREESWITCH, OPEN, FsHost, switch

__all__ = ["switch"]


def install(switch: FsHost, secure: bool = False) -> Plan:
    plan = plan_setup(switch.config(), secure)
    apply(plan)
    return plan


def undo(switch: FsHost) -> Plan:
    plan = plan_undo(switch.config())
    apply(plan)
    return plan


def said(switch: FsHost) -> dict[str, str]:
    return dict(fsxml.settings(switch.socket.read_text(), "event_socket.conf") or [])


def test_a_good_one_is_left_alone_and_its_password_taken_over(switch: FsHost) -> None:
    plan = install(switch)
    assert switch.socket.read_text() == EVENT_SOCKET
    assert plan.notes == []
    assert switch.password() == "theirs-12345"
    assert switch.password_file.stat().st_mode & 0o777 == 0o640


def test_when_theirs_changes_ours_follows(switch: FsHost) -> None:
    install(switch)
    switch.socket.write_text(EVENT_SOCKET.replace("theirs-12345", "theirs-67890"))
    assert install(switch).notes == []
    assert switch.password() == "theirs-67890"
    undo(switch)
    assert not switch.password_file.exists()


def test_a_password_that_was_given_is_not_changed(switch: FsHost) -> None:
    switch.password_file.write_text("given-by-them\n")
    (note,) = install(switch).notes
    assert "is not that of" in note
    assert switch.password_file.read_text() == "given-by-them\n"
    undo(switch)
    assert switch.password_file.read_text() == "given-by-them\n"


def test_as_freeswitch_comes_it_is_neither_used_nor_changed(switch: FsHost) -> None:
    switch.socket.write_text(OPEN)
    notes = install(switch).notes
    assert switch.socket.read_text() == OPEN
    assert not switch.password_file.exists()
    assert ["everybody knows" in note for note in notes] == [True, False]
    assert "listens on ::" in notes[1]
    for note in notes:
        assert "--secure-event-socket" in note


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ("127.0.0.1", "0.0.0.0", ["0.0.0.0, which others can reach", "list loopback.auto"]),
        ("127.0.0.1", "*", ["listens on *"]),
        ("127.0.0.1", "192.0.2.7", ["write host = '192.0.2.7'"]),
        ("127.0.0.1", "::1", ["write host = '::1'"]),
        ("theirs-12345", "x" * 129, ["more than 128"]),
        ("theirs-12345", "has spaces in it", ["characters"]),
        ("theirs-12345", "$${secret_word}", ["characters"]),
        ("theirs-12345", "", ["everybody knows"]),
        ("$${esl_port}", "8099", ["write port = 8099"]),
    ],
)
def test_what_is_told_of_theirs(switch: FsHost, before: str, after: str, parts: list[str]) -> None:
    switch.socket.write_text(EVENT_SOCKET.replace(before, after))
    notes = "\n".join(install(switch).notes)
    for part in parts:
        assert part in notes


@pytest.mark.parametrize("text", [OPEN, EVENT_SOCKET])
def test_made_secure_on_request_and_back(switch: FsHost, text: str) -> None:
    switch.socket.write_text(text.replace("$${esl_port}", "8021"))
    switch.socket.chmod(0o644)
    before = switch.snapshot()
    plan = install(switch, secure=True)
    assert any("~/.fs_cli_conf" in note for note in plan.notes)
    assert said(switch)["listen-ip"] == "127.0.0.1"
    assert said(switch)["apply-inbound-acl"] == "loopback.auto"
    assert said(switch)["password"] == switch.password()
    assert len(switch.password()) >= 24
    assert switch.socket.stat().st_mode & 0o777 == 0o640
    for again in (False, True):
        assert (plan_setup(switch.config(), again).empty, plan_setup(switch.config()).notes) == (
            True,
            [],
        )
    undo(switch)
    assert switch.snapshot() == before


def test_its_port_stays(switch: FsHost) -> None:
    switch.socket.write_text(OPEN.replace("$${esl_port}", "8099"))
    notes = install(switch, secure=True).notes
    assert any("write port = 8099" in note for note in notes)
    assert said(switch)["listen-port"] == "8099"
    config = switch.toml.read_text().replace("[freeswitch]\n", "[freeswitch]\nport = 8099\n")
    switch.toml.write_text(config)
    assert plan_setup(switch.config(), secure_event_socket=True).empty


def test_where_there_is_none_ours_is_written(switch: FsHost) -> None:
    switch.socket.unlink()
    before = switch.snapshot()
    assert install(switch).notes == []
    assert said(switch)["password"] == switch.password()
    assert said(switch)["listen-port"] == "8021"
    assert plan_setup(switch.config()).empty
    undo(switch)
    assert switch.snapshot() == before


def test_one_that_freeswitch_would_not_read_is_told(switch: FsHost) -> None:
    switch.socket.unlink()
    text = FREESWITCH.replace("autoload_configs/*.xml", "autoload_configs/modules.conf.xml")
    (switch.etc / "freeswitch.xml").write_text(text)
    (note,) = install(switch).notes
    assert "freeswitch.xml does not include it" in note


def test_what_they_change_in_ours_is_kept(switch: FsHost) -> None:
    install(switch, secure=True)
    text = switch.socket.read_text()
    password = switch.password()
    switch.socket.write_text(text.replace("127.0.0.1", "0.0.0.0"))
    (note,) = install(switch).notes
    assert "0.0.0.0" in note
    assert said(switch)["listen-ip"] == "0.0.0.0"
    assert switch.password() == password
    plan = install(switch, secure=True)
    assert switch.socket.read_text() == text
    second = switch.socket.with_name("event_socket.conf.xml.callrec-bak.2")
    assert any(str(second) in note for note in plan.notes)
    undo(switch)
    assert switch.socket.read_text() == EVENT_SOCKET
    assert "0.0.0.0" in second.read_text()


def test_undo_leaves_what_they_have_changed_since(switch: FsHost) -> None:
    install(switch, secure=True)
    switch.socket.write_text(switch.socket.read_text().replace("127.0.0.1", "0.0.0.0"))
    plan = undo(switch)
    assert said(switch)["listen-ip"] == "0.0.0.0"
    kept = switch.socket.with_name("event_socket.conf.xml.callrec-bak")
    assert any(str(kept) in note for note in plan.notes)
    assert kept.read_text() == EVENT_SOCKET


def test_a_link_stays_a_link(switch: FsHost) -> None:
    real = switch.root / "elsewhere.xml"
    switch.socket.rename(real)
    switch.socket.symlink_to(real)
    before = switch.snapshot()
    install(switch, secure=True)
    assert switch.socket.is_symlink()
    assert "theirs-12345" not in real.read_text()
    undo(switch)
    assert switch.snapshot() == before


def test_a_file_that_holds_more_is_not_replaced(switch: FsHost) -> None:
    switch.socket.write_text(
        f'<include>\n{EVENT_SOCKET}<configuration name="x.conf"/>\n</include>\n'
    )
    before = switch.snapshot()
    with pytest.raises(SetupError, match=r"holds more than the event socket.*listen-ip"):
        install(switch, secure=True)
    assert switch.snapshot() == before
    install(switch)
    assert switch.password() == "theirs-12345"


def test_no_diff_shows_a_password(switch: FsHost) -> None:
    plan = plan_setup(switch.config(), secure_event_socket=True)
    made = [change.after for change in plan.files if change.path == switch.password_file]
    secret = (made[0] or b"").decode().strip()
    assert len(secret) >= 24
    shown = "\n".join(change.diff() for change in plan.files)
    apply(plan)
    shown += "\n".join(change.diff() for change in plan_undo(switch.config()).files)
    for word in ("theirs-12345", secret):
        assert word not in shown
    assert 'name="password" value="********"' in shown


def test_a_taken_over_password_is_not_shown_either(switch: FsHost) -> None:
    plan = plan_setup(switch.config())
    assert "theirs-12345" not in "\n".join(change.diff() for change in plan.files)


def test_the_password_that_everybody_knows_is_never_written(switch: FsHost) -> None:
    switch.socket.write_text(OPEN)
    switch.password_file.write_text("ClueCon\n")
    before = switch.snapshot()
    with pytest.raises(SetupError, match=r"freeswitch.password is the one that everybody knows"):
        install(switch, secure=True)
    assert switch.snapshot() == before
    notes = "\n".join(install(switch).notes)
    assert "everybody knows" in notes
    assert "is not let in" not in notes
    assert switch.password_file.read_text() == "ClueCon\n"


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("<configuration name='event_socket.conf'/>", ("127.0.0.1", 8021, "ClueCon")),
        (
            '<configuration name="EVENT_SOCKET.conf"><settings>'
            '<param name="listen-ip" value="10.0.0.5"/><param name="listen-port" value="x"/>'
            "<param value='a&amp;b' name='password'/></settings></configuration>",
            ("10.0.0.5", 8021, "a&b"),
        ),
        ("<!-- <configuration name='event_socket.conf'/> -->", None),
        ('<configuration name="other.conf"/>', None),
    ],
)
def test_what_lets_one_in(text: str, login: tuple[str, int, str] | None) -> None:
    found = login_of(text)
    assert (found and (found.host, found.port, found.password)) == login


def test_the_template_can_be_read_by_freeswitch(switch: FsHost) -> None:
    """Its parser ends a comment at two hyphens, and its preprocessor goes by lines."""
    switch.socket.unlink()
    install(switch)
    text = switch.socket.read_text()
    comments = [part.partition("-->")[0] for part in text.split("<!--")[1:]]
    assert comments
    assert not any("--" in comment for comment in comments)
    for path in (switch.etc / "dialplan" / "default" / "callrec.xml", Path(switch.socket)):
        lines = path.read_text().splitlines()
        assert all("<include>" not in line or line.strip() == "<include>" for line in lines)


def test_ours_follows_the_configuration(switch: FsHost) -> None:
    install(switch, secure=True)
    text = switch.toml.read_text()
    switch.toml.write_text(text.replace("[freeswitch]\n", "[freeswitch]\nport = 8055\n"))
    assert install(switch).notes == [_told_of_the_password(switch, 8055)]
    assert said(switch)["listen-port"] == "8055"
    switch.toml.write_text(text.replace("[freeswitch]\n", "[freeswitch]\npassword = 'chosen-1'\n"))
    install(switch)
    assert said(switch)["password"] == "chosen-1"
    undo(switch)
    assert switch.socket.read_text() == EVENT_SOCKET


def _told_of_the_password(switch: FsHost, port: int) -> str:
    return (
        f"fs_cli, and whatever else uses the event socket, needs the password of "
        f"{switch.password_file} from now on; for fs_cli write it into ~/.fs_cli_conf: "
        f"[default], then port => {port} and password => ... on lines of their own"
    )
