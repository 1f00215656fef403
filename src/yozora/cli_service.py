"""The commands of whoever runs the service: keys, organisations, prices and bills."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yozora.service.amounts import money, parse_count, parse_money
from yozora.service.settings import DAY
from yozora.terminal import (
    COUNT,
    DATA,
    DB,
    as_json,
    parse_names,
    parsed,
    print_json,
    print_rich,
    say,
)

if TYPE_CHECKING:
    from yozora.service.database import Database

BY = "command line"  # who did it, in the audit log
# What service.limits, service.keys and service.schema know, said again so that help need not import them; the tests
# compare.
MEASURES = ("spend", "videos", "concurrent", "requests")
PERIODS = ("minute", "day", "month", "lifetime", "now")
SCOPES = ("videos:read", "videos:write", "models:read", "webhooks:write", "admin")
USUAL = SCOPES[:3]
ROLES = ("owner", "admin", "member", "viewer")


MONEY = parsed(parse_money, "an amount such as 0.05, with six digits after the point at most")
ORG = click.option("--org", default="default", show_default=True, help="Its name or id.")
MONTH = click.option("--month", metavar="YYYY-MM", help="Which month; this one, if left out.")


def with_database(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``database``: the one of --db, brought to the present and with an organisation in it."""

    @DATA
    @DB
    @wraps(command)
    def run(data: Path | None, db: str | None, **options: Any) -> None:
        with opened(data, db) as database:
            command(database=database, **options)

    return run


@contextmanager
def opened(data: Path | None, url: str | None) -> Iterator[Database]:
    """The database at an address, or in a data folder."""
    from yozora.service import accounts, ids
    from yozora.service.database import Database, located

    folder, address = located(data, url)
    database = Database(address, folder)
    try:
        database.upgrade()
        with database.write() as tx:
            accounts.ensure_default(tx, by=BY, at=ids.now())
        yield database
    finally:
        database.close()


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows for people, with these of their columns; what is not there is left empty."""
    from rich.table import Table

    table = Table()
    for name in columns:
        table.add_column(name, no_wrap=name == "id")
    for row in rows:
        cells = ("" if row[name] is None else row[name] for name in columns)
        table.add_row(*(", ".join(c) if isinstance(c, list) else str(c) for c in cells))
    print_rich(table)


def readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose times are dates that people read."""
    from yozora.service.usage import moment

    return {
        name: moment(cell) if name.endswith(("_at", "_from", "_until")) and cell else cell
        for name, cell in row.items()
    }


def this_month(month: str | None) -> str:
    """The month given, or the one that it is now in UTC."""
    from yozora.service import ids
    from yozora.service.usage import moment

    return month or moment(ids.now())[:7]


# --- keys --------------------------------------------------------------------------------------------


@click.group()
def keys() -> None:
    """API keys: who may use the service, and for what."""


@keys.command("create")
@ORG
@click.option("--project", default="default", show_default=True, help="Its name or id.")
@click.option("--name", default="unnamed", show_default=True, help="What people call the key.")
@click.option(
    "--scopes",
    metavar="a,b,..",
    default=",".join(USUAL),
    show_default=True,
    callback=parsed(parse_names, "a list of names"),
    help=f"What it may do: {', '.join(SCOPES)}.",
)
@click.option(
    "--models",
    metavar="a,b,..",
    callback=parsed(parse_names, "a list of names"),
    help="Only these models.",
)
@click.option("--days", type=COUNT, help="For how many days it is valid; for ever, if left out.")
@as_json
@with_database
def create_key(
    database: Database,
    org: str,
    project: str,
    name: str,
    scopes: list[str],
    models: list[str] | None,
    days: int | None,
    as_json: bool,
) -> None:
    """Make a key and print it: this once, since only a digest of it is kept."""
    from yozora.service import accounts, ids
    from yozora.service import keys as service

    at = ids.now()
    pepper = service.pepper(database.folder)
    with database.write() as tx:
        org_id = accounts.find_org(tx, org).id
        row, key = service.create(
            tx,
            pepper,
            org_id=org_id,
            project_id=accounts.find_project(tx, org_id, project).id,
            name=name,
            scopes=scopes,
            models=models,
            expires_at=None if days is None else at + days * DAY,
            created_by=BY,
            at=at,
        )
    tell_key(row, key, as_json)


def tell_key(row: Any, key: str, as_json: bool) -> None:
    """Print a key that is shown once."""
    if as_json:
        print_json({"id": row.id, "key": key, **row._mapping})
    else:
        say(f"{row.id} ({row.name}); keep the key, it is shown this once")
        click.echo(key)


