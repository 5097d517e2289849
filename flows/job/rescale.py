"""Rescale: deals the users of stopped shards out to another number of shards.

All new shards get the items of the shard that knows the most, which are those of every shard up to a round. Each user
goes with history, factors and last list to the shard that owns the partition from which the user last came. The new
directories are written beside the target and renamed, so a rescale that is killed starts over.
"""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import numpy as np

from flows.errors import UsageError
from flows.job.stored_shard import StoredShard, read_shard, write_shard
from flows.kafka.murmur import partition_of
from flows.kafka.position import Position
from flows.messages import FALLBACK_USER
from flows.settings import Settings
from flows.shards.identity import Shard
from flows.shards.stored_link import StoredLink
from flows.state.atomic_files import sync_directory
from flows.state.stateful import Snapshot
from flows.steps.hashing import digest
from flows.steps.shard_learner import HOMES, LINK
from recmodels.fused.dealing import take_items, take_users
from recmodels.fused.model import FusedModel
from recmodels.kernels.shared import EVENTS
from recmodels.storage.id_table import RESERVED

logger = logging.getLogger(__name__)

BY_USER: Final = ("refresh", "emit")
"""Steps whose tables have a row for each user."""
ANEW: Final = ("attribution",)
"""Steps that begin anew."""


@dataclass
class Rescaled:
    """Result of a rescale."""

    users: list[int] = field(default_factory=list)
    """Users of each new shard."""
    generation: int = 0
    missing: dict[int, int] = field(default_factory=dict)
    """Messages of old shards that the others had not learned. What they say of items is lost."""

    def sentence(self, target: Path) -> str:
        """Say it in one line."""
        said = f"{sum(self.users):,} users in {len(self.users)} shards ({', '.join(map(str, self.users))}): {target}"
        if self.missing:
            each = ", ".join(f"{count} of shard {shard}" for shard, count in self.missing.items())
            said += f"; messages that nobody had learned: {each}"
        return said


