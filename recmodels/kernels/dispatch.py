"""Dispatch to the members: for each function, such as `score`, one kernel that calls it for every member in use.

The source of these kernels is generated from `ALL_MEMBERS`, with one call a member. numba cannot cache a loop over
members of different types. `source` shows the generated code.
"""

import linecache
from collections.abc import Callable
from typing import Any

from recmodels.kernels.compile import kernel
from recmodels.kernels.layout import Int32, Marks
from recmodels.kernels.shared import Event, Undone
from recmodels.kernels.state import ALL_MEMBERS, State


def source(function: str, arguments: str) -> str:
    """Return the source of the kernel that calls a function of all members.

    >>> print(source("hide", "item"))
    def hide(state, item):
        shared = state.shared
        if shared.is_used[0]:
            popularity_hide(state.popularity, shared, item)
    """
    lines = [f"def {function}(state, {arguments}):", "    shared = state.shared"]
    numbered = list(enumerate(ALL_MEMBERS))
    if function == "propose":
        numbered.sort(key=lambda pair: pair[1].turn)
    for place, member in numbered:
        if getattr(member, function) is not None:
            lines.append(f"    if shared.is_used[{place}]:")
            lines.append(f"        {member.name}_{function}(state.{member.name}, shared, {arguments})")
    return "\n".join(lines)


def _for_each(function: str, arguments: str) -> Callable[..., None]:
    code, file = source(function, arguments), f"<{__name__}.{function}>"
    names: dict[str, Any] = {f"{member.name}_{function}": getattr(member, function) for member in ALL_MEMBERS}
    linecache.cache[file] = len(code), None, code.splitlines(keepends=True), file  # for numba's error messages
    exec(compile(code, file, "exec"), names)  # the code holds our own names only
    written: Callable[..., None] = kernel(names[function])
    return written


propose: Callable[[State, int], None] = _for_each("propose", "user")
score: Callable[[State, int], None] = _for_each("score", "user")
learn: Callable[[State, Event], None] = _for_each("learn", "event")
count: Callable[[State, Event, Int32], None] = _for_each("count", "event, recent")
describe: Callable[[State, int, Int32], None] = _for_each("describe", "item, tags")
begin: Callable[[State, int], None] = _for_each("begin", "item")
take_back: Callable[[State, Undone], None] = _for_each("take_back", "undone")
hide: Callable[[State, int], None] = _for_each("hide", "item")
show: Callable[[State, int], None] = _for_each("show", "item")
drop_items: Callable[[State, Marks], None] = _for_each("drop_items", "gone")
drop_tags: Callable[[State, Marks], None] = _for_each("drop_tags", "gone")