@keys.command("list")
@ORG
@as_json
@with_database
def list_keys(database: Database, org: str, as_json: bool) -> None:
    """Show an organisation's keys, the revoked ones last."""
    from yozora.service import accounts
    from yozora.service import keys as service

    with database.read() as tx:
        rows = [dict(row._mapping) for row in service.listing(tx, accounts.find_org(tx, org).id)]
    if as_json:
        print_json({"keys": rows})
    else:
        columns = ("id", "name", "scopes", "models", "last_used_at", "expires_at", "revoked_at")
        print_table(map(readable, rows), columns)


@keys.command("rotate")
@click.argument("key_id")
@ORG
@click.option(
    "--hours",
    type=click.IntRange(0),
    default=24,
    show_default=True,
    help="For how long the old key is taken beside the new one.",
)
@as_json
@with_database
def rotate_key(database: Database, key_id: str, org: str, hours: int, as_json: bool) -> None:
    """Give a key a new secret and print it; its id and its limits stay."""
    from yozora.service import accounts, ids
    from yozora.service import keys as service

    pepper = service.pepper(database.folder)
    with database.write() as tx:
        row, key = service.rotate(
            tx,
            pepper,
            org_id=accounts.find_org(tx, org).id,
            key_id=key_id,
            grace=hours * 3600 * 1000,
            by=BY,
            at=ids.now(),
        )
    tell_key(row, key, as_json)


@keys.command("revoke")
@click.argument("key_id")
@ORG
@as_json
@with_database
def revoke_key(database: Database, key_id: str, org: str, as_json: bool) -> None:
    """Take a key back, at once and for ever."""
    from yozora.service import accounts, ids
    from yozora.service import keys as service

    with database.write() as tx:
        org_id = accounts.find_org(tx, org).id
        done = service.revoke(tx, org_id=org_id, key_id=key_id, by=BY, at=ids.now())
    if as_json:
        print_json({"id": key_id, "revoked": done})
    else:
        say(f"revoked {key_id}" if done else f"{key_id} was revoked before")


# --- organisations -----------------------------------------------------------------------------------


@click.group()
def orgs() -> None:
    """Organisations: whose the keys, the limits and the bills are."""


@orgs.command("create")
@click.argument("name")
@as_json
@with_database
def create_org(database: Database, name: str, as_json: bool) -> None:
    """Make an organisation, with a project "default"."""
    from yozora.service import accounts, ids

    with database.write() as tx:
        org_id = accounts.create_org(tx, name=name, by=BY, at=ids.now())
    print_json({"id": org_id, "name": name}) if as_json else say(f"made {org_id}")


@orgs.command("list")
@as_json
@with_database
def list_orgs(database: Database, as_json: bool) -> None:
    """Show all organisations, and what they have or, below zero, owe."""
    from yozora.service import accounts, ledger

    with database.read() as tx:
        rows = [
            {**row._mapping, "balance": ledger.balance(tx, row.id)} for row in accounts.all_orgs(tx)
        ]
    if as_json:
        print_json({"orgs": rows})
    else:
        shown = ({**readable(row), "balance": money(row["balance"])} for row in rows)
        print_table(shown, ("id", "name", "balance", "concurrency", "created_at"))


@orgs.command("limit")
@click.argument("org")
@click.argument("measure", type=click.Choice(MEASURES))
@click.argument("period", type=click.Choice(PERIODS))
@click.argument("amount")
@click.option("--scope", metavar="ID", help="Of one of its keys or projects, not of all of it.")
@as_json
@with_database
def set_limit(
    database: Database,
    org: str,
    measure: str,
    period: str,
    amount: str,
    scope: str | None,
    as_json: bool,
) -> None:
    r"""Limit what an organisation, or one of its projects or keys, may use; AMOUNT "none" takes a limit away.

    \b
    spend       day, month or lifetime    50.00, in the currency
    videos      day                       how many may be begun
    concurrent  now                       how many may be queued or in progress
    requests    minute                    how many may be sent that change something
    """
    from yozora.service import accounts, ids, limits

    try:
        most = None if amount == "none" else parse_money(amount)
        if most is not None and measure != "spend":
            most = parse_count(most)
    except ValueError as error:
        raise click.BadParameter(f"{amount!r} is no amount of {measure}") from error
    at = ids.now()
    with database.write() as tx:
        org_id = accounts.find_org(tx, org).id
        limits.set_limit(
            tx,
            org_id=org_id,
            scope=scope or org_id,
            measure=measure,
            period=period,
            amount=most,
            by=BY,
            at=at,
        )
    report = {"scope": scope or org_id, "measure": measure, "period": period, "amount": most}
    print_json(report) if as_json else say(f"{measure} a {period} of {report['scope']}: {amount}")


