"""Links of pages to files and folders that are no pages of the site.

A folder whose ``README.md`` is a page is that page, and one of the package is the page of its API.
All else is in the repository, at the commit of the build: on the web if the clone has a remote
there, otherwise on this disk.
"""

import os.path
import re
import subprocess
from pathlib import Path

# Code, in which nothing is a link; or the target of a link.
TARGET = re.compile(r'^```.*?^```|`[^`\n]*`|(?<=\]\()(?!\w+:|#)(?P<path>[^)#\s]+)', re.M | re.S)


def repository(root):
    """Where the files of the repository can be looked at, with a slash at the end."""
    remote = git(root, 'remote', 'get-url', 'origin').removesuffix('.git')
    remote = re.sub(r'^(?:ssh://)?git@([^:/]+)[:/]', r'https://\1/', remote)
    if remote.startswith('https://'):
        # Hosts lead from the blob of a folder to its tree.
        return f'{remote}/blob/{git(root, "rev-parse", "HEAD")}/'
    return f'{root.as_uri()}/'


def git(root, *words):
    """What git answers; nothing without git, a repository or a remote."""
    try:
        done = subprocess.run(['git', *words], cwd=root, capture_output=True, text=True)
    except OSError:
        return ''
    return done.stdout.strip()


def is_page(app, path):
    """Whether a file is one of the site's."""
    return app.project.path2doc(path) in app.project.docnames


def lead_links_out(app, docname, source):
    """Change the targets in a page."""
    root = Path(app.srcdir)
    folder = (root / docname).parent

    def change(found):
        if not found['path']:
            return found[0]
        target = Path(os.path.normpath(folder / found['path']))
        if target.suffix == '.png' or is_page(app, target):
            return found[0]
        within = target.relative_to(root).as_posix()
        for page in (f'{within}/README.md', f'{within}.rst'.replace('amkd_mm/', 'docs/api/')):
            if is_page(app, root / page):
                return os.path.relpath(root / page, folder)
        return f'repository:{within}'

    source[0] = TARGET.sub(change, source[0])


def name_schemes(app, config):
    """Let MyST know where ``repository:PATH`` is."""
    address = repository(Path(app.srcdir)) + '{{path}}'
    config.myst_url_schemes = dict(http=None, https=None, mailto=None, repository=address)


def setup(app):
    """Called by Sphinx."""
    # Before MyST reads it, at 800.
    app.connect('config-inited', name_schemes, priority=100)
    # Before the toctrees are added, which are code.
    app.connect('source-read', lead_links_out)
    return dict(parallel_read_safe=True)
