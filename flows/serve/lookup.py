"""Looks a user's list up: fresh if asked for, else the list that the topic holds."""

from collections.abc import Callable, Collection

from flows.messages import FALLBACK_USER
from flows.serve.fresh import FreshLists
from flows.serve.impressions import Impressions
from flows.serve.lists import UserList, parse_list
from flows.serve.lists_reader import ListsReader
from flows.serve.selection import Selection, select_list
from flows.serve.store import ListStore


class LookUp:
    """Answers with a user's list.

    Args:
        store: Where the lists are kept.
        reader: Keeps the store in step with the output topic.
        fresh: Asks the job for a list.
        impressions: Writes what was shown. None: nobody does.
    """

    def __init__(
        self, store: ListStore, reader: ListsReader, fresh: FreshLists, impressions: Impressions | None = None
    ) -> None:
        self.store = store
        self.reader = reader
        self.fresh = fresh
        self.impressions = impressions
        self.kinds: dict[str, int] = {"own": 0, "fallback": 0, "merged": 0, "none": 0}
        """Answers by kind."""

    async def find(
        self,
        user: str,
        n: int | None = None,
        exclude: Collection[str] = (),
        accepts: Callable[[str], bool] | None = None,
        *,
        is_fresh: bool = False,
        at: float | None = None,
    ) -> Selection:
        """Return a user's list.

        Args:
            user: The user's id.
            n: Most items. None: all.
            exclude: Items to leave out.
            accepts: Whether an item may be shown. None: all may.
            is_fresh: Whether to ask the job for a list first.
            at: Unix seconds of the visit, for a fresh list of a recorded log. None: now.

        Raises:
            ListStoreError: The store does not answer.
        """
        answer = await self.fresh.ask(user, at) if is_fresh else None
        if answer is not None and answer.found is not None:
            found = select_list(user, answer.found, None, answer.found.event_time, n, exclude, accepts)
            found.fresh = True
        else:
            own, fallback = await self.held(user)
            found = select_list(user, own, fallback, self.reader.newest, n, exclude, accepts)
            if answer is not None:
                found.fresh, found.fresh_fault = False, answer.fault
        self.kinds[found.kind] += 1
        if self.impressions is not None:
            self.impressions.write(found, self.reader.moment())
        return found

    async def peek(self, user: str) -> Selection:
        """Return the list that the topic holds, uncounted: nobody is shown it."""
        own, fallback = await self.held(user)
        return select_list(user, own, fallback, self.reader.newest)

    async def held(self, user: str) -> tuple[UserList | None, UserList | None]:
        """Return the user's own list and the fallback list, each None where there is none."""
        reader = self.reader
        if not reader.is_fallback_known:
            (value,) = await self.store.get([FALLBACK_USER])
            if not reader.is_fallback_known:  # the reader may have come across it meanwhile
                reader.fallback, reader.is_fallback_known = None if value is None else parse_list(value), True
        (own,) = await self.store.get([user])
        return None if own is None else parse_list(own), reader.fallback
