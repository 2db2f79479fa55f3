"""The site's table of contents, out of what the pages say themselves.

GitHub would show a ``toctree`` as code, so the pages hold none: the tables of ``docs/README.md``
are the sections of the side bar.
"""

import re
from pathlib import Path

INDEX = 'docs/README'
# Beside the pages that the index lists: those about the project itself.
PROJECT = ('CONTRIBUTING', 'CHANGELOG', 'SECURITY')
# Pages below others.
BELOW = {
    'docs/api': 'docs/api/*',
    'docs/methods': 'configs/*/README',
    'docs/results': 'docs/results/README',
}


def toctree(entries, caption='', is_glob=False):
    """A hidden toctree in MyST's syntax."""
    options = [':hidden:', *([f':caption: {caption}'] if caption else [])]
    options += [':glob:'] if is_glob else []
    return '\n'.join(['', '```{toctree}', *options, '', *entries, '```', ''])


def sections(index):
    """Title and entries of each table of the index that lists pages."""
    for title, rows in re.findall(
        r'^\| (to [\w ]+?) \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)', index, re.M
    ):
        pages = re.findall(r'^\| \[(.+?)\]\(([\w]+)\.md\)', rows, re.M)
        yield title.capitalize(), [f'{name} </docs/{page}>' for name, page in pages]


def add_toctrees(app, docname, source):
    """Append to a page the toctrees of the pages below it."""
    if docname == app.config.root_doc:
        index = (Path(app.srcdir) / f'{INDEX}.md').read_text(encoding='utf-8')
        source[0] += toctree(['Overview <self>', f'All pages and commands </{INDEX}>'])
        for title, entries in sections(index):
            source[0] += toctree(entries, title)
        source[0] += toctree([f'/{page}' for page in PROJECT], 'The project')
    elif docname in BELOW:
        source[0] += toctree([f'/{BELOW[docname]}'], is_glob=True)


def setup(app):
    """Called by Sphinx."""
    app.connect('source-read', add_toctrees)
    return dict(parallel_read_safe=True)