@orgs.command("concurrency")
@click.argument("org")
@click.argument("count", type=COUNT)
@as_json
@with_database
def set_concurrency(database: Database, org: str, count: int, as_json: bool) -> None:
    """Set how many videos of an organisation are made at once, 16 at first; the others wait in the queue."""
    from yozora.service import accounts, ids

    with database.write() as tx:
        org_id = accounts.find_org(tx, org).id
        accounts.set_concurrency(tx, org_id=org_id, count=count, by=BY, at=ids.now())
    report = {"id": org_id, "concurrency": count}
    print_json(report) if as_json else say(f"{count} videos of {org} are made at once")


@orgs.command("limits")
@click.argument("org")
@click.option("--scope", metavar="ID", help="Of one of its keys or projects, not of all of it.")
@as_json
@with_database
def list_limits(database: Database, org: str, scope: str | None, as_json: bool) -> None:
    """Show limits, and how much of them is used at present."""
    from dataclasses import asdict

    from yozora.service import accounts, ids, limits

    with database.read() as tx:
        org_id = accounts.find_org(tx, org).id
        found = limits.of(tx, org_id=org_id, scope=scope or org_id, at=ids.now())
    rows = [asdict(limit) for limit in found]
    if as_json:
        print_json({"scope": scope or org_id, "limits": rows})
    else:
        for row in rows:
            if row["measure"] == "spend":
                row |= {"amount": money(row["amount"]), "used": money(row["used"])}
        print_table(rows, ("measure", "period", "amount", "used"))


@orgs.command("deposit")
@click.argument("org")
@click.argument("amount", callback=MONEY)
@as_json
@with_database
def deposit(database: Database, org: str, amount: int, as_json: bool) -> None:
    """Note money that came in for an organisation."""
    from yozora.service import accounts, ids, ledger

    with database.write() as tx:
        org_id = accounts.find_org(tx, org).id
        ledger.deposit(tx, org_id=org_id, amount=amount, by=BY, at=ids.now())
        balance = ledger.balance(tx, org_id)
    report = {"id": org_id, "balance": balance}
    print_json(report) if as_json else say(f"{org} has {money(balance)}")


# --- users -------------------------------------------------------------------------------------------


@click.group()
def users() -> None:
    """People who sign in on the pages."""


@users.command("list")
@as_json
@with_database
def list_users(database: Database, as_json: bool) -> None:
    """Show all users, and in which organisations they are as what."""
    from yozora.service import accounts

    with database.read() as tx:
        rows = [
            {**row._mapping, "roles": [f"{o.name}: {o.role}" for o in accounts.orgs_of(tx, row.id)]}
            for row in accounts.all_users(tx)
        ]
    if as_json:
        print_json({"users": rows})
    else:
        print_table(map(readable, rows), ("id", "name", "roles", "operator", "last_seen_at"))


@users.command("role")
@click.argument("name")
@click.argument("org")
@click.argument("role", type=click.Choice([*ROLES, "none"]))
@as_json
@with_database
def set_role(database: Database, name: str, org: str, role: str, as_json: bool) -> None:
    """Let a user into an organisation with a role, change it, or take them out with "none"."""
    from yozora.service import accounts, ids

    given = None if role == "none" else role
    with database.write() as tx:
        user, org_id = accounts.find_user(tx, name), accounts.find_org(tx, org).id
        accounts.set_role(tx, org_id=org_id, user_id=user.id, role=given, by=BY, at=ids.now())
    report = {"id": user.id, "org": org_id, "role": given}
    print_json(report) if as_json else say(f"{name} in {org}: {given or 'no member'}")


@users.command("password")
@click.argument("name")
@as_json
@with_database
def new_password(database: Database, name: str, as_json: bool) -> None:
    """Give a user another password and print it, this once; they are signed out everywhere."""
    from yozora.service import accounts, ids

    password = accounts.first_password()
    kept = accounts.hashed(password)
    with database.write() as tx:
        user = accounts.find_user(tx, name)
        accounts.change_password(tx, user_id=user.id, password_hash=kept, by=BY, at=ids.now())
    if as_json:
        print_json({"id": user.id, "name": user.name, "password": password})
    else:
        say(f"{user.id} ({user.name}); hand the password over, it is shown this once")
        click.echo(password)


# --- prices ------------------------------------------------------------------------------------------


@click.group()
def prices() -> None:
    """What videos cost."""