def rescale(sources: Sequence[Path], shards: int, target: Path, settings: Settings) -> Rescaled:
    """Write the state of a new number of shards.

    Args:
        sources: Directories of all shards, of one process, or one directory that holds those of all shards.
        shards: Number of new shards.
        target: New directory. It gets a folder for each shard.
        settings: Those of the job.

    Raises:
        UsageError: The directories are not those of all shards of a job, or the target is there already.
    """
    if target.exists():
        raise UsageError(f"--to {target}: expected a new directory; it is there already. Name another.")
    old = _read(sources, settings)
    newest = max(old, key=lambda each: _events(_model(each)))
    dealer = _Dealer(old, newest, shards)
    done = Rescaled(generation=max(dealer.link_of(each).generation for each in old) + 1, missing=_missing(old, newest))
    for other in old:
        if other is not newest and (noted := _model(other).take_delta()):
            _model(newest).apply_delta(noted)
    new = target.with_name(f"{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a rescale that was killed
    new.mkdir(parents=True)
    for index in range(shards):
        positions = dealer.positions(index)
        records = dealer.records(index, settings, done, positions)
        job = {**newest.job, "shard": str(Shard(index, shards))}
        write_shard(new / f"shard-{index}", job, positions, records, newest.paths)
    new.rename(target)
    sync_directory(target.parent)
    return done


def _read(sources: Sequence[Path], settings: Settings) -> list[StoredShard]:
    directories = [each for source in sources for each in (sorted(source.glob("shard-*")) or [source])]
    old = [read_shard(directory, settings) for directory in directories]
    if len(old) > 1 and any(each.shard is None for each in old):
        raise UsageError("--from: expected the directories of all shards, or that of one process; got both.")
    expected = {str(Shard(index, len(old))) for index in range(len(old))}
    found = {str(each.shard) for each in old if each.shard is not None}
    if found and found != expected:
        raise UsageError(
            f"--from: expected the directories of all shards of a job; got {', '.join(sorted(found))}. Name each once."
        )
    for each in old:
        for name, wanted in (("model", settings.model), ("repeats", settings.repeats)):
            if each.job.get(name) != wanted:
                raise UsageError(
                    f"{each.directory}: expected the state of a job with {name} {wanted!r}; found "
                    f"{each.job.get(name)!r}. Set it so in the settings."
                )
    generations = {each.learner.stored.generation for each in old if each.learner.stored is not None}
    if len(generations) > 1:
        raise UsageError(
            f"--from: expected shards of one generation; got {sorted(generations)}: some are from before the last "
            "rescale. Name the directories that it wrote."
        )
    return old


def _model(shard: StoredShard) -> FusedModel:
    return cast("FusedModel", shard.learner.model)


def _events(model: FusedModel) -> int:
    return int(model.memory.state.shared.counters[EVENTS])


def _missing(old: Sequence[StoredShard], newest: StoredShard) -> dict[int, int]:
    learned = (newest.learner.stored or StoredLink()).peers
    found = {}
    for each in old:
        if each.shard is not None and each is not newest and each.learner.stored is not None:
            behind = each.learner.stored.own[0] - learned.get(each.shard.index, (0, 0, -1))[0]
            if behind > 0:
                found[each.shard.index] = behind
    return found


class _Dealer:
    """Says to which new shard each user goes, and makes the new states."""

    def __init__(self, old: Sequence[StoredShard], newest: StoredShard, shards: int) -> None:
        self.old = old
        self.newest = newest
        self.shards = shards
        self.dumps = [{step: state.dump() for step, state in each.states.items() if step != "learn"} for each in old]
        self.lists = [_lists_of(each) for each in old]
        sizes = [place[1] + 1 for each in old for place in each.offsets()]
        self.partitions = max(sizes, default=shards)
        self.owners: list[dict[str, int]] = [self._owners(each) for each in old]
        taken: dict[str, int] = {}
        for index in sorted(range(len(old)), key=lambda index: old[index] is not newest):
            for user in self.owners[index]:
                taken.setdefault(user, index)
        self.owners = [
            {user: owner for user, owner in owners.items() if taken[user] == index}
            for index, owners in enumerate(self.owners)
        ]
        self.by_digest = {digest(user): owner for owners in self.owners for user, owner in owners.items()}

    def link_of(self, shard: StoredShard) -> StoredLink:
        return shard.learner.stored or StoredLink()

    def _owners(self, shard: StoredShard) -> dict[str, int]:
        """Return the new shard of each user of an old one."""
        homes, owners = shard.learner.homes, {}
        partition, rows = homes.arrays["partition"], homes.ids.rows
        for user in _model(shard).memory.users.rows:
            row = rows.get(user)
            if row is not None:
                home = int(partition[row])
            elif shard.shard is not None:
                home = shard.shard.index
            else:
                home = partition_of(user.encode(), self.partitions)
            owners[user] = home % self.shards
        return owners

    def positions(self, index: int) -> dict[str, Any]:
        """Return the positions of a new shard's partitions."""
        found = {}
        for each in self.old:
            for place, (name, told) in each.offsets().items():
                if place[1] % self.shards == index:
                    foreign = {place: told.foreign[place]} if told.foreign and place in told.foreign else {}
                    own = Position({place: told.offsets[place]}, told.topic_ids, foreign)
                    plain = name.rpartition("/")[0] == "" and place[0] == each.job["input"]
                    found[str(place[1]) if plain else f"{place[0]}/{place[1]}"] = own.dump()
        return found

    def records(
        self, index: int, settings: Settings, done: Rescaled, positions: Mapping[str, Any]
    ) -> dict[str, Snapshot]:
        """Return the state of each step of a new shard."""
        place = self.old.index(self.newest)
        found: dict[str, Snapshot] = {}
        for step, record in self.dumps[place].items():
            dumps = [each.get(step, {}) for each in self.dumps]
            if step in ANEW:
                continue
            if step in BY_USER:
                found[step] = self._dealt(dumps, index)
            elif step == "clean":
                found[step] = self._dealt_ids(dumps, index)
            elif step == "clean.hold_back":
                found[step] = self._dealt_bots(dumps, index)
            else:
                found[step] = record
        model = settings.build_model()
        model.enable_deltas()
        fused = cast("FusedModel", model)
        take_items(fused, _model(self.newest))
        homes: list[tuple[str, int]] = []
        for each, owners in zip(self.old, self.owners, strict=True):
            users = [user for user, owner in owners.items() if owner == index]
            take_users(fused, _model(each), users)
            kept = each.learner.homes
            for user in users:
                row = kept.row(user)
                homes.append((user, int(kept.arrays["partition"][row]) if row else self._guess(each, user)))
        done.users.append(len(homes))
        link = StoredLink(
            generation=done.generation,
            positions={name: at for told in positions.values() for name, at in told["offsets"].items()},
        )
        found["learn"] = {
            **fused.dump(),
            **self._dealt(self.lists, index),
            **_homes(homes),
            LINK: np.frombuffer(msgspec.msgpack.encode(link), np.uint8),
        }
        return found

    def _guess(self, shard: StoredShard, user: str) -> int:
        return shard.shard.index if shard.shard is not None else partition_of(user.encode(), self.partitions)

    def _dealt(self, dumps: Sequence[Snapshot], index: int) -> Snapshot:
        """Deal out tables with a row for each user. Other arrays are those of the newest shard."""
        newest = dumps[self.old.index(self.newest)]
        tables = {name.removesuffix(".names") for dump in dumps for name in dump if name.endswith(".names")}
        prefixes = tuple(f"{table}." for table in tables)
        found = {name: array for name, array in newest.items() if not name.startswith(prefixes)}
        for name in ("turn", "counters", "lists.held.numbers"):
            if name in found:
                found[name] = np.max([dump[name] for dump in dumps if name in dump], axis=0)
        for table in tables:
            found |= self._dealt_table(dumps, table, index)
        return found

    def _dealt_table(self, dumps: Sequence[Snapshot], table: str, index: int) -> Snapshot:
        names: list[str] = []
        columns: dict[str, list[Any]] = {}
        for place, dump in enumerate(dumps):
            if f"{table}.names" not in dump:
                continue
            known = json.loads(dump[f"{table}.names"].tobytes())
            owner, is_newest = self.owners[place].get, self.old[place] is self.newest
            chosen = [
                row
                for row, name in enumerate(known)
                if name is not None and (is_newest if name == FALLBACK_USER else owner(name) == index)
            ]
            names += [known[row] for row in chosen]
            for key, array in dump.items():
                column = key.removeprefix(f"{table}.")
                if key.startswith(f"{table}.") and column not in ("names", "rows", "span"):
                    columns.setdefault(column, []).append(array[chosen])
        found = {f"{table}.{column}": np.concatenate(parts) for column, parts in columns.items()}
        found[f"{table}.rows"] = np.arange(RESERVED, RESERVED + len(names))
        found[f"{table}.names"] = np.frombuffer(json.dumps(names).encode(), np.uint8)
        return found if names else {}

    def _dealt_ids(self, dumps: Sequence[Snapshot], index: int) -> Snapshot:
        """Deal out the ids of events that were seen."""
        newest = dumps[self.old.index(self.newest)]
        size = int(newest["ring"][0])
        ids, users = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        for dump in dumps:
            if "ring" not in dump or len(dump["slots"]) == 0:
                continue
            order = np.argsort((dump["slots"] - dump["ring"][1]) % max(int(dump["ring"][0]), 1), kind="stable")
            kept = [at for at in order.tolist() if dump["ids"][at] and self._owner(dump["users"][at]) in (index, None)]
            ids, users = np.append(ids, dump["ids"][kept]), np.append(users, dump["users"][kept])
        ids, users = ids[-size:] if size else ids[:0], users[-size:] if size else users[:0]
        ring = np.array([size, len(ids) % max(size, 1)])
        return {**newest, "ring": ring, "slots": np.arange(len(ids)), "ids": ids, "users": users}

    def _dealt_bots(self, dumps: Sequence[Snapshot], index: int) -> Snapshot:
        """Deal out what is known of the pace of users. Each has a place by its digest."""
        newest = dumps[self.old.index(self.newest)]
        if "users.rows" not in newest:
            return newest
        rows: dict[int, tuple[Snapshot, int]] = {
            row: (newest, at) for at, row in enumerate(newest["users.rows"].tolist())
        }
        for dump in dumps:
            for at, row in enumerate(dump.get("users.rows", np.zeros(0, np.int64)).tolist()):
                if self._owner(dump["users.who"][at]) == index:
                    rows[row] = (dump, at)
        order = sorted(rows)
        columns = [name for name in newest if name.startswith("users.") and name != "users.rows"]
        dealt = {name: np.array([rows[row][0][name][rows[row][1]] for row in order]) for name in columns}
        return {**newest, **dealt, "users.rows": np.array(order, np.int64)}

    def _owner(self, user: Any) -> int | None:
        return self.by_digest.get(int(user))


def _lists_of(shard: StoredShard) -> Snapshot:
    return {name: array for name, array in shard.learner.dump_lists().items() if name.startswith("lists.")}


def _homes(homes: Sequence[tuple[str, int]]) -> Snapshot:
    count = len(homes)
    names = [user for user, _ in homes]
    return {
        f"{HOMES}.rows": np.arange(RESERVED, RESERVED + count),
        f"{HOMES}.names": np.frombuffer(json.dumps(names).encode(), np.uint8),
        f"{HOMES}.partition": np.array([home for _, home in homes], np.int32),
        f"{HOMES}.seen": np.arange(1, count + 1),
    }
