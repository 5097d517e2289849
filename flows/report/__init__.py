"""The HTML report: one page that shows what replays found, and needs no network.

`flows.report.page.write_html` makes it. `measured` is what it needs of each replay; `bands` counts; `theme` says what
figures have in common; `quality`, `cost`, `blend`, `ranks`, `cold_start`, `popularity` and `lists` each make the
figures of one question; `page.html` is where they stand.
"""
