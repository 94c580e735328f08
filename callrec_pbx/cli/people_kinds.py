"""`callrec-pbx site`, `user` and the other groups: one factory for the commands of every kind."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, cast

import typer
from rich.table import Table
from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.cli.common import console, print_json, shown, site
from callrec_pbx.cli.people_common import (
    AuthorOption,
    CommentOption,
    JsonOption,
    TenantOption,
    tell,
    tenant_of,
)
from callrec_pbx.config.checks import BadValueError
from callrec_pbx.people.change import document
from callrec_pbx.people.kinds import KINDS, Field, Key, Kind, Sort, Thing
from callrec_pbx.people.lookup import References, find, listed, references
from callrec_pbx.policy.people import changing

NAMED = 20
"""How many of those that refer to a thing `show` names."""

REMOVE_HELP = {
    Entity.TENANT: "With --cascade all that belongs to it is removed, too.",
    Entity.USER: "The user's profiles go, too; with --cascade lines are left without a user.",
    Entity.SITE: "With --cascade what is there is left without a site.",
    Entity.DEPARTMENT: "With --cascade users and queues are left without a department.",
    Entity.PROFILE: "With --cascade also while it is active, and the user is left without one.",
}


def group(entity: Entity, about: str) -> typer.Typer:
    """The commands add, list, show, set and remove of a kind.

    Args:
        entity: The kind.
        about: Its help.
    """
    kind = KINDS[entity]
    app = typer.Typer(help=about, no_args_is_help=True)
    app.command("add", help=f"Add {kind.article}.")(_adding(kind))
    app.command("list", help=f"List {kind.plural}.")(_listing(kind))
    app.command("show", help=f"Show {kind.article}, and what refers to it.")(_showing(kind))
    renames = f"Change {kind.article}; another name is carried to all that refers to it."
    app.command("set", help=renames)(_setting(kind))
    more = REMOVE_HELP.get(entity, "")
    app.command("remove", help=f"Remove {kind.article}. {more}".strip())(_removing(kind))
    return app


def _adding(kind: Kind) -> Callable[..., None]:
    def add(ctx: typer.Context, author: str, comment: str, as_json: bool, **given: Any) -> None:
        with site(ctx) as here:
            values = _values(kind, given)
            if kind.of_tenant:
                values["tenant"] = tenant_of(here.engine, given["tenant"])
            values |= {name: given[f"key_{name}"] for name in kind.key if name != "tenant"}
            with changing(here.engine, author=author, comment=comment) as changes:
                changes.add(kind.made(**values))
        tell(changes, as_json=as_json)

    options = [_option(field) for field in _settable(kind) if field.name not in kind.key]
    return _command(add, [*_arguments(kind), *_tenant(kind.of_tenant), *options, *_WRITING])


def _listing(kind: Kind) -> Callable[..., None]:
    filters = [field for field in kind.fields if field.refers not in (None, Entity.TENANT)]

    def list_(ctx: typer.Context, as_json: bool, **given: Any) -> None:
        with site(ctx) as here:
            wanted = _belonging(kind, here.engine, given)
            with reading(here.engine).begin() as connection:
                several = len(listed(connection, Entity.TENANT)) > 1
                found = listed(connection, kind.entity, wanted)
        if as_json:
            print_json({kind.plural.lower(): [document(thing) for thing in found]})
        else:
            _print_table(kind, found, with_tenant=several)

    options = [
        _parameter(
            field.name,
            Annotated[
                str | None, typer.Option(_flag(field.name), help=f"Only of this {field.name}.")
            ],
            None,
        )
        for field in filters
    ]
    return _command(list_, [*_tenant(kind.of_tenant), *options, _JSON])


def _showing(kind: Kind) -> Callable[..., None]:
    def show(ctx: typer.Context, as_json: bool, **given: Any) -> None:
        with site(ctx) as here:
            key = _key(kind, here.engine, given)
            with reading(here.engine).begin() as connection:
                row_id, thing = find(connection, kind.entity, key)
                used = references(connection, kind.entity, row_id, NAMED)
        if as_json:
            counts = {one.kind.plural.lower(): one.count for one in used}
            print_json({str(kind.entity): document(thing), "referred_to_by": counts})
        else:
            _print_one(kind, thing, used)

    return _command(show, [*_arguments(kind), *_tenant(kind.key[0] == "tenant"), _JSON])


def _setting(kind: Kind) -> Callable[..., None]:
    def set_(ctx: typer.Context, author: str, comment: str, as_json: bool, **given: Any) -> None:
        with site(ctx) as here:
            key = _key(kind, here.engine, given)
            with changing(here.engine, author=author, comment=comment) as changes:
                changes.set(kind.entity, key, _values(kind, given))
        tell(changes, as_json=as_json)

    options = [_option(field) for field in _settable(kind)]
    tenant = _tenant(kind.key[0] == "tenant")
    return _command(set_, [*_arguments(kind), *tenant, *options, *_WRITING])


def _removing(kind: Kind) -> Callable[..., None]:
    def remove(
        ctx: typer.Context,
        *,
        cascade: bool,
        dry_run: bool,
        author: str,
        comment: str,
        as_json: bool,
        **given: Any,
    ) -> None:
        with site(ctx) as here:
            key = _key(kind, here.engine, given)
            made = changing(here.engine, author=author, comment=comment, dry_run=dry_run)
            with made as changes:
                changes.remove(kind.entity, key, cascade=cascade)
        tell(changes, as_json=as_json, dry_run=dry_run)

    tenant = _tenant(kind.key[0] == "tenant")
    return _command(remove, [*_arguments(kind), *tenant, _CASCADE, _DRY_RUN, *_WRITING])


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )


_JSON = _parameter("as_json", JsonOption, default=False)
_WRITING = (
    _parameter("author", AuthorOption, inspect.Parameter.empty),
    _parameter("comment", CommentOption, ""),
    _JSON,
)
_CASCADE = _parameter(
    "cascade",
    Annotated[
        bool,
        typer.Option(
            "--cascade", help="Even though something refers to it, or the policy names it."
        ),
    ],
    default=False,
)
_DRY_RUN = _parameter(
    "dry_run",
    Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")],
    default=False,
)


def _command(run: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """A command with those parameters, as typer reads them from a function."""

    def command(**given: Any) -> None:
        run(**given)

    context = _parameter("ctx", typer.Context, inspect.Parameter.empty)
    every = [context, *parameters]
    command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in every}
    return command


def _arguments(kind: Kind) -> list[inspect.Parameter]:
    """What names one of the kind, beside its tenant."""
    return [
        _parameter(
            f"key_{name}",
            Annotated[str, typer.Argument(metavar=name.upper(), help=kind.by_name[name].text)],
            inspect.Parameter.empty,
        )
        for name in kind.key
        if name != "tenant"
    ]


def _tenant(wanted: bool) -> list[inspect.Parameter]:
    return [_parameter("tenant", TenantOption, None)] if wanted else []


def _settable(kind: Kind) -> list[Field]:
    return [field for field in kind.fields if not field.instead]


def _option(field: Field) -> inspect.Parameter:
    """The option that sets a field."""
    flag, value = _flag(field.name), cast(Any, str | None)
    if field.sort is Sort.TRUTH:
        flag, value = f"{flag}/--no-{flag[2:]}", bool | None
    elif field.words is not None:
        value = field.words | None
    option = typer.Option(flag, help=field.text, show_default=False)
    return _parameter(field.name, Annotated[value, option], None)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _values(kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
    """The fields that were given as options, as values."""
    values = {}
    for field in _settable(kind):
        value = given.get(field.name)
        if value is None:
            continue
        if isinstance(value, str) and field.words is None:
            try:
                value = field.parse(value)
            except BadValueError as error:
                raise typer.BadParameter(
                    f"{value!r} {error}", param_hint=_flag(field.name)
                ) from None
        values[field.name] = value
    return values


def _key(kind: Kind, engine: Engine, given: dict[str, Any]) -> Key:
    """The key that was given as arguments."""
    names = tuple(given[f"key_{name}"] for name in kind.key if name != "tenant")
    if kind.key[0] == "tenant":
        return (tenant_of(engine, given["tenant"]), *names)
    return names


def _belonging(kind: Kind, engine: Engine, given: dict[str, Any]) -> dict[Entity, str]:
    """What those that are listed have to refer to."""
    wanted = {}
    for field in kind.fields:
        value = given.get(field.name)
        if field.refers is Entity.TENANT and value is not None:
            value = tenant_of(engine, value)
        if field.refers is not None and value is not None:
            try:
                wanted[field.refers] = field.checked(value)
            except BadValueError as error:
                raise typer.BadParameter(
                    f"{value!r} {error}", param_hint=_flag(field.name)
                ) from None
    return wanted


def _print_table(kind: Kind, found: list[Thing], *, with_tenant: bool) -> None:
    fields = [field for field in kind.fields if with_tenant or field.name != "tenant"]
    table = Table(*(field.name.replace("_", " ") for field in fields))
    for thing in found:
        table.add_row(*(shown(field.show(getattr(thing, field.name))) for field in fields))
    console().print(table if found else f"no {kind.plural}")


def _print_one(kind: Kind, thing: Thing, used: list[References]) -> None:
    facts = Table.grid(padding=(0, 2))
    for field in kind.fields:
        facts.add_row(field.name.replace("_", " "), shown(field.show(getattr(thing, field.name))))
    for one in used:
        facts.add_row("referred to by", shown(str(one)))
    console().print(facts)


site_app = group(Entity.SITE, "Sites: the locations of a tenant.")
department_app = group(Entity.DEPARTMENT, "Departments.")
user_app = group(Entity.USER, "Users: the people whose calls are recorded.")
line_app = group(Entity.LINE, "Lines: extensions, and whose they are.")
ddi_app = group(Entity.DDI, "DDIs: the numbers that callers dial.")
queue_app = group(Entity.QUEUE, "Queues, and where they belong.")
