"""Reading the file and the environment."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from callrec_pbx.audio.manifest import PromptError, PromptSet
from callrec_pbx.config import checks
from callrec_pbx.config.environment import stray_variables, variable_of
from callrec_pbx.config.errors import ConfigError, Problem
from callrec_pbx.config.explain import problem_of, shown_value
from callrec_pbx.config.model import AsteriskSection, FreeSwitchSection
from callrec_pbx.config.settings import Config, Settings, sounds_dir_of
from callrec_pbx.config.toml import TomlError, read_toml
from callrec_pbx.resources import resource_dir

DEFAULT_PATH = Path("/etc/callrec-pbx/callrec.toml")
PATH_VARIABLE = "CALLREC_CONFIG"
SECRET_FILE = "asterisk.secret"  # noqa: S105 - the name of the file
PASSWORD_FILE = "freeswitch.password"  # noqa: S105
EXAMPLE = Path(__file__).with_name("example.toml")
MOVED = ("policy", "rule")
"""Sections that a configuration had before the policy got versions."""


def config_path(path: Path | None = None) -> Path:
    """Return the file that `load_config` reads: the given, the environment's, the usual one."""
    return path or Path(os.environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def load_config(path: Path | None = None) -> Config:
    """Read the configuration file, with `CALLREC_*` variables over it.

    Args:
        path: The file; None takes $CALLREC_CONFIG, else /etc/callrec-pbx/callrec.toml.

    Raises:
        ConfigError: Something cannot be used; it names file, key, value and remedy.
    """
    file = config_path(path)
    return parse_config(_read(file), file)


def parse_config(text: str, path: Path) -> Config:
    """Return the configuration that a text means, with `CALLREC_*` variables over it.

    Args:
        text: The text of a configuration file.
        path: Where the file lies, or would lie.

    Raises:
        ConfigError: Something cannot be used; it names file, key, value and remedy.
    """
    return _build(_parse(text, path), path)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigError.one(
            file,
            "there is no such file",
            "`callrec-pbx setup asterisk` makes one, or `setup freeswitch`; or name yours with "
            f"--config or {PATH_VARIABLE}",
        ) from None
    except IsADirectoryError:
        raise ConfigError.one(
            file, "cannot be read: it is a directory", "name the file in it"
        ) from None
    except OSError as error:
        raise ConfigError.one(
            file, f"cannot be read ({error.strerror})", "check its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError.one(file, "is not UTF-8", "save it as UTF-8") from error


def _parse(text: str, file: Path) -> dict[str, Any]:
    try:
        return read_toml(text)
    except TomlError as error:
        raise ConfigError.one(file, error.problem, error.remedy, error.key, error.value) from None


def _build(document: dict[str, Any], file: Path) -> Config:
    stray = list(stray_variables())
    if stray:
        raise ConfigError(stray)
    moved = list(_moved(document, file))
    if moved:
        raise ConfigError(moved)
    try:
        settings = Settings(**document)
    except ValidationError as error:
        raise ConfigError(
            _problem_of(dict(item), document, file) for item in error.errors(include_url=False)
        ) from None
    except SettingsError as error:
        raise ConfigError.one(
            "environment", str(error), 'give lists and tables as JSON, such as ["a", "b"]'
        ) from None
    _check_language(settings, file)
    return Config(
        path=file,
        pbx=settings.pbx,
        asterisk=_with_secret(settings.asterisk, file),
        freeswitch=_with_password(settings.freeswitch, file),
        recordings=settings.recordings,
        catalogue=settings.catalogue,
        prompts=settings.prompts,
        keys=settings.keys,
        offer=settings.offer,
        retention=settings.retention,
        metrics=settings.metrics,
        follow_up=settings.follow_up,
        names=settings.names,
        log=settings.log,
    )


def _moved(document: dict[str, Any], file: Path) -> Iterator[Problem]:
    """What an earlier version had in this file, and where it is now."""
    for key in MOVED:
        if key in document:
            yield Problem(
                str(file),
                key,
                None,
                "the policy is kept in the catalogue, with its versions",
                "move it into a file of its own, excluded_numbers to the top of it, and run "
                "`callrec-pbx policy apply policy.toml`",
            )


def _problem_of(error: dict[str, Any], document: dict[str, Any], file: Path) -> Problem:
    variable = variable_of(error["loc"])
    source = f"environment {variable}" if variable else str(file)
    return problem_of(error, document, source, Settings)


def _with_secret(asterisk: AsteriskSection, file: Path) -> AsteriskSection:
    secret_file = asterisk.secret_file or file.absolute().parent / SECRET_FILE
    update: dict[str, Any] = {"secret_file": secret_file}
    if not asterisk.secret.get_secret_value():
        update["secret"] = _read_secret(secret_file, "secret", checks.secret)
    return asterisk.model_copy(update=update)


def _with_password(freeswitch: FreeSwitchSection, file: Path) -> FreeSwitchSection:
    password_file = freeswitch.password_file or file.absolute().parent / PASSWORD_FILE
    update: dict[str, Any] = {"password_file": password_file}
    if not freeswitch.password.get_secret_value():
        update["password"] = _read_secret(password_file, "password", checks.password)
    return freeswitch.model_copy(update=update)


def _read_secret(file: Path, what: str, check: Callable[[str], str]) -> SecretStr:
    try:
        return SecretStr(check(file.read_text().strip()))
    except FileNotFoundError:
        return SecretStr("")  # setup makes it; whoever needs it says that it is missing
    except OSError as error:
        raise ConfigError.one(
            file,
            f"the {what} cannot be read ({error.strerror})",
            "let the user that callrec-pbx runs as read it",
        ) from error
    except ValueError as error:
        text, _, remedy = str(error).partition("; ")
        raise ConfigError.one(file, f"the {what} {text}", remedy) from error


def installed_languages(sounds_dir: Path) -> list[str]:
    """Return the languages there are prompts in: the shipped ones, and those on the PBX."""
    languages: set[str] = set()
    for folder in (resource_dir("prompts"), sounds_dir):
        try:
            languages.update(prompt.language for prompt in PromptSet.load(folder).prompts)
        except PromptError:
            continue  # not installed yet, or broken, which the doctor reports
    return sorted(languages)


def _check_language(settings: Settings, file: Path) -> None:
    language = settings.prompts.language
    known = installed_languages(sounds_dir_of(settings))
    if language not in known:
        raise ConfigError.one(
            file,
            "there are no prompts in that language",
            f"use one of {', '.join(known)}, or import some with `callrec-pbx prompts import`",
            "prompts.language",
            shown_value(language),
        )
