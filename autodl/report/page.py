"""One HTML page that holds everything and asks nobody: figures, tables, the code that draws them, colours for day and
night.

    header: title, facts ─► nav: the sections ─► main: sections of parts (figures, fragments, choices) ─► footer

plotly.js is packed into the page once and unpacked by the browser; a figure is drawn when it comes into view. A content
security policy lets no request leave the page and lets no script run but those that this package ships.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from autodl.report.style import CONFIG, DARK, LIGHT, bare
from autodl.storage import write_file

if TYPE_CHECKING:
    import plotly.graph_objects as go

HERE = Path(__file__).parent
USUAL_HEIGHT = 420  # pixels
_TEMPLATES = {"light": LIGHT["template"], "dark": DARK["template"]}  # kept once, not once a figure


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure with all that must stand beside it.

    Attributes:
        figure: Drawn when it comes into view; colours of its paper, axes and text are the page's.
        caption: What it shows, how to read it, by which method.
        alternative: What a reader who does not see it must know: the finding, in words.
        table: The numbers behind it as HTML of ``autodl.report._table``; may be empty.
        half: Whether it may share a line with its neighbour on wide screens.
        least_width: Pixels below which it is scrolled sideways, not squeezed.
        title: Its heading; may be empty.
        below: What stands under the drawing, as HTML like a ``Fragment``'s; an ``<audio>`` in it moves a line along it.
    """

    figure: go.Figure
    caption: str
    alternative: str
    table: str = ""
    half: bool = False
    least_width: int = 0
    title: str = ""
    below: str = ""

    @classmethod
    def of(
        cls, figure: go.Figure, table: str = "", *, half: bool = False, least_width: int = 0, below: str = ""
    ) -> Plot:
        """What ``autodl.report.style.finish`` gave a figure, written around it by the page."""
        told = figure.layout.meta
        return cls(bare(figure), told["caption"], told["alt"], table, half, least_width, told["title"], below)


@dataclass(frozen=True)
class Fragment:
    """HTML that we made ourselves: strings of the data in it are escaped already.

    A script in it runs only where its text is that of one of this folder's ``.js`` files; JSON may be in it as it is.
    """

    html: str
    half: bool = False


@dataclass(frozen=True, eq=False)
class Select:
    """One of many: a row, a class, a model. Only the chosen one is in view, and only what is in view is drawn.

    Attributes:
        label: What is chosen.
        options: What each is called, and its parts.
    """

    label: str
    options: Sequence[tuple[str, Sequence[Plot | Fragment]]]


Part: TypeAlias = Plot | Fragment | Select


@dataclass(frozen=True, eq=False)
class Section:
    """One chapter of the page.

    Attributes:
        title: Its heading.
        anchor: Letters, digits and ``-``: where ``#anchor`` leads.
        parts: In their order.
        lead: A sentence or two under the heading.
    """

    title: str
    anchor: str
    parts: Sequence[Part]
    lead: str = ""


def write_page(path: Path, title: str, sections: Sequence[Section], facts: Mapping[str, str]) -> int:
    """Write the page, whole or not at all, and return its size in bytes.

    Args:
        path: The file.
        title: Its heading.
        sections: In their order.
        facts: What stands under the title, by name.

    Raises:
        RunError: The disk is full, or the place cannot be written.
    """
    data = page(title, sections, facts).encode("utf-8", "replace")
    write_file(path, data)
    return len(data)


