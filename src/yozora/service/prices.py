"""What a video costs. Prices are only ever added: what a video was reserved at stays what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from sqlalchemy import Connection, bindparam, select

from yozora.errors import YozoraError
from yozora.service import audit
from yozora.service.ledger import MOST
from yozora.service.schema import prices

ANY = "*"


@dataclass(frozen=True)
class Price:
    """A row of the table: micro-units a second and a video, from a time on."""

    version: int
    model: str
    size: str
    per_second: int
    per_video: int
    valid_from: int
    created_by: str

    def of(self, seconds: float | str) -> int:
        """Micro-units for a video of that length: whole milliseconds are paid for, and what is begun is rounded up.

        Raises:
            YozoraError: the seconds are no length, or the video would cost more than can be counted.
        """
        per_second = -(-self.per_second * milliseconds(seconds) // 1000)
        amount = self.per_video + per_second
        if amount > MOST:
            raise YozoraError(f"A video of {seconds} seconds costs more than {MOST} micro-units.")
        return amount


CURRENT = (  # built once, so that SQLAlchemy need not compile it again
    select(prices)
    .where(
        prices.c.model.in_((bindparam("of_model"), ANY)),
        prices.c.size.in_((bindparam("of_size"), ANY)),
        prices.c.valid_from <= bindparam("at"),
    )
    .order_by(
        (prices.c.model == ANY).asc(),
        (prices.c.size == ANY).asc(),
        prices.c.valid_from.desc(),
        prices.c.version.desc(),
    )
    .limit(1)
)


def price(
    tx: Connection, model: str, size: str, seconds: float | str, at: int
) -> tuple[int, int | None]:
    """What a video costs in micro-units, and by which version of the table; (0, None) where no price is set.

    Raises:
        YozoraError: the seconds are no length.
    """
    found = current(tx, model, size, at)
    if found is None:
        milliseconds(seconds)
        return 0, None
    return found.of(seconds), found.version


def current(tx: Connection, model: str, size: str, at: int) -> Price | None:
    """The price of a model's videos of a size at a time.

    A price of the model goes before one of all models, then a price of the size before one of all sizes; among those
    left the one holds that began last by ``at``, and of two that began at once the one that was set last.
    """
    found = tx.execute(CURRENT, {"of_model": model, "of_size": size, "at": at}).first()
    return None if found is None else Price(**found._mapping)


def set_price(
    tx: Connection,
    *,
    model: str = ANY,
    size: str = ANY,
    per_second: int = 0,
    per_video: int = 0,
    valid_from: int | None = None,
    by: str,
    at: int,
) -> Price:
    """Add a price, in micro-units, for a model and a size or for all (``*``), from now or a later time on.

    Raises:
        YozoraError: an amount is out of range, or the price would have begun before now.
    """
    if not (0 <= per_second <= MOST and 0 <= per_video <= MOST):
        raise YozoraError(f"A price lies between 0 and {MOST} micro-units.")
    begins = at if valid_from is None else valid_from
    if begins < at:
        raise YozoraError("A price cannot begin in the past: videos were sold at the old one.")
    row = {"model": model, "size": size, "per_second": per_second, "per_video": per_video}
    row |= {"valid_from": begins, "created_by": by}
    version = tx.execute(prices.insert().values(row).returning(prices.c.version)).scalar_one()
    audit.note(
        tx, org_id=None, actor=by, action="price.set", target=str(version), at=at, detail=row
    )
    return Price(version=version, **row)  # type: ignore[arg-type]


def listing(tx: Connection) -> Sequence[Price]:
    """All prices there ever were, the newest first."""
    rows = tx.execute(select(prices).order_by(prices.c.version.desc()))
    return [Price(**row._mapping) for row in rows]


def milliseconds(seconds: float | str) -> int:
    """A length in whole milliseconds, rounded up. Raises YozoraError when it is none, or longer than eleven days."""
    try:
        exact = Decimal(str(seconds))
        if exact.is_finite() and 0 <= exact <= 10**6:
            return int(exact.quantize(Decimal("0.001"), ROUND_CEILING) * 1000)
    except InvalidOperation:
        pass
    raise YozoraError(f"'{str(seconds)[:40]}' is no length in seconds: give a number such as 4.")
