"""``report.html``: the whole report in one file that needs no network, for a browser and for paper."""
