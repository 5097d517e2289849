"""Table of the members for `docs/models.md`, generated from their declarations.

python -m recmodels.kernels.member_table
"""

import sys

from recmodels.kernels.state import MEMBERS


def member_table() -> str:
    """Return the table in Markdown.

    >>> print(member_table()[:39])
    | member | its columns | it proposes |
    """
    rows = [("member", "its columns", "it proposes"), ("---",) * 3]
    rows += [(member.name, member.says, member.offers) for member in MEMBERS]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows).replace("| --- | --- | --- |", "|---|---|---|")


if __name__ == "__main__":
    sys.stdout.write(f"{member_table()}\n")
