"""Warm-up: compiles and loads the kernels before the first event."""

from recmodels.base import Example
from recmodels.fused.members import Content
from recmodels.kernels.compile import cache_directory
from recmodels.kernels.members.content import ITEM_TAGS


def are_kernels_compiled() -> bool:
    """Say whether the kernels of this version have been compiled on this machine before."""
    Content(max_users=1, max_items=1, max_pairs=1, max_tags=ITEM_TAGS).allocate()  # its layout names the cache
    directory = cache_directory()
    return directory is not None and any(directory.rglob("event_loop.process_batch*.nbc"))


def warm_up(takes_back: bool = False) -> None:
    """Load every kernel, and compile it if necessary, so that no event waits for it.

    Args:
        takes_back: Whether the kernel that takes interactions back is loaded, too. It is a quarter of the work.
    """
    model = Content(max_users=2, max_items=2, max_pairs=4, max_tags=ITEM_TAGS)
    model.step_many([Example("ann", "tea"), Example("bob", "jam"), Example("cat", "pie")], n=1)  # one too many
    model.learn_item("tea", available=False)
    model.learn_item("tea", available=True)
    model.learn_item("tea", {"tags": [f"tag {k}" for k in range(ITEM_TAGS)]})
    model.learn_item("tea", {"tags": ["one too many"]})
    model.top("ann", n=1)
    model.predict_one("ann", "tea")
    model.explain("ann", n=1)
    model.has_seen("ann", "tea")
    if takes_back:
        model.undo_one("ann", "tea")
    model.forget_one("cat")
