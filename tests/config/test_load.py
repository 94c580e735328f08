"""The configuration file and the environment."""

from datetime import time
from pathlib import Path

import pytest

from callrec_pbx.config import Config, ConfigError, load_config, parse_config
from callrec_pbx.config.load import EXAMPLE
from callrec_pbx.domain.words import OnTrouble

FILE = Path("/etc/callrec-pbx/callrec.toml")


def read(text: str) -> Config:
    return parse_config(text, FILE)


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CALLREC_CONFIG", "CALLREC_ASTERISK__PORT"):
        monkeypatch.delenv(name, raising=False)


def test_the_example_is_the_defaults_and_its_comments_are_too() -> None:
    example = EXAMPLE.read_text()
    assert read(example) == read("")
    uncommented = "\n".join(
        line.removeprefix("# ")
        for line in example.splitlines()
        if line.startswith("[") or " = " in line
    )
    config = read(uncommented)
    assert config.keys == read("").keys
    assert config.retention.default == "unlimited"


@pytest.mark.parametrize(
    "text",
    [
        "[[rule]]\nname = 'a'\nmode = 'never'",
        "[[rule]]\nnonsense = 1",
        "[policy]\nexcluded_numbers = ['+49800*']",
        "[policy]",
        "rule = []",
    ],
)
def test_a_policy_in_the_configuration_is_refused_with_where_it_belongs(text: str) -> None:
    said = problem(text)
    assert said.startswith(f"{FILE}: ")
    assert "the policy is kept in the catalogue" in said
    assert "`callrec-pbx policy apply policy.toml`" in said


def test_both_parts_of_an_old_policy_are_named() -> None:
    said = problem("[policy]\n[[rule]]\nname = 'a'").splitlines()
    assert [line.split(": ")[1] for line in said] == ["policy", "rule"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[asterisk]\nport = 70000", ["asterisk.port = 70000", "65535", "5038"]),
        ("[asterisk]\nport = true", ["asterisk.port = true", "number"]),
        ("[asterisk]\nhosst = 'x'", ["asterisk.hosst", "did you mean host?"]),
        ("bogus = 1", ["bogus: there is no such setting", "known are"]),
        ("[[asterisk]]\nport = 1", ["asterisk", "is not a table; write [asterisk]"]),
        ("pbx = 'avaya'", ['pbx = "avaya"', "use one of asterisk, freeswitch"]),
        ("[asterisk]\nhost = 'a\\r\\nb'", ["asterisk.host", "not a host name"]),
        ("[asterisk]\nusername = 'a]b'", ["asterisk.username", "manager user"]),
        ("[asterisk]\nusername = 'general'", ["asterisk.username", "manager user"]),
        ("[asterisk]\nconfig_dir = 'etc'", ["asterisk.config_dir", "absolute path"]),
        ("[asterisk]\ndata_dir = '/a/../b'", ["asterisk.data_dir", "without .."]),
        ("[asterisk]\ntrunks = ['a b']", ["asterisk.trunks", "pattern"]),
        ("[recordings]\ndirectory = '/a,b'", ['recordings.directory = "/a,b"', "absolute path"]),
        ("[recordings]\ndirectory = '/${x}'", ["recordings.directory", "absolute path"]),
        ("[catalogue]\nurl = 'sqlite:///x.db'", ["catalogue.url", "four slashes"]),
        ("[prompts]\nlanguage = 'xx'", ['prompts.language = "xx"', "de, en, nb, sv"]),
        ("[keys]\npause = '#1x'", ['keys.pause = "#1x"', "#1"]),
        ("[keys]\npause = '#2'", ["keys: pause and start are both #2"]),
        ("[keys]\npause = '#'", ["keys: pause (#) and start (#2)", "begins"]),
        ("[keys]\npause = 1", ["keys.pause = 1", "string"]),
        ("[offer]\nwait_ms = 501", ["offer.wait_ms = 501", "500"]),
        ("[offer]\non_unavailable = 'hangup'", ["offer.on_unavailable", "did you mean hang_up?"]),
        ("[retention]\nrun_at = '25:00'", ['retention.run_at = "25:00"', "03:15"]),
        ("[retention]\nrun_at = 315", ["retention.run_at = 315", "03:15"]),
        ("[retention]\ndefault = 0", ["retention.default = 0", "30 days"]),
        ("[metrics]\nlisten = 9464", ["metrics.listen = 9464", "127.0.0.1:9464"]),
        ("[metrics]\nlisten = ':9464'", ["metrics.listen", "127.0.0.1:9464 or [::1]:9464"]),
        ("[metrics]\nlisten = '::1:9464'", ["metrics.listen", "not an address to listen on"]),
        ("[metrics]\nlisten = '[::g]:9464'", ["metrics.listen", "not an address to listen on"]),
        ("[metrics]\nlisten = 'host:70000'", ["metrics.listen", "not an address to listen on"]),
        ("[log]\nformat = 'xml'", ['log.format = "xml"', "console, json"]),
        ("a = 1\n[asterisk\nb = 1", ["is not TOML", "line 2"]),
        ("a = " + "[" * 3000, ["more than 20 deep", "is closed"]),
        ("asterisk" + ".a" * 30 + " = 1", ["asterisk: has lists or tables", "more than 20 deep"]),
        (f"[asterisk]\nport = {'9' * 5000}", ["port = 99999", "5000 digits (line 2)", "smaller"]),
        (f"[asterisk]\nport = 0x{'f' * 5000}", ["asterisk.port = 0xfff", "beyond 64 bits"]),
    ],
)
def test_a_bad_value_names_file_key_value_and_remedy(text: str, parts: list[str]) -> None:
    said = problem(text)
    assert said.startswith(f"{FILE}: ")
    assert "; " in said
    for part in parts:
        assert part in said


