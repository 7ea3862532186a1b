"""The difference report as one HTML page that needs nothing else: no script, no font, no server."""

from collections.abc import Iterable, Sequence
from html import escape

from app.jobs.report import (
    Distribution,
    FamilyReport,
    Histogram,
    MeasureReport,
    Mover,
    OverallMover,
    Report,
    Unmeasured,
)

MINUS = "\u2212"
WIDTH, HEIGHT = 320, 84  # of a histogram, in its own units
QUIET = 0.05  # standard deviations: a mean that moved by less is drawn back

STYLE = """
:root{color-scheme:light dark;--page:#fafaf9;--card:#fff;--ink:#1c1917;--soft:#6b645e;
--line:#e7e5e4;--old:#a8a29e;--new:#4f46e5;--up:#0f766e;--down:#b45309;--bad:#b91c1c}
@media(prefers-color-scheme:dark){:root{--page:#151412;--card:#1e1c1a;--ink:#f1efec;--soft:#a8a29e;
--line:#33302d;--old:#78716c;--new:#a5b4fc;--up:#5eead4;--down:#fbbf24;--bad:#fca5a5}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
-webkit-text-size-adjust:100%;font-variant-numeric:tabular-nums}
main{max-width:72rem;margin:0 auto;padding:2.5rem 1.25rem 5rem}
h1{font-size:1.75rem;line-height:1.2;letter-spacing:-.02em;margin:0 0 .25rem}
h2{font-size:1.25rem;letter-spacing:-.01em;margin:3rem 0 .25rem;text-transform:capitalize}
h3{font-size:1rem;margin:0;font-weight:600;overflow-wrap:anywhere}
p{margin:.25rem 0}.soft{color:var(--soft)}small{font-size:.8125rem}
code{font:.8125rem/1.4 ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}
a{color:var(--new);text-underline-offset:.15em}a:focus-visible,summary:focus-visible{outline:2px
solid var(--new);outline-offset:2px;border-radius:2px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:1px;
background:var(--line);border:1px solid var(--line);border-radius:.75rem;overflow:hidden;
margin:1.5rem 0 0;padding:0}
.facts div{background:var(--card);padding:.875rem 1rem}
.facts dt{color:var(--soft);font-size:.8125rem}.facts dd{margin:0;font-size:1.5rem;font-weight:600;
letter-spacing:-.02em}.facts dd.bad{color:var(--bad)}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin:1.25rem 0 0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr));gap:1rem;
margin-top:1rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1rem;
min-width:0}
.head{display:flex;justify-content:space-between;gap:.75rem;align-items:baseline}
.effect{font-weight:600;white-space:nowrap;font-size:.875rem}
.up{color:var(--up)}.down{color:var(--down)}
svg{display:block;width:100%;height:auto;margin:.625rem 0 0}
.scale{display:flex;justify-content:space-between;font-size:.75rem;color:var(--soft)}
.old{fill:var(--old);opacity:.45}.new{fill:none;stroke:var(--new);stroke-width:1.75;
stroke-linejoin:round}.base{stroke:var(--line)}.at-old{stroke:var(--old);stroke-dasharray:3 3;
stroke-width:1.5}.at-new{stroke:var(--new);stroke-dasharray:3 3;stroke-width:1.5}
.pair{display:grid;grid-template-columns:auto 1fr 1fr;gap:.125rem .75rem;margin:.75rem 0 0;
font-size:.875rem}.pair span{text-align:right}.pair span:nth-child(3n+1){text-align:left;
color:var(--soft)}
details{margin-top:.75rem;border-top:1px solid var(--line);padding-top:.5rem}
summary{cursor:pointer;font-size:.875rem;color:var(--soft);min-height:1.75rem}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.75rem;
margin-top:.75rem}
table{border-collapse:collapse;width:100%;font-size:.875rem}
caption{text-align:left;padding:0 0 .25rem;color:var(--soft)}
th,td{padding:.5rem .75rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}tr:last-child td{border-bottom:0}
th{color:var(--soft);font-weight:500}td.text{white-space:normal;text-align:left;min-width:12rem}
details table th,details table td{padding:.25rem .375rem}
.key{display:inline-flex;gap:1.25rem;margin-top:.75rem}.key i{display:inline-block;width:.875rem;
height:.625rem;border-radius:2px;margin-right:.375rem;background:var(--old);opacity:.6}
.key span+span i{background:none;border:2px solid var(--new);opacity:1}
@media(max-width:40rem){main{padding-top:1.5rem}.wide table,.wide tbody,.wide tr,.wide td{
display:block}.wide thead{display:none}.wide tr{padding:.625rem .75rem;border-bottom:1px solid
var(--line)}.wide tr:last-child{border-bottom:0}.wide td{display:flex;justify-content:space-between;
gap:1rem;border:0;padding:.125rem 0;white-space:normal;text-align:right}.wide td::before{
content:attr(data-label);color:var(--soft);text-align:left}.wide td.text{min-width:0;
text-align:right}}
@media print{.card,.wide{break-inside:avoid}details{display:none}}
"""


