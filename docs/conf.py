"""Settings of the documentation site, whose pages are the Markdown files of the whole repository.

``.ci/docs`` builds the site with the repository as source folder, so that links between pages lead
where they lead on GitHub.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / '_extensions')]

import amkd_mm  # noqa: E402

project = amkd_mm.__name__
author = 'amkd_mm contributors'
copyright = author
version = release = amkd_mm.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
    # Of this folder.
    'api_pages',
    'navigation',
    'repository_links',
]
root_doc = 'README'
include_patterns = ['*.md', 'configs/*/README.md', 'docs/*.md', 'docs/*/README.md', 'docs/api/*']
exclude_patterns = ['docs/_build']

myst_heading_anchors = 4
autodoc_inherit_docstrings = False
autodoc_member_order = 'bysource'
# Docstrings give the types, with shapes and ranges.
autodoc_typehints = 'none'
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries_show_parents = 'hide'

html_theme = 'furo'
html_title = f'amkd_mm {release}'
html_static_path = ['_static']
html_css_files = ['site.css']
html_extra_path = ['_extra']
copybutton_exclude = '.linenos, .gp, .go'