def test_all_problems_are_told_at_once() -> None:
    said = problem("[asterisk]\nport = 0\n[log]\nlevel = 'x'\n")
    assert "asterisk.port" in said
    assert "log.level" in said


@pytest.mark.parametrize("secret", ["abc;def12", "short", "with space1", "x" * 129])
def test_a_secret_is_never_shown(secret: str) -> None:
    said = problem(f"[asterisk]\nsecret = '{secret}'")
    assert "asterisk.secret = (not shown)" in said
    assert secret not in said
    assert "abcdefgh" not in repr(read("[asterisk]\nsecret = 'abcdefgh'"))


@pytest.mark.parametrize("password", ["abc;def12", "with space1", "</param>", "x" * 129])
def test_a_password_is_never_shown(password: str) -> None:
    said = problem(f"[freeswitch]\npassword = '{password}'")
    assert "freeswitch.password = (not shown)" in said
    assert password not in said
    assert "abcdefgh" not in repr(read("[freeswitch]\npassword = 'abcdefgh'"))


def test_a_password_may_be_a_bad_one_that_is_there_already() -> None:
    """The doctor complains about it."""
    config = read("pbx = 'freeswitch'\n[freeswitch]\npassword = 'ClueCon'")
    assert config.freeswitch.password.get_secret_value() == "ClueCon"


def test_the_passwords_file_beside_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "callrec.toml"
    file.write_text("pbx = 'freeswitch'\n")
    assert load_config(file).freeswitch.password.get_secret_value() == ""
    (tmp_path / "freeswitch.password").write_text("abcdefgh1\n")
    assert load_config(file).freeswitch.password.get_secret_value() == "abcdefgh1"
    (tmp_path / "freeswitch.password").write_text("has a blank\n")
    with pytest.raises(ConfigError, match=r"freeswitch.password: the password .*; use") as caught:
        load_config(file)
    assert "blank" not in str(caught.value)


