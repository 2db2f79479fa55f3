"""A page with pictures that is a single file."""

import io
import os
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

STYLE = """
body { font-family: sans-serif; line-height: 1.45; color: #222; background: #fff;
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 1rem 0.2rem 0;
  border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
h1 { overflow-wrap: anywhere; }
.verdict { font-size: 1.15rem; }
@media (max-width: 40rem) {
  th, td { display: block; padding-right: 0; }
  th { border-bottom: 0; padding-bottom: 0; }
}
img { max-width: 100%; height: auto; }
@media (max-width: 40rem) {
  /* Shrunk to such a width, what is written in a picture could not be read. */
  .picture { overflow-x: auto; }
  img { max-width: none; width: 40rem; }
}
figure { margin: 0 0 2.5rem 0; }
"""


class NamedFigure(NamedTuple):
    """A picture with its names.

    Attributes:
        file (str): Name of its file, without a suffix.
        title (str): Its heading.
        figure (Figure): The picture.
        text (str): How to read it, or '' if another picture's says it.
    """

    file: str
    title: str
    figure: Figure
    text: str


class Picture(NamedTuple):
    """A picture on the page.

    Attributes:
        title (str): Its heading.
        png (bytes): The image.
        text (str): How to read it, or '' if another picture's says it.
    """

    title: str
    png: bytes
    text: str


def to_png(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=dpi)
    return buffer.getvalue()


def html_page(
    title: str,
    verdict: Sequence[str],
    facts: dict[str, str],
    notes: Sequence[str],
    pictures: Sequence[Picture],
) -> str:
    """Write a page that needs no other file and no network.

    Args:
        title (str): Of the page.
        verdict (Sequence[str]): Paragraphs at its top.
        facts (dict[str, str]): Rows of the table below them.
        notes (Sequence[str]): Paragraphs below the table.
        pictures (Sequence[Picture]): They become part of the page.

    Returns:
        str: HTML. All texts are escaped.
    """
    rows = [f'<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in facts.items()]
    body = [f'<h1>{escape(title)}</h1>']
    body += [f'<p class="verdict">{escape(sentence)}</p>' for sentence in verdict]
    body += ['<table>', *rows, '</table>']
    body += [f'<p>{escape(note)}</p>' for note in notes]
    for picture in pictures:
        source = f'data:image/png;base64,{b64encode(picture.png).decode()}'
        body += [
            f'<h2>{escape(picture.title)}</h2>',
            '<figure>',
            f'<div class="picture"><img alt="{escape(picture.title)}" src="{source}"></div>',
            f'<figcaption>{escape(picture.text)}</figcaption>' if picture.text else '',
            '</figure>',
        ]
    head = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{escape(title)}</title>',
        f'<style>{STYLE}</style>',
    ]
    parts = ['<!DOCTYPE html>', '<html lang="en">', '<head>', *head, '</head>', '<body>', *body]
    return '\n'.join([*parts, '</body>', '</html>', ''])


def check_page_folder(key: str, folder: Path) -> None:
    """Check that pictures could be written into a folder, which may not exist yet.

    Args:
        key (str): The argument that names it, for messages.
        folder (Path): The folder.

    Raises:
        OSError: If they could not.
    """
    found = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not (found.is_dir() and os.access(found, os.W_OK)):
        raise OSError(
            f'{key}: no pictures can be written to {folder}: {found} is no folder to write to'
        )


def save_page(
    folder: Path,
    title: str,
    verdict: Sequence[str],
    facts: dict[str, str],
    notes: Sequence[str],
    figures: Sequence[NamedFigure],
) -> Path:
    """Write figures as PNG files, and ``index.html``, which holds them all.

    Args:
        folder (Path): It is made.
        title (str): Of the page.
        verdict (Sequence[str]): As for :func:`html_page`.
        facts (dict[str, str]): As for :func:`html_page`.
        notes (Sequence[str]): As for :func:`html_page`.
        figures (Sequence[NamedFigure]): What is drawn.

    Returns:
        Path: The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for one in figures:
        pictures.append(Picture(one.title, to_png(one.figure), one.text))
        (folder / f'{one.file}.png').write_bytes(pictures[-1].png)
    page = folder / 'index.html'
    page.write_text(html_page(title, verdict, facts, notes, pictures), encoding='utf-8')
    return page