def html(report: Report) -> str:
    families = report.families
    title = "Reanalysis: what changed"
    body = "".join(
        (
            f"<header><h1>{title}</h1>",
            f'<p class="soft"><code>{escape(report.job_id)}</code> · ',
            f"<time>{report.made_at:%Y-%m-%d %H:%M} UTC</time></p>",
            _facts(report),
            _contents(families),
            _KEY,
            "</header>",
            _movers_section(report.biggest_movers),
            *map(_family, families),
            _failures(report.failures, report.failed),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    )


_KEY = (
    '<p class="key soft"><span><i></i>before</span><span><i></i>after</span></p>'
    '<p class="soft"><small>Histograms show takes that both versions measured; dashed lines are '
    "medians. SD: the change in standard deviations of the values before.</small></p>"
)


def _facts(report: Report) -> str:
    compared = sum(sum(family.compared_with.values()) for family in report.families)
    lost = sum(family.no_longer_measured for family in report.families)
    cells = (
        ("recordings", report.recordings, False),
        ("results", report.results, False),
        ("compared", compared, False),
        ("newly measured", sum(family.newly_measured for family in report.families), False),
        ("no longer measured", lost, lost > 0),
        ("failed", report.failed, report.failed > 0),
    )
    shown = (
        f"<div><dt>{name}</dt><dd{' class=bad' if bad else ''}>{count:,}</dd></div>"
        for name, count, bad in cells
    )
    return f'<dl class="facts">{"".join(shown)}</dl>'


def _contents(families: Sequence[FamilyReport]) -> str:
    links = (f'<a href="#{family.family}">{family.family}</a>' for family in families)
    return f'<nav aria-label="Families">{"".join(links)}</nav>'


def _movers_section(movers: Sequence[OverallMover]) -> str:
    if not movers:
        return '<p class="soft">No recording moved.</p>'
    head = ("recording", "measure", "before", "after", "shift")
    rows = (
        (
            _link(mover.recording, mover.recording_id),
            escape(f"{mover.family}.{mover.measure}"),
            _with_unit(mover.before, mover.unit),
            _with_unit(mover.after, mover.unit),
            _sigmas(mover.shift),
        )
        for mover in movers[:20]
    )
    return f"<section><h2>Biggest movers</h2>{_table(head, rows)}</section>"


def _family(family: FamilyReport) -> str:
    old = ", ".join(
        f"version {escape(version)} ({count:,})"
        for version, count in sorted(family.compared_with.items(), key=lambda item: -item[1])
    )
    quiet = [m for m in family.measures if m.before and abs(m.effect or 0) < QUIET]
    loud = [m for m in family.measures if m not in quiet]
    return "".join(
        (
            f'<section id="{family.family}"><h2>{family.family}</h2>',
            f"<p>Version {escape(family.version)} <code>{escape(family.sha256[:12])}</code> "
            f"beside {old or 'nothing: no other version has measured these recordings'}.</p>",
            f'<p class="soft">{family.results:,} results, {family.first:,} of them the first, '
            f"{family.newly_measured:,} newly measured, {family.no_longer_measured:,} no longer, "
            f"{family.failed:,} failed.</p>",
            _lost(family.lost),
            _labels(family.labels),
            f'<div class="cards">{"".join(map(_card, loud))}</div>' if loud else "",
            _quiet(quiet),
            "</section>",
        )
    )


def _quiet(measures: Sequence[MeasureReport]) -> str:
    if not measures:
        return ""
    cards = "".join(map(_card, measures))
    return (
        f"<details><summary>{len(measures)} measures whose mean moved by less than {QUIET:g} SD"
        f'</summary><div class="cards">{cards}</div></details>'
    )


def _card(measure: MeasureReport) -> str:
    unit = "" if measure.unit == "1" else f' <span class="soft">{escape(measure.unit)}</span>'
    effect = "" if measure.effect is None else _sigmas(measure.effect)
    return "".join(
        (
            f'<article class="card"><div class="head"><h3>{escape(measure.measure)}{unit}</h3>',
            f'<span class="effect">{effect}</span></div>',
            _picture(measure),
            f'<div class="scale"><span>{_number(measure.histogram.low)}</span>'
            f"<span>{_number(measure.histogram.high)}</span></div>",
            _figures(measure),
            _movers(measure.movers),
            "</article>",
        )
    )


def _picture(measure: MeasureReport) -> str:
    """Before as an area, after as a line, medians dashed; told in words to who cannot see it."""
    found, top = measure.histogram, max(*measure.histogram.before, *measure.histogram.after, 1)
    before = f"Before: median {_number(measure.before.median)}. " if measure.before else ""
    words = f"{measure.measure}. {before}After: median {_number(measure.after.median)}."
    lines = (
        _line(found, measure.before, "at-old") if measure.before else "",
        _line(found, measure.after, "at-new"),
    )
    base = HEIGHT - 0.5
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(words)}</title>'
        f'<line class="base" x1="0" x2="{WIDTH}" y1="{base}" y2="{base}"/>'
        f'<path class="old" d="{_steps(found.before, top)}Z"/>'
        f'<path class="new" d="{_steps(found.after, top)}"/>{"".join(lines)}</svg>'
    )


