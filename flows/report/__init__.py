"""HTML report: one page with the results of replays, which needs no network.

`page.write_html` makes it. `data` holds the data of a replay, `binning` counts in bins, and `theme` has the common
style. `quality`, `cost`, `weights`, `ranks`, `cold_start`, `popularity`, `sample_lists` and `summary` each make the
figures of one question. `page.html` is the template.
"""
