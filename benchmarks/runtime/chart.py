"""Draw a finished run: python -m benchmarks.runtime.chart RUN.json CHART.svg, from the last line of the benchmark's output."""

from __future__ import annotations

import html
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.runtime.peer import CALLERS
from benchmarks.runtime.report import ROWS

Medians = Mapping[str, Mapping[str, float]]
"""The measures of each peer."""
PANELS = {
    "drain": "more is better",
    f"single_{CALLERS}": "more is better",
    "bulk": "more is better",
    "idle_p50": "less is better",
    "load_p50": "less is better",
    "load_p99": "less is better",
    "load_cpu": "less is better",
    "wal": "less is better",
}
COLUMNS = 2
WIDTH, BAR, GAP, HEAD, NAMES, FIGURES = 420, 14, 6, 44, 100, 60
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2430 } .title { font-weight: 600; font-size: 13px } .hint { fill: #6b7280 }
rect { fill: #b8bfcc } .ours { fill: #c2562d } .limit { fill: #7d8799 }
@media (prefers-color-scheme: dark) { text { fill: #e6e8ee } .hint { fill: #9aa3b2 } rect { fill: #4b5567 }
.ours { fill: #e8804f } .limit { fill: #7d8799 } }
"""


def chart(medians: Medians) -> str:
    """An SVG with a panel for each measure, a bar for each peer, the best on top. The limit and ours have colours."""
    peers = len(medians)
    height = HEAD + peers * (BAR + GAP) + 16
    rows = -(-len(PANELS) // COLUMNS)
    panels = [
        f'<g transform="translate({place % COLUMNS * WIDTH + 8} {place // COLUMNS * height + 8})">{_panel(medians, key)}</g>'
        for place, key in enumerate(PANELS)
    ]
    size = f'width="{COLUMNS * WIDTH + 16}" height="{rows * height + 8}"'
    title = "<title>Limner's runtime beside other job queues on Postgres</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{title}{"".join(panels)}</svg>\n'


def _panel(medians: Medians, key: str) -> str:
    hint = PANELS[key]
    found = {peer: values[key] for peer, values in medians.items() if values.get(key)}
    ranked = sorted(found.items(), key=lambda each: each[1], reverse=hint.startswith("more"))
    most = max(found.values())
    lines = [
        f'<text class="title" y="12">{html.escape(ROWS[key].strip())}</text>',
        f'<text class="hint" y="28">{hint}</text>',
    ]
    for place, (peer, value) in enumerate(ranked):
        y = HEAD - 6 + place * (BAR + GAP)
        kind = {"limner": ' class="ours"', "bare": ' class="limit"'}.get(peer, "")
        length = max(value / most * (WIDTH - NAMES - FIGURES - 24), 1)
        lines.append(
            f'<text y="{y + 11}">{html.escape(peer)}</text>'
            f'<rect{kind} x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
            f'<text x="{NAMES + length + 6:.1f}" y="{y + 11}">{_figure(value)}</text>'
        )
    return "".join(lines)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8").strip().splitlines()[-1])
    Path(sys.argv[2]).write_text(chart(run["medians"]), encoding="utf-8")


if __name__ == "__main__":
    main()
