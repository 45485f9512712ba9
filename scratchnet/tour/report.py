"""The output of a tour: one self-contained HTML page, and all numbers in ``results.json``.

The page is rewritten after every section, so an interrupted tour leaves a readable page that says what is missing.
Sentences about results are templates: their figures come only from the section's numbers.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet import plots

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.figure import Figure

    from scratchnet.tour.data import TourData

__all__ = [
    "Chapter",
    "LeftOut",
    "Number",
    "Picture",
    "Progress",
    "Report",
    "Section",
    "Table",
    "Tell",
    "to_html",
    "to_svg",
]


@dataclass(frozen=True)
class Number:
    """A result: what it is, its value (or the name of a class) and its unit ("" for pure numbers).

    ``format`` is the format in which page and sentences show it.
    """

    label: str
    value: float | int | str | None
    unit: str = ""
    format: str = ".3f"

    def __post_init__(self) -> None:
        value = int(self.value) if isinstance(self.value, np.integer) else self.value
        if not (value is None or isinstance(value, int | str)):
            value = float(value)
            if not math.isfinite(value):
                value = None  # JSON has no NaN; missing results are shown as a dash
        object.__setattr__(self, "value", value)

    def __format__(self, spec: str) -> str:
        if self.value is None or isinstance(self.value, str):
            return self.value or "–"
        text = format(self.value, spec or ("," if isinstance(self.value, int) else self.format))
        return text.replace("-", "−")

    def __str__(self) -> str:
        return format(self, "")

    def __float__(self) -> float:
        return math.nan if self.value is None or isinstance(self.value, str) else float(self.value)


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure, or the bytes of a GIF, with a description (``alt``) and a caption; None once drawn."""

    figure: Figure | bytes | None
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Table:
    """Numbers side by side: each row has a name and the keys of its numbers, one per column."""

    columns: Sequence[str]
    rows: Mapping[str, Sequence[str]]


@dataclass
class Section:
    """One experiment: ``says`` introduces it, in HTML; ``sees`` states the results, as a template with ``{key}``
    in place of each number.

    ``facts`` are figures that sentences need and that are not results, such as a chosen width.
    """

    name: str
    says: str
    sees: str
    numbers: dict[str, Number]
    code: str
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    drawn: list[str] = field(default_factory=list, init=False)

    def sentences(self) -> str:
        """``sees`` with its numbers filled in."""
        return self.sees.format_map({**self.facts, **self.numbers})

    def single_numbers(self) -> list[Number]:
        """The numbers that are not in a table."""
        tabled = {key for table in self.tables for row in table.rows.values() for key in row}
        return [number for key, number in self.numbers.items() if key not in tabled]


@dataclass(frozen=True)
class LeftOut:
    """A section that is impossible with this data, and why."""

    name: str
    reason: str


Tell = Callable[[str], None]
"""Shows the current activity beside the progress bar."""


@dataclass(frozen=True)
class Chapter:
    """A chapter: ``run(data, seed, tell)`` yields its sections, whose titles are known before it starts.

    ``headline`` names its main numbers, as "section.key".
    """

    name: str
    title: str
    lectures: str
    lead: str
    sections: Mapping[str, str]
    headline: Sequence[str]
    run: Callable[[TourData, int, Tell], Iterator[Section | LeftOut]]


@dataclass
class Progress:
    """The sections of a chapter that are done."""

    chapter: Chapter
    done: dict[str, Section | LeftOut] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False

    def missing(self) -> list[str]:
        return [] if self.finished else [t for name, t in self.chapter.sections.items() if name not in self.done]

    def headline(self) -> list[Number]:
        found = []
        for path in self.chapter.headline:
            section, _, key = path.partition(".")
            part = self.done.get(section)
            if isinstance(part, Section) and key in part.numbers:
                found.append(part.numbers[key])
        return found


