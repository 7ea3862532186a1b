"""An Analysis for people: scores, the F0 line drawn in the terminal, measures, feedback."""

import math

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.results import Analysis, FamilyResult, Measure, Score

WIDEST, HEIGHT = 96, 10  # characters of the F0 picture
MARGIN = 18  # characters beside it: frame and axis
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # braille cell: row, column
BAR = 24  # characters of a full score

HEADLINES = {
    "pitch": ("f0_median_hz", "f0_range_semitones", "voiced_fraction", "vibrato_rate_hz"),
    "timbre": ("hnr_db", "cpps_db", "jitter_local", "shimmer_local", "f1_hz", "f2_hz"),
    "clarity": ("snr_db", "bandwidth_hz", "intelligible_recording"),
    "prosody": ("f0_sd_semitones", "loudness_range_lu"),
    "fluency": ("speech_rate_sps", "articulation_rate_sps", "phonation_ratio"),
    "emotion": ("arousal", "valence"),
}


def show(analysis: Analysis, title: str, console: Console | None = None) -> None:
    where = console or Console()
    columns = min(where.width - MARGIN, WIDEST)
    where.print(Panel(Group(*_parts(analysis, columns)), title=title, padding=(1, 2)))


def _parts(analysis: Analysis, columns: int) -> list[RenderableType]:
    audio = analysis.audio
    head = f"{audio.duration_s:.2f} s, {audio.codec or 'pcm'} at {audio.source_sample_rate_hz} Hz"
    conditions = ", ".join(f"{key} {_value(v)}" for key, v in audio.conditions.items())
    parts: list[RenderableType] = [Text(f"{head}   {conditions}", style="dim"), Text()]
    parts += [Text(f"! {warning}", style="yellow") for warning in audio.warnings]
    if any(hz is not None for hz in analysis.pitch.f0_hz):
        parts += [f0_picture(analysis.pitch.f0_hz, analysis.pitch.hop_s, columns), Text()]
    if analysis.scores:
        parts += [_scores(analysis.scores), Text()]
    parts += [_measures(analysis), Text()]
    parts += _feedback(analysis)
    return parts


def f0_picture(f0_hz: list[float | None], hop_s: float, width: int) -> Text:
    """The F0 line in braille dots, log frequency upwards, time to the right."""
    voiced = [hz for hz in f0_hz if hz is not None]
    low, high = math.log2(min(voiced) * 0.94), math.log2(max(voiced) * 1.06)
    rows, columns = HEIGHT * 4, width * 2
    cells = [[0x2800] * width for _ in range(HEIGHT)]
    for i, hz in enumerate(f0_hz):
        if hz is None:
            continue
        x = min(i * columns // len(f0_hz), columns - 1)
        y = min(int((high - math.log2(hz)) / (high - low) * rows), rows - 1)
        cells[y // 4][x // 2] |= DOTS[y % 4][x % 2]
    picture = Text()
    for row, cell in enumerate(cells):
        hz = 2 ** (high - (row + 0.5) / HEIGHT * (high - low))
        picture.append(f"{hz:6.0f} Hz ", style="dim")
        picture.append("".join(map(chr, cell)).replace("\u2800", " ") + "\n", style="cyan")
    picture.append(f"{'0 s':>13}{len(f0_hz) * hop_s:>{width - 5}.1f} s", style="dim")
    return picture


def _scores(scores: dict[str, Score]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for name, score in scores.items():
        table.add_row(name.replace("_", " "), *_score(score))
    return table


def _score(score: Score) -> tuple[Text, str]:
    if score.value is None:
        reason = score.absent.reason if score.absent else "absent"
        return Text("not measured", style="dim"), f"[dim]{reason}[/dim]"
    filled = round(score.value / 100 * BAR)
    bar = Text("█" * filled, style="green") + Text("░" * (BAR - filled), style="dim")
    error = "" if score.standard_error is None else f" ± {score.standard_error:.0f}"
    return bar, f"{score.value:.0f}{error}"


def _measures(analysis: Analysis) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in ("family", "measures", "version"):
        table.add_column(column)
    for family in ("pitch", "timbre", "clarity", "prosody", "fluency", "emotion", "transcript"):
        result: FamilyResult = getattr(analysis, family)
        version = result.version
        stated = f"[dim]{version.version[:12]} {version.sha256[:8]}[/dim]" if version else ""
        table.add_row(family, _summary(family, result), stated)
    return table


def _summary(family: str, result: FamilyResult) -> str:
    if result.absent:
        return f"[dim]{result.absent.reason}[/dim] {result.absent.detail}"
    label = getattr(result, "label", None) or getattr(result, "text", "")
    chosen = (name for name in HEADLINES.get(family, ()) if name in result.measures)
    found = (f"{name} {_measure(result.measures[name])}" for name in chosen)
    return "  ".join(filter(None, [label, *found]))


def _measure(measure: Measure) -> str:
    unit = "" if measure.unit == "1" else f" {measure.unit}"
    return f"[bold]{_value(measure.value)}[/bold]{unit}"


def _value(value: object) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 100
        else (f"{value:.0f}" if isinstance(value, float) else str(value))
    )


def _feedback(analysis: Analysis) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for number, advice in enumerate(analysis.feedback[:3], start=1):
        lines.append(Text(f"{number}. {advice.finding}", style="bold"))
        lines.append(Text(f"   {advice.action}"))
    return lines
