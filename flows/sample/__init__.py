"""A recorded log to try things on: the first 30,000 ratings of MovieTweetings, with the films' titles.

MovieTweetings is (c) 2013 Simon Dooms under the MIT licence. See `TERMS.txt`. Users are numbered; nobody's name or
account is in it.
"""

from pathlib import Path
from typing import Final

EVENTS: Final = Path(__file__).parent / "events.csv.gz"
"""`user,item,timestamp,event,value`, sorted by time."""
ITEMS: Final = Path(__file__).parent / "items.csv.gz"
"""`item,title,genres`"""