def _steps(counts: Sequence[int], top: int) -> str:
    """The outline of a histogram, from the base line back to it."""
    step = WIDTH / len(counts)
    parts = [f"M0 {HEIGHT}"]
    for i, count in enumerate(counts):
        y = HEIGHT - count / top * (HEIGHT - 4)
        parts.append(f"L{i * step:.1f} {y:.1f}L{(i + 1) * step:.1f} {y:.1f}")
    return "".join([*parts, f"L{WIDTH} {HEIGHT}"])


def _line(found: Histogram, values: Distribution, name: str) -> str:
    x = WIDTH * (min(max(values.median, found.low), found.high) - found.low)
    x /= found.high - found.low
    return f'<line class="{name}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}"/>'


def _figures(measure: MeasureReport) -> str:
    if measure.before is None or measure.change is None:
        head = f"<span></span><span></span><span>after ({measure.after.count:,})</span>"
        return f'<div class="pair">{head}{_rows(None, measure.after)}</div>'
    change, pairs = measure.change, measure.after.count
    return (
        f'<div class="pair"><span></span><span>before</span><span>after</span>'
        f"{_rows(measure.before, measure.after)}</div>"
        f'<p class="soft"><small>{measure.changed:,} of {pairs:,} changed; by '
        f"{_signed(change.mean)} ± {_number(change.sd)} on average</small></p>"
    )


def _rows(before: Distribution | None, after: Distribution) -> str:
    names = (("median", "median"), ("mean", "mean"), ("5 % and 95 %", ""))
    cells = []
    for shown, name in names:
        cells.append(f"<span>{shown}</span>")
        for values in (before, after):
            cells.append(f"<span>{_cell(values, name)}</span>")
    return "".join(cells)


def _cell(values: Distribution | None, name: str) -> str:
    if values is None:
        return "&ndash;"
    if not name:
        return f"{_number(values.p05)} to {_number(values.p95)}"
    return _number(getattr(values, name))


def _movers(movers: Sequence[Mover]) -> str:
    if not movers:
        return ""
    rows = (
        (
            _link(mover.recording, f"…{mover.recording_id[-8:]}"),
            _number(mover.before),
            _number(mover.after),
            _signed(mover.change),
        )
        for mover in movers
    )
    table = _plain_table(("recording", "before", "after", "change"), rows)
    return f"<details><summary>Movers</summary>{table}</details>"


def _lost(links: Sequence[str]) -> str:
    if not links:
        return ""
    items = " ".join(_link(link, f"…{link[-8:]}") for link in links)
    return f"<details><summary>No longer measured</summary><p>{items}</p></details>"


def _labels(labels: dict[str, dict[str, int]]) -> str:
    """From each label before to each label after, where a family gives labels."""
    if not labels:
        return ""
    columns = sorted({name for after in labels.values() for name in after} | labels.keys())
    rows = (
        (escape(before), *(f"{after.get(name, 0):,}" for name in columns))
        for before, after in labels.items()
    )
    return _table(("before, and after:", *columns), rows)


def _failures(failures: Sequence[Unmeasured], count: int) -> str:
    if not failures:
        return ""
    rows = (
        (
            _link(failure.recording, failure.recording_id),
            failure.family,
            escape(failure.detail),
        )
        for failure in failures
    )
    more = f'<p class="soft">The first {len(failures)} of {count:,}.</p>'
    shown = _table(("recording", "family", "why"), rows, text=2)
    return f"<section><h2>Failed</h2>{more if count > len(failures) else ''}{shown}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], text: int = -1) -> str:
    """On a phone each row becomes a block that names its cells. Cells are HTML, heads are not."""
    names = [escape(name) for name in head]
    cells = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{name}"{" class=text" if i == text else ""}><span>{cell}</span></td>'
            for i, (name, cell) in enumerate(zip(names, row, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{cells}</tbody></table></div>"
    )


def _plain_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table>"


def _link(address: str, shown: str) -> str:
    return f'<a href="{escape(address)}"><code>{escape(shown)}</code></a>'


def _with_unit(value: float, unit: str) -> str:
    return _number(value) + ("" if unit == "1" else f" {escape(unit)}")


def _sigmas(value: float) -> str:
    way = "up" if value > 0 else "down"
    return f'<span class="{way if abs(value) >= QUIET else "soft"}">{_signed(value, 2)} SD</span>'


def _signed(value: float, digits: int = 4) -> str:
    return ("+" if value > 0 else MINUS if value < 0 else "±") + _number(abs(value), digits)


def _number(value: float, digits: int = 4) -> str:
    """Four figures, and none after the point that say nothing."""
    if value == 0:
        return "0"
    if abs(value) >= 10**digits or abs(value) < 1e-4:
        return (
            f"{value:.{digits - 1}e}".replace("-", MINUS) if abs(value) < 1e-4 else f"{value:,.0f}"
        )
    return f"{value:.{digits}g}".replace("-", MINUS)
