"""What single values must look like; each check raises ValueError with problem and remedy.

The values reach a PBX's configuration files, AMI headers and dialplan, so what those read as
syntax is refused here.
"""

import ipaddress
import re
from itertools import combinations

from callrec_pbx.domain import plans
from callrec_pbx.storage import naming

_KEY = re.compile(r"[0-9*#A-D]{1,8}")
_PATH = re.compile(r"/[A-Za-z0-9._/+-]*")
_USER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET = re.compile(r"[A-Za-z0-9_.~+/=@%^-]{8,128}")
_PASSWORD = re.compile(r"[A-Za-z0-9_.~+/=@%^-]{1,128}")
_PATTERN = re.compile(r"[0-9A-Za-z+#*?_.@:-]{1,80}")
_OFFERED = re.compile(r"[0-9A-Za-z+*?_.-]+")
"""What `dialplan/asterisk/extensions.conf` lets into an offer, and `?`."""
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_LISTEN = re.compile(
    r"(\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<host>[A-Za-z0-9._-]{1,253})):(?P<port>[0-9]{1,5})"
)
LAST_PORT = 65535
LONGEST_NAME = 60

_SQLITE = re.compile(r"sqlite(\+pysqlite)?:////[^?\s]+")
_POSTGRESQL = re.compile(
    r"postgresql(\+psycopg)?://(?P<who>[^@\s]*@)?(?P<where>[^@/\s]*)/[^/?\s]+(\?\S*)?"
)


class BadValueError(ValueError):
    """A value that cannot be used: `problem; remedy`."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")


def path(value: str) -> str:
    """Check a path that the PBX gets to see: absolute, and nothing in it that is syntax there."""
    if not _PATH.fullmatch(value) or ".." in value.split("/"):
        raise BadValueError(
            "is not an absolute path that a PBX can be given",
            "use an absolute path of letters, digits and . _ + - / without ..",
        )
    return value


def plan(value: object) -> str:
    """A retention plan in one spelling; 0, which people may take for "at once", is none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValueError("is not a retention plan", plans.REMEDY)
    try:
        return str(plans.parse(value))
    except plans.PlanError as error:
        raise BadValueError(error.problem, plans.REMEDY) from None


def listen(value: str) -> str:
    """Check an address to listen on, `host:port` or `[IPv6]:port`; empty for none."""
    if value:
        address(value)
    return value


def address(value: str) -> tuple[str, int]:
    """Take `host:port` apart, an IPv6 address without its brackets."""
    match = _LISTEN.fullmatch(value)
    port = int(match["port"]) if match else 0
    if match is None or not 0 < port <= LAST_PORT or not _is_host(match):
        raise BadValueError(
            "is not an address to listen on",
            "give host and port, such as 127.0.0.1:9464 or [::1]:9464; empty switches it off",
        )
    return match["six"] or match["host"], port


def _is_host(match: re.Match[str]) -> bool:
    if match["six"] is None:
        return bool(match["host"])
    try:
        ipaddress.IPv6Address(match["six"])
    except ValueError:
        return False
    return True


def host(value: str) -> str:
    """Check a host name or address."""
    if not _HOST.fullmatch(value):
        raise BadValueError("is not a host name or address", "give one such as 127.0.0.1")
    return value


def username(value: str) -> str:
    """Check the name of the manager user, which is a section name of manager.conf."""
    if not _USER.fullmatch(value) or value == "general":
        raise BadValueError(
            "cannot be the name of a manager user", "use 1 to 64 letters, digits, _ or -"
        )
    return value


def secret(value: str) -> str:
    """Check a secret, which becomes a value in manager.conf (where ; begins a comment)."""
    if not _SECRET.fullmatch(value):
        raise BadValueError(
            "has characters that manager.conf does not keep, or a length out of 8 to 128",
            "use letters, digits and _ . ~ + / = @ % ^ -, or leave it out: setup makes one",
        )
    return value


def password(value: str) -> str:
    """Check the event socket's password, which may be one that somebody has chosen before us."""
    if not _PASSWORD.fullmatch(value):
        raise BadValueError(
            "has characters that do not pass for a password here, or more than 128",
            "use letters, digits and _ . ~ + / = @ % ^ -, or leave it out: setup makes one",
        )
    return value


def key(value: str) -> str:
    """Check the key sequence of an in-call key."""
    if not _KEY.fullmatch(value):
        raise BadValueError("is not a key sequence", "use 1 to 8 of 0-9 * # A-D, such as #1")
    return value


def distinct_keys(keys: dict[str, str]) -> None:
    """Check that no key is, or begins, another: the PBX would never reach the longer one."""
    for (name, one), (other, two) in combinations(keys.items(), 2):
        if one == two:
            raise BadValueError(f"{name} and {other} are both {one}", "give each a key of its own")
        if one.startswith(two) or two.startswith(one):
            raise BadValueError(
                f"{name} ({one}) and {other} ({two}): one begins with the other",
                "choose keys of which none begins with another",
            )


def pattern(value: str) -> str:
    """Check a pattern of a number or name; `*` and `?` are its only special signs."""
    if value.startswith("_"):
        raise BadValueError(
            "looks like a dialplan pattern",
            "write the whole number with * for any characters and ? for one, such as 0800*",
        )
    if not _PATTERN.fullmatch(value):
        raise BadValueError(
            "is not a pattern",
            "use letters, digits and + # _ . @ : -, with * for any characters and ? for one",
        )
    return value


def offered_pattern(value: str) -> str:
    """Check a pattern of what the dialplan offers (line, DDI, queue): it leaves the rest out."""
    pattern(value)
    if not _OFFERED.fullmatch(value):
        raise BadValueError(
            "can never match, as no offer has such characters",
            "use letters, digits and + _ . -, with * for any characters and ? for one; "
            "leave @ # : out, in the dialplan's offer too",
        )
    return value


def catalogue_url(value: str) -> str:
    """Check the catalogue's address; what stands behind the scheme is not repeated."""
    if not (_SQLITE.fullmatch(value) or _POSTGRESQL.fullmatch(value)):
        raise BadValueError(
            "is not the address of a catalogue",
            "give sqlite:/// and an absolute path, such as "
            "sqlite:////var/lib/callrec-pbx/catalogue.db (four slashes), or "
            "postgresql://ROLE:PASSWORD@HOST/DATABASE (an @ in the password is written %40)",
        )
    return value


def name(value: str) -> str:
    """Check a rule's name, which is shown in tables and written into rows."""
    if not value.strip() or len(value) > LONGEST_NAME or not value.isprintable():
        raise BadValueError(
            "is not a name for a rule", "use 1 to 60 printable characters, such as support-line"
        )
    return value


def name_template(value: str) -> str:
    """Check a template of names, or the name of a preset."""
    try:
        naming.parse(value)
    except naming.TemplateError as error:
        raise BadValueError(*str(error).split("; ", 1)) from None
    return value


def name_template_or_none(value: str) -> str:
    """Check a template of names; empty for no names."""
    return value and name_template(value)


def zone(value: str) -> str:
    """Check a time zone; empty for the machine's own."""
    try:
        naming.zone(value)
    except naming.TemplateError as error:
        raise BadValueError(*str(error).split("; ", 1)) from None
    return value