@prices.command("set")
@click.option("--model", default="*", show_default=True, help="For this model only.")
@click.option("--size", default="*", show_default=True, metavar="WxH", help="For this size only.")
@click.option("--per-second", default="0", callback=MONEY, show_default=True, metavar="AMOUNT")
@click.option("--per-video", default="0", callback=MONEY, show_default=True, metavar="AMOUNT")
@as_json
@with_database
def set_price(
    database: Database, model: str, size: str, per_second: int, per_video: int, as_json: bool
) -> None:
    """Set a price for all videos that are asked for from now on.

    The more particular price holds: of a model before all models, of a size before all sizes. Videos that were
    asked for before cost what they did then.
    """
    from dataclasses import asdict

    from yozora.service import ids
    from yozora.service import prices as service

    with database.write() as tx:
        price = service.set_price(
            tx,
            model=model,
            size=size,
            per_second=per_second,
            per_video=per_video,
            by=BY,
            at=ids.now(),
        )
    print_json(asdict(price)) if as_json else say(f"price {price.version} holds from now on")


@prices.command("list")
@as_json
@with_database
def list_prices(database: Database, as_json: bool) -> None:
    """Show all prices there ever were, the newest first."""
    from dataclasses import asdict

    from yozora.service import prices as service

    with database.read() as tx:
        rows = [asdict(price) for price in service.listing(tx)]
    if as_json:
        print_json({"prices": rows})
    else:
        for row in rows:
            row |= {name: money(row[name]) for name in ("per_second", "per_video")}
        columns = ("version", "model", "size", "per_second", "per_video", "valid_from")
        print_table(map(readable, rows), columns)


# --- bills -------------------------------------------------------------------------------------------


@click.group()
def usage() -> None:
    """What was used and paid for."""


@usage.command("show")
@ORG
@MONTH
@as_json
@with_database
def show_usage(database: Database, org: str, month: str | None, as_json: bool) -> None:
    """Show a month's statement of an organisation: by day, key and model."""
    from dataclasses import asdict

    from yozora.service import accounts
    from yozora.service import usage as service

    with database.read() as tx:
        found = service.statement(tx, accounts.find_org(tx, org).id, this_month(month))
    if as_json:
        print_json(asdict(found))
        return
    rows = [asdict(line) | {"net": money(line.net)} for line in found.lines]
    print_table(rows, ("day", "key", "model", "videos", "net"))
    for name in ("opening", "deposits", "charged", "refunded", "closing", "held"):
        click.echo(f"{name:<12}{money(getattr(found, name)):>16}")


@usage.command("export")
@ORG
@MONTH
@click.option("--csv", "form", flag_value="csv", help="A table by day, key and model.")
@click.option("--events", "form", flag_value="events", help="Lines of JSON, as CloudEvents 1.0.")
@click.option("--json", "form", flag_value="json", help="The table as JSON.")
@with_database
def export_usage(database: Database, org: str, month: str | None, form: str | None) -> None:
    """Print what an organisation was charged for in a month, for other programs."""
    if form is None:
        raise click.UsageError("give --csv, --events or --json")
    from dataclasses import asdict

    from yozora.service import accounts
    from yozora.service import usage as service

    since, until = service.span(this_month(month))
    with database.read() as tx:
        org_id = accounts.find_org(tx, org).id
        if form == "events":
            for event in service.events(tx, org_id, since=since, until=until):
                click.echo(event)
            return
        table = service.lines(tx, org_id, since=since, until=until)
    if form == "csv":
        click.echo(service.to_csv(table), nl=False)
    else:
        print_json({"lines": [asdict(line) for line in table]})


@usage.command("refund")
@click.argument("video_id")
@ORG
@as_json
@with_database
def refund(database: Database, video_id: str, org: str, as_json: bool) -> None:
    """Give back what was taken for a finished video, once."""
    from yozora.service import accounts, ids, ledger

    with database.write() as tx:
        org_id = accounts.find_org(tx, org).id
        done = ledger.refund(tx, org_id=org_id, video_id=video_id, by=BY, at=ids.now())
    if as_json:
        print_json({"video": video_id, "refunded": done})
    else:
        say(f"refunded {video_id}" if done else f"{video_id}: nothing is left to give back")


@usage.command("check")
@as_json
@with_database
def check_usage(database: Database, as_json: bool) -> None:
    """Check that the book, what is set aside, and what is counted against limits agree.

    The exit status is 1 when they do not, which happens only when somebody changed the database by hand.
    """
    from yozora.service import ledger

    with database.read() as tx:
        wrong = ledger.check(tx)
    if as_json:
        print_json({"ok": not wrong, "violations": wrong})
    else:
        for line in wrong:
            click.echo(line)
        say(f"{len(wrong)} violations" if wrong else "all agrees")
    if wrong:
        raise SystemExit(1)
