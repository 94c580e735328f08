"""Reading FreeSWITCH's configuration as its preprocessor and parser do; pure but for the reading.

The preprocessor goes line by line, also inside of comments, and the parser is a lenient one, so
neither is left to a strict XML library. Nothing is executed, no document type is read, and no
entity is known but the five of XML: a configuration can make us read files below its includes only.

Text here is the files' bytes as Latin-1.

Source: src/switch_xml.c of FreeSWITCH 1.11.
"""

import fnmatch
import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from callrec_pbx.setup.errors import SetupError

MOST_FILES = 5000
DEEPEST = 100

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_DIRECTIVE = re.compile(
    r'<X-pre-process\b[^>]*?\bcmd\s*=\s*"(?P<cmd>[^"]*)"[^>]*?\bdata\s*=\s*"(?P<data>[^"]*)"',
    re.IGNORECASE,
)
_OLD_DIRECTIVE = re.compile(r'<!--#(?P<cmd>[a-z-]+) "?(?P<data>[^"\r\n]*?)"?\s*(?:-->|$)')
_VARIABLE = re.compile(r"\$\$\{([^{}]*)\}")
_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<[?!][^<>]*>"
    r"|<(?P<close>/?)(?P<tag>[A-Za-z_:][^\s/>]*)"
    r"(?P<attributes>(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([^\s=/>\"']+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_ENTITY = re.compile(r"&(?:#(\d{1,6})|#x([0-9A-Fa-f]{1,5})|(amp|lt|gt|quot|apos));")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_MARK = "callrec-include"
_PASSWORD = re.compile(r"password", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Element:
    """A tag that opens, with the tags around it (itself last).

    Attributes:
        around: Tag and attributes of each, outermost first.
        offset: Where it begins in the whole text.
    """

    around: tuple[tuple[str, dict[str, str]], ...]
    offset: int

    @property
    def tag(self) -> str:
        """Its name."""
        return self.around[-1][0]

    @property
    def attributes(self) -> dict[str, str]:
        """Its attributes."""
        return self.around[-1][1]

    def inside(self, tag: str, name: str = "") -> dict[str, str] | None:
        """Return the attributes of the nearest tag around it of that kind (and name)."""
        for found, attributes in reversed(self.around[:-1]):
            if found == tag and (not name or attributes.get("name", "").lower() == name):
                return attributes
        return None


@dataclass(frozen=True, slots=True)
class Include:
    """A directive that includes files: the path with wildcards, and where in the whole text."""

    pattern: str
    offset: int


@dataclass(slots=True)
class Whole:
    """The configuration as one text, as FreeSWITCH makes it.

    Attributes:
        parts: The text, in pieces.
        begins: Offset of each piece, with the file that it is from.
        includes: What is included where.
        variables: Of the preprocessor, as far as they are known.
    """

    parts: list[str] = field(default_factory=list)
    begins: list[tuple[int, Path]] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    length: int = 0
    files: int = 0

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.parts)

    def file_at(self, offset: int) -> Path | None:
        """Return the file that the text at an offset is from."""
        found = None
        for begin, path in self.begins:
            if begin > offset:
                break
            found = path
        return found

    def take(self, text: str, path: Path) -> None:
        """Add a piece."""
        if not self.begins or self.begins[-1][1] != path:
            self.begins.append((self.length, path))
        self.parts.append(text)
        self.length += len(text)


def whole(config_dir: Path, variables: dict[str, str]) -> Whole:
    """Read freeswitch.xml and all that it includes.

    Args:
        config_dir: FreeSWITCH's configuration.
        variables: What FreeSWITCH itself sets, such as `sounds_dir`.

    Raises:
        SetupError: A file cannot be read, or includes have no end.
    """
    result = Whole(variables={"conf_dir": str(config_dir), **variables})
    _read_file(config_dir / "freeswitch.xml", result, 0)
    return result


def _read_file(path: Path, into: Whole, depth: int) -> None:
    into.files += 1
    if depth > DEEPEST or into.files > MOST_FILES:
        raise SetupError(f"{path}: is included again and again; mend the includes around it")
    try:
        text = path.read_bytes().decode("latin-1")
    except OSError as error:
        raise SetupError(f"{path}: cannot be read ({error.strerror}); run setup as root") from error
    in_comment = False
    for raw in _LINE.findall(text):
        line = _VARIABLE.sub(lambda match: into.variables.get(match.group(1), match.group(0)), raw)
        if any(sign in raw for sign in ("<include>", "</include>", "<?")):
            continue
        if in_comment:
            _, closed, line = line.partition("-->")
            in_comment = not closed
            if in_comment:
                continue
        if "x-pre-process" in line.lower():
            _directive(_DIRECTIVE.search(line), path, into, depth)
        elif "<!--#" in line:
            before, _, rest = line.partition("<!--#")
            _, closed, after = rest.partition("-->")
            in_comment = not closed
            into.take(before + after, path)
            _directive(_OLD_DIRECTIVE.search(line), path, into, depth)
        else:
            into.take(line, path)


def _directive(match: re.Match[str] | None, path: Path, into: Whole, depth: int) -> None:
    if match is None:
        return
    command, data = match["cmd"].lower(), match["data"]
    if command == "set":
        name, found, value = data.partition("=")
        if found:
            into.variables[name.rstrip(" ")] = value.lstrip(" ")
    elif command.endswith("-set"):
        into.variables.pop(data.partition("=")[0].strip(), None)  # not known to us
    elif command == "include":
        pattern = data if data.startswith("/") else f"{path.parent}/{data}"
        into.includes.append(Include(pattern, into.length))
        for name in sorted(glob.glob(pattern)):  # noqa: PTH207 - by the rules of the C library
            if Path(name).is_file():
                _read_file(Path(name), into, depth + 1)


def elements(text: str) -> Iterator[Element]:
    """Walk over the tags that open, in order."""
    stack: list[tuple[str, dict[str, str]]] = []
    for match in _TOKEN.finditer(text):
        tag = match["tag"]
        if tag is None:
            continue
        if match["close"]:
            if any(name == tag for name, _ in stack):
                while stack.pop()[0] != tag:
                    pass
            continue
        stack.append((tag, _attributes(match["attributes"])))
        yield Element(tuple(stack), match.start())
        if match["attributes"].rstrip().endswith("/"):
            stack.pop()


def settings(text: str, configuration: str) -> list[tuple[str, str]] | None:
    """Return the `param`s of a configuration in their order; None when there is no such one."""
    found: list[tuple[str, str]] | None = None
    first = None
    for element in elements(text):
        if element.tag == "configuration":
            if element.attributes.get("name", "").lower() == configuration and first is None:
                first, found = element.attributes, []
        elif (
            element.tag == "param"
            and found is not None
            and element.inside("configuration", configuration) is first
        ):
            attributes = element.attributes
            found.append((attributes.get("name", ""), attributes.get("value", "")))
    return found


def place_of(text: str, configuration: str) -> int | None:
    """Return where the configuration of that name begins; None when there is none."""
    for element in elements(text):
        named = element.attributes.get("name", "").lower()
        if element.tag == "configuration" and named == configuration:
            return element.offset
    return None


def loaded_modules(text: str) -> set[str]:
    """Return the names of the modules that FreeSWITCH loads at its start."""
    return {
        element.attributes.get("module", "").removesuffix(".so")
        for element in elements(text)
        if element.tag == "load" and element.inside("modules") is not None
    }


def includes(config: Whole, path: Path) -> bool:
    """Whether a file of that path, which need not exist, is included somewhere."""
    return any(_takes(include, path) for include in config.includes)


def including_contexts(config: Whole, path: Path) -> list[str]:
    """Return the dialplan contexts that include a file of that path, which need not exist."""
    return [name for include, name in folders_of_contexts(config) if _takes(include, path)]


def _takes(include: Include, path: Path) -> bool:
    folder, _, name = include.pattern.rpartition("/")
    return fnmatch.fnmatchcase(str(path.parent), folder) and fnmatch.fnmatchcase(path.name, name)


def folders_of_contexts(config: Whole) -> list[tuple[Include, str]]:
    """Return what the contexts of the dialplan include, each with the context's name."""
    text, pieces, end = config.text, [], 0
    for number, include in enumerate(config.includes):
        pieces += [text[end : include.offset], f'<{_MARK} number="{number}"/>']
        end = include.offset
    found = []
    for element in elements("".join([*pieces, text[end:]])):
        context = element.inside("context") if element.tag == _MARK else None
        if context is not None:
            include = config.includes[int(element.attributes["number"])]
            found.append((include, context.get("name", "")))
    return found


def secrets_of(*contents: bytes) -> tuple[str, ...]:
    """Return the values of settings with `password` in their names, as they are written."""
    found: dict[str, None] = {}
    for content in contents:
        text = content.decode("utf-8", "replace")
        for match in re.finditer(r"<param\b([^>]*)>", text):
            written = _ATTRIBUTE.findall(match.group(1))
            pairs = {name: double or single for name, double, single in written}
            if _PASSWORD.search(pairs.get("name", "")) and pairs.get("value"):
                found[pairs["value"]] = None
    return tuple(found)


def _attributes(text: str) -> dict[str, str]:
    return {name: _decoded(double or single) for name, double, single in _ATTRIBUTE.findall(text)}


def _decoded(value: str) -> str:
    def character(match: re.Match[str]) -> str:
        if match.group(3):
            return _ENTITIES[match.group(3)]
        code = int(match.group(1) or match.group(2), 10 if match.group(1) else 16)
        return chr(code) if 0 < code < 0x110000 else ""  # noqa: PLR2004 - Unicode's end

    return _ENTITY.sub(character, value)