@dataclass
class Report:
    """The chapters of one tour, and the environment and data it ran with (``about``: name -> text, for the footer)."""

    title: str
    about: dict[str, str]
    chapters: list[Progress]

    def add(self, progress: Progress, part: Section | LeftOut) -> None:
        """Add a section and turn its figures into SVG."""
        if part.name not in progress.chapter.sections:
            raise KeyError(f"chapter {progress.chapter.name!r} has no section {part.name!r}")
        if isinstance(part, Section):
            prefix = f"{progress.chapter.name}-{part.name}"
            drawn = [(p, p.figure) for p in part.pictures if p.figure is not None]
            part.drawn = [to_html(figure, f"{prefix}-{i}", p.alt) for i, (p, figure) in enumerate(drawn)]
            part.pictures = [Picture(None, p.alt, p.caption) for p in part.pictures]
        progress.done[part.name] = part

    def missing(self) -> list[str]:
        """Titles of the missing chapters and sections."""
        found = []
        for progress in self.chapters:
            if not progress.done and not progress.finished:
                found.append(progress.chapter.title)
            else:
                found += [f"{progress.chapter.title}: {title}" for title in progress.missing()]
        return found

    def results(self) -> dict[str, Any]:
        """All numbers with their units: chapters -> sections -> numbers."""
        chapters = {}
        for progress in self.chapters:
            sections: dict[str, Any] = {}
            for name, part in progress.done.items():
                if isinstance(part, LeftOut):
                    sections[name] = {"left_out": part.reason}
                else:
                    sections[name] = {
                        key: {"value": n.value, "unit": n.unit or "1", "what": n.label}
                        for key, n in part.numbers.items()
                    }
            chapters[progress.chapter.name] = {
                "seconds": round(progress.seconds, 2),
                "finished": progress.finished,
                "sections": sections,
            }
        return {"about": self.about, "missing": self.missing(), "chapters": chapters}

    def html(self) -> str:
        """The page as HTML."""
        return _template().render(report=self, palette=plots.PALETTE, is_left_out=lambda p: isinstance(p, LeftOut))

    def write(self, folder: Path) -> Path:
        """Write ``index.html`` and ``results.json`` into ``folder``; readers never see a partly written file."""
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "index.html"
        for path, text in (
            (page, self.html()),
            (folder / "results.json", json.dumps(self.results(), indent=2, ensure_ascii=False, allow_nan=False)),
        ):
            partial = path.with_name(path.name + ".partial")
            partial.write_text(text + "\n", encoding="utf-8")
            os.replace(partial, path)
        return page


@cache
def _template() -> Template:
    import jinja2

    source = files("scratchnet.tour").joinpath("template.html.j2").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)


def to_html(figure: Figure | bytes, prefix: str, alt: str) -> str:
    """A figure as inline SVG, a GIF as an inline image."""
    if isinstance(figure, bytes):
        data = base64.b64encode(figure).decode()
        return f'<img role="img" aria-label="{escape(alt)}" alt="{escape(alt)}" src="data:image/gif;base64,{data}">'
    return to_svg(figure, prefix, alt)


def to_svg(figure: Figure, prefix: str, alt: str) -> str:
    """The figure as inline SVG: its ids start with ``prefix``, its colours and font are those of the page."""
    buffer = io.StringIO()
    with plots.style():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would apply to the whole page
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
    text = text.replace("url(#", f"url(#{prefix}-").replace('href="#', f'href="#{prefix}-')
    for i, color in enumerate(plots.PALETTE):
        text = text.replace(color, f"var(--class-{i})")
    text = (
        text.replace(plots.INK, "var(--ink)").replace(plots.FAINT, "var(--line)").replace(plots.PAPER, "var(--paper)")
    )
    text = text.replace("font-family: 'DejaVu Sans'; ", "")
    width, height = (round(float(v), 1) for v in re.findall(r'viewBox="0 0 (\S+) (\S+)"', text)[0])
    opening = (
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} {height}" '
        f'style="width:{width * 4 / 3:.0f}px">'
    )
    return opening + text[text.index(">") + 1 :].strip()