def test_a_password_in_a_url_is_never_shown() -> None:
    assert "hunter2" not in problem("[catalogue]\nurl = 'mysql://a:hunter2@b/c'")
    assert "hunter2" not in problem("[catalogue]\nurl = 'postgresql://a:hunter2@b'")
    url = "postgresql://a:hunter2@b/c?sslmode=require"
    config = read(f"[catalogue]\nurl = '{url}'")
    assert config.catalogue.url == url
    assert "hunter2" not in repr(config)


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLREC_ASTERISK__PORT", "5039")
    monkeypatch.setenv("CALLREC_ASTERISK__SECRET", "from-the-environment")
    monkeypatch.setenv("CALLREC_RETENTION__CALL_DAYS", "30")
    monkeypatch.setenv("CALLREC_ASTERISK__TRUNKS", '["a", "b"]')
    config = read("[asterisk]\nport = 5038\nusername = 'rec'")
    assert (config.asterisk.port, config.asterisk.username) == (5039, "rec")
    assert config.asterisk.secret.get_secret_value() == "from-the-environment"
    assert config.retention.call_days == 30
    assert config.asterisk.trunks == ("a", "b")


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("CALLREC_ASTERISK__PORT", "x", "environment CALLREC_ASTERISK__PORT: asterisk.port"),
        ("CALLREC_ASTERISK__PROT", "1", "CALLREC_ASTERISK__PROT: there is no such setting"),
        ("CALLREC_ASTERSIK__PORT", "1", "did you mean asterisk?"),
        ("CALLREC_POLICY__EXCLUDED_NUMBERS", "[]", "there is no such setting"),
        ("CALLREC_ASTERISK__TRUNKS", "a", "JSON"),
    ],
)
def test_a_bad_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, part: str
) -> None:
    monkeypatch.setenv(name, value)
    assert part in problem("")


def test_other_variables_of_ours_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLREC_CACHE", "/var/cache")
    assert read("").asterisk.port == 5038


def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[asterisk]\nport = 1\n")
    other = tmp_path / "b.toml"
    other.write_text("[asterisk]\nport = 2\n")
    monkeypatch.setenv("CALLREC_CONFIG", str(other))
    assert load_config(file).asterisk.port == 1
    assert load_config().asterisk.port == 2
    assert load_config().path == other


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; .*setup asterisk"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "latin.toml")
    with pytest.raises(ConfigError, match="is a directory; name the file in it"):
        load_config(tmp_path)


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "callrec.toml"
    file.write_bytes(b"\xef\xbb\xbf[asterisk]\nport = 5039\n")
    assert load_config(file).asterisk.port == 5039


def test_the_secrets_file_beside_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "callrec.toml"
    file.write_text("")
    assert load_config(file).asterisk.secret.get_secret_value() == ""
    (tmp_path / "asterisk.secret").write_text("abcdefgh1\n")
    assert load_config(file).asterisk.secret.get_secret_value() == "abcdefgh1"
    other = tmp_path / "other"
    file.write_text(f"[asterisk]\nsecret_file = '{other}'\n")
    other.write_text("zyxwvuts\n")
    assert load_config(file).asterisk.secret.get_secret_value() == "zyxwvuts"
    other.write_text("has a blank\n")
    with pytest.raises(ConfigError, match=r"other: the secret .*\; use letters") as caught:
        load_config(file)
    assert "blank" not in str(caught.value)


def test_frozen() -> None:
    config = read("")
    with pytest.raises(Exception, match="frozen"):
        config.asterisk.port = 1


def test_values() -> None:
    config = read("[recordings]\ndirectory = '/a'\npbx_directory = '/b'\n")
    assert config.recordings.as_seen_by_pbx == Path("/b")
    assert read("").recordings.as_seen_by_pbx == read("").recordings.directory
    assert config.retention.run_at == time(3, 15)
    assert config.offer.on_unavailable is OnTrouble.CONTINUE
    assert config.asterisk.is_trunk("trunk-a")
    assert not config.asterisk.is_trunk("a-trunk")
    assert config.asterisk.sounds_dir == Path("/var/lib/asterisk/sounds/callrec")


def test_languages_of_the_administrators_own_prompts_count(tmp_path: Path) -> None:
    sounds = tmp_path / "sounds" / "callrec"
    sounds.mkdir(parents=True)
    (sounds / "manifest.json").write_text(
        '{"version": "1", "prompts": [{"name": "announce", "language": "fr", "text": "",'
        f' "sha256": "{"0" * 64}", "duration_ms": 1, "version": "i1"}}]}}'
    )
    text = f"[asterisk]\ndata_dir = '{tmp_path}'\n[prompts]\nlanguage = 'fr'\n"
    assert read(text).prompts.language == "fr"
