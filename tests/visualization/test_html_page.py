"""The page is a single file with all it shows."""

import re
from base64 import b64decode
from html.parser import HTMLParser

from matplotlib.figure import Figure

from amkd_mm.visualization import Picture, html_page, to_png


class Reader(HTMLParser):
    """Collects attributes and texts, and that what is opened is closed."""

    def __init__(self, page):
        super().__init__()
        self.sources, self.texts, self.open, self.tags = [], [], [], set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in ('meta', 'img'):
            self.open.append(tag)
        self.sources += [value for name, value in attrs if name in ('src', 'href', 'srcset')]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_holds_pictures_and_texts():
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    png = to_png(figure)
    assert png.startswith(b'\x89PNG')
    pictures = [Picture('First', png, 'How to read it.'), Picture('Second', b'other', 'And it.')]
    page = html_page('A title', ['A verdict.'], {'images': '3 < 4 & "5"'}, ['A note.'], pictures)

    reader = Reader(page)
    assert not reader.open
    prefix = 'data:image/png;base64,'
    assert all(source.startswith(prefix) for source in reader.sources)
    assert [b64decode(s[len(prefix) :]) for s in reader.sources] == [png, b'other']
    for text in ('First', 'How to read it.', 'And it.', '3 < 4 & "5"', 'A note.', 'A verdict.'):
        assert text in reader.texts


def test_needs_no_other_resource():
    page = html_page('Title', [], {}, [], [Picture('One', b'png', 'Text.')])
    assert not re.search(r'https?:|//|url\(|@import', page)
    assert not Reader(page).tags & {'script', 'link', 'iframe', 'object', 'base'}


def test_what_looks_like_html_is_text():
    evil = '<script>alert(1)</script>"'
    page = html_page(evil, [evil], {evil: evil}, [evil], [Picture(evil, b'', evil)])
    assert 'script' not in Reader(page).tags
    assert '<script' not in page


def test_caption_may_be_that_of_another_picture():
    page = html_page('Title', [], {}, [], [Picture('1', b'', 'Both.'), Picture('2', b'', '')])
    assert page.count('<figcaption>') == 1
