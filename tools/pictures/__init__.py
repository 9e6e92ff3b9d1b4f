"""``make pictures``: the demo runs once, and docs/images are drawn from what it printed and what it exported.

A terminal recording (``recording``), and each dashboard of the chart: Prometheus scrapes the demo's pods
(``scraping``), is asked for what the panels ask (``questions``, ``panels``), and the answers are drawn on the
dashboard's grid (``drawing``). That is not Grafana: colours, layout and units are alike, no more.
"""