def page(title: str, sections: Sequence[Section], facts: Mapping[str, str]) -> str:
    """The page as text."""
    pieces = _Pieces()
    main = "\n".join(pieces.section(each) for each in sections)
    parts = {
        "title": _text(title),
        "policy": html.escape(_policy()),
        "style": _own("page.css"),
        "facts": "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(fact)}</dd></div>" for name, fact in facts.items()),
        "links": "".join(f'<li><a href="#{_text(each.anchor)}">{_text(each.title)}</a></li>' for each in sections),
        "main": main,
        "version": _text(version("torch-autodl")),
        "data": _embedded("templates", _TEMPLATES) + _embedded("config", CONFIG),
        "packed": f'<script type="application/octet-stream" id="plotly">{_packed_plotly()}</script>'
        if pieces.plots
        else "",
        "script": f"<script>{_own('page.js')}</script>",
    }
    return _PAGE % parts


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%(policy)s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>%(title)s</title>
<link rel="icon" href="data:,">
<style>%(style)s</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header><div class="top"><h1>%(title)s</h1>
<button type="button" id="theme" aria-pressed="false" hidden>Dark colours</button></div>
<dl class="facts">%(facts)s</dl>
<noscript><p class="notice">The figures are drawn by JavaScript, which is off here; text and tables are whole.</p>
</noscript></header>
<nav aria-label="Sections"><ol>%(links)s</ol></nav>
<main id="content" tabindex="-1">
%(main)s
</main>
<footer>Written by autodl %(version)s. Everything is in this one file: it opens without a network and sends
nothing.</footer>
<p id="said" class="unseen" role="status" aria-live="polite"></p>
%(data)s
%(packed)s
%(script)s
</body>
</html>
"""


@dataclass
class _Pieces:
    """Parts as HTML, numbered through."""

    plots: int = 0
    selects: int = 0

    def section(self, section: Section) -> str:
        title, anchor = _text(section.title), _text(section.anchor)
        lead = f'<p class="lead">{_text(section.lead)}</p>' if section.lead else ""
        inside = "\n".join(self.part(each) for each in section.parts)
        return (
            f'<section id="{anchor}" aria-labelledby="{anchor}-title"><h2 id="{anchor}-title">{title}</h2>{lead}\n'
            f'<div class="parts">{inside}</div></section>'
        )

    def part(self, part: Part) -> str:
        if isinstance(part, Plot):
            return self.plot(part)
        if isinstance(part, Select):
            return self.select(part)
        return f'<div class="fragment{_half(part)}">{part.html}</div>'

    def plot(self, plot: Plot) -> str:
        self.plots += 1
        name = f"figure-{self.plots}"
        plain = plot.figure.to_plotly_json()
        layout = plain.setdefault("layout", {})
        for own in ("template", "width", "meta"):
            layout.pop(own, None)  # of the page, not of the figure
        height = int(layout.get("height") or USUAL_HEIGHT)
        sizes = f"--height:{height}px" + (f";--least-width:{plot.least_width}px" if plot.least_width else "")
        reach = f' role="region" tabindex="0" aria-label="{_text(plot.caption)}"' if plot.least_width else ""
        title = f"<h3>{_text(plot.title)}</h3>" if plot.title else ""
        table = f"<details><summary>The numbers</summary>{plot.table}</details>" if plot.table else ""
        return (
            f'<figure class="plot{_half(plot)}">{title}<div class="scroll"{reach}>'
            f'<div class="canvas" data-figure="{name}" role="img" aria-label="{_text(plot.alternative)}" '
            f'style="{sizes}"></div></div>{plot.below}'
            f"<figcaption>{_text(plot.caption)}</figcaption>"
            f"<details><summary>In words</summary><p>{_text(plot.alternative)}</p></details>{table}"
            f"{_embedded(name, plain)}</figure>"
        )

    def select(self, select: Select) -> str:
        self.selects += 1
        name = f"select-{self.selects}"
        names = "".join(f'<option value="{at}">{_text(said)}</option>' for at, (said, _) in enumerate(select.options))
        inside = "\n".join(
            f'<div class="option parts" data-of="{name}" role="group" aria-label="{_text(said)}"'
            f"{'' if at == 0 else ' hidden'}>{''.join(self.part(each) for each in parts)}</div>"
            for at, (said, parts) in enumerate(select.options)
        )
        return (
            f'<div class="select"><div class="control"><label for="{name}">{_text(select.label)}</label>'
            f'<select id="{name}" autocomplete="off">{names}</select></div>\n{inside}</div>'
        )


def _half(part: Plot | Fragment) -> str:
    return " half" if part.half else ""


def _text(text: str) -> str:
    """Escaped, whatever stands in it."""
    return html.escape(str(text), quote=True)


def _embedded(name: str, plain: Any) -> str:
    """JSON in a script's place: no ``<`` is left that could end it."""
    from plotly.io.json import to_json_plotly

    text = to_json_plotly(plain, engine="json").replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>\n'


@functools.cache
def _own(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


@functools.cache
def _packed_plotly() -> str:
    """plotly.js, packed: a third of its size."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


@functools.cache
def _policy() -> str:
    """What the page may do: draw itself. Scripts run by their digest, so none that came in with data ever does."""
    from plotly.offline import get_plotlyjs

    digests = " ".join(_digests([*(_own(file.name) for file in sorted(HERE.glob("*.js"))), get_plotlyjs()]))
    rules = {
        "default-src": "'none'",
        "script-src": f"{digests} 'unsafe-eval'",  # plotly.js compiles its WebGL calls
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "media-src": "data: blob:",
        "font-src": "data:",
        "connect-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{rule} {value}" for rule, value in rules.items())


def _digests(scripts: Iterable[str]) -> Iterator[str]:
    for script in scripts:
        yield f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
