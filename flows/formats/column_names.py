"""Common names of columns and JSON fields, by the field that they hold. They are guessed only where one fits."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

COMMON: Final[Mapping[str, tuple[str, ...]]] = {
    "user": (
        *("user", "userid", "uid", "username", "visitor", "visitorid", "customer", "customerid", "member", "memberid"),
        *("reviewerid", "accountid", "clientid", "buyerid", "shopperid", "personid", "playerid", "listenerid"),
    ),
    "item": (
        *("item", "itemid", "product", "productid", "article", "articleid", "movie", "movieid", "film", "filmid"),
        *("asin", "parentasin", "sku", "stockcode", "video", "videoid", "book", "bookid", "isbn", "track", "trackid"),
        *("song", "songid", "content", "contentid", "newsid", "postid", "offerid", "listingid", "venueid", "gameid"),
        *("businessid", "clickarticleid"),
    ),
    "timestamp": (
        *("timestamp", "time", "ts", "datetime", "date", "unixtime", "unixreviewtime", "epoch", "eventtime"),
        *("eventtimestamp", "createdat", "occurredat", "createdtime", "clicktimestamp", "timestampms", "invoicedate"),
        *("eventdate", "visitdate", "orderdate", "reviewtime"),
    ),
    "event": ("event", "eventtype", "eventname", "action", "actiontype", "behavior", "behaviour", "behaviortype"),
    "value": ("value", "rating", "overall", "stars"),
    "session": ("session", "sessionid"),
}
"""As `plain` writes them: in lower case, letters and digits only."""
REQUIRED: Final = ("user", "item", "timestamp")


def plain(name: str) -> str:
    """Write a name as `COMMON` does.

    >>> plain("User-ID"), plain("unixReviewTime"), plain("click_timestamp")
    ('userid', 'unixreviewtime', 'clicktimestamp')
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def field_of(name: str) -> str | None:
    """Return the field that a name commonly holds.

    >>> field_of("articleId"), field_of("colour")
    ('item', None)
    """
    wanted = plain(name)
    return next((field for field, names in COMMON.items() if wanted in names), None)


def guess(names: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Guess the columns of missing required fields, if there is only one choice for each.

    Where one of them is guessed, the other fields are, too.

    Args:
        names: All names there are.
        known: Field to name, as far as they are known.

    >>> guess(["userId", "movieId", "rating", "timestamp"], {"timestamp": "timestamp"})
    {'user': 'userId', 'item': 'movieId', 'value': 'rating'}
    >>> guess(["userId", "movieId", "productId", "time"], {})
    {'user': 'userId', 'timestamp': 'time'}
    """
    free = [name for name in dict.fromkeys(names) if name not in known.values()]
    found: dict[str, str] = {}
    for field in COMMON:
        fitting = [name for name in free if field_of(name) == field]
        if field not in known and len(fitting) == 1:
            found[field] = fitting[0]
    return found if any(field in found for field in REQUIRED) else {}


def likely(field: str, names: Iterable[str]) -> str:
    """Return the name that is the likeliest for a field, for advice.

    >>> likely("user", ["user.id", "at"]), likely("item", ["user", "at"])
    ('user.id', 'NAME')
    """
    every = list(names)
    common = [name for name in every if field in (field_of(name.rpartition(".")[2]), field_of(name))]
    alike = [name for name in every if field in name.lower() and name != field]
    return next(iter(common + alike), "NAME")
