"""The documentation site builds without a warning, is whole, and its links lead somewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import amkd_mm

import mmpretrain.registry
import mmrazor.registry
import pytest
from mmengine.registry import Registry

from scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = ROOT / 'docs/_extensions'


def registered():
    """Class, scope and the names in configs, of what ``import amkd_mm`` registers."""
    # Only a benchmark imports this one.
    package, unless = f'{amkd_mm.__name__}.', f'{amkd_mm.__name__}.benchmarking.'
    for scope in (mmrazor, mmpretrain):
        registries = vars(scope.registry).values()
        for registry in (item for item in registries if isinstance(item, Registry)):
            for name, item in registry.module_dict.items():
                module = f'{item.__module__}.'
                if module.startswith(package) and not module.startswith(unless):
                    yield item, scope.__name__, name


def test_the_page_on_the_api_names_what_configs_can():
    """All registered classes and no others, with their scopes; old names are left out."""
    page = (ROOT / 'docs/api.md').read_text()
    rows = re.findall(r'^\| .*?\| (`?.*`.*) \| `(mmrazor|mmpretrain)` \|$', page, re.M)
    listed = {(name, scope) for cell, scope in rows for name in re.findall(r'`(\w+)`', cell)}
    expected = {
        (name.removesuffix('Recorder'), scope)
        for _, scope, name in registered()
        if name != 'TargetsRecorder'
    }
    assert listed - {('NAMERecorder', 'mmrazor')} == expected


# --- The built site -------------------------------------------------------------------------------


class Page(HTMLParser):
    """Links, anchors and text outside code of an HTML page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.text, self.code = [], set(), [], 0
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[key] for key in ('href', 'src') if attributes.get(key)]
        self.anchors.add(attributes.get('id'))
        self.code += tag in ('pre', 'code', 'script')

    def handle_endtag(self, tag):
        self.code -= tag in ('pre', 'code', 'script')

    def handle_data(self, data):
        if not self.code:
            self.text.append(data)


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The site, built as for the public."""
    for package in ('sphinx', 'myst_parser', 'furo', 'sphinx_copybutton'):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp('site')
    done = subprocess.run(
        ['bash', ROOT / '.ci/docs', folder],
        # Its `python` is this one.
        env={**os.environ, 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return folder


@pytest.fixture(scope='module')
def pages(site):
    return {path: Page(path) for path in site.rglob('*.html')}


@pytest.mark.slow
def test_every_page_of_the_repository_is_on_the_site(site):
    sources = [*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('configs/*/README.md')]
    for source in sources:
        assert (site / source.relative_to(ROOT)).with_suffix('.html').exists(), source
    assert (site / 'search.html').exists()


@pytest.mark.slow
def test_links_of_the_site_lead_somewhere(pages):
    """Within the site with their anchors, and to files of the repository."""
    for path, page in pages.items():
        # What is no link for MyST would stand there as it was written.
        assert '](' not in ''.join(page.text), path
        for link in map(urlsplit, page.links):
            if link.scheme == 'file':
                assert Path(unquote(link.path)).exists(), (path, link.path)
            elif not link.scheme and not link.netloc and '/_modules/' not in path.as_posix():
                target = (path.parent / unquote(link.path)).resolve() if link.path else path
                assert target.exists(), (path, link.path)
                if link.fragment and target in pages:
                    assert unquote(link.fragment) in pages[target].anchors, (path, link)


@pytest.mark.slow
def test_every_registered_class_has_an_entry(pages):
    anchors = {anchor for page in pages.values() for anchor in page.anchors if anchor}
    for item, _, _ in registered():
        subpackage = '.'.join(item.__module__.split('.')[:2])
        assert {f'{subpackage}.{item.__name__}', f'{item.__module__}.{item.__name__}'} & anchors


@pytest.mark.slow
def test_folders_lead_to_their_pages(site, pages):
    """A method's folder to its README, and one of the package to its API."""
    assert '../configs/kd/README.html' in pages[site / 'docs/methods.html'].links
    assert 'api/hooks.html' in pages[site / 'docs/api.html'].links


# --- Links to the repository ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ('remote', 'address'),
    [
        ('https://example.org/them/amkd_mm.git', 'https://example.org/them/amkd_mm/blob/{}/'),
        ('https://example.org/them/amkd_mm', 'https://example.org/them/amkd_mm/blob/{}/'),
        ('git@example.org:them/amkd_mm.git', 'https://example.org/them/amkd_mm/blob/{}/'),
        ('ssh://git@example.org/them/amkd_mm.git', 'https://example.org/them/amkd_mm/blob/{}/'),
        ('/srv/amkd_mm', None),
        (None, None),
    ],
)
def test_files_are_in_the_repository_of_the_clone(remote, address, tmp_path):
    def git(*words):
        user = ('-c', 'user.name=a', '-c', 'user.email=a@example.org')
        done = subprocess.run(
            ['git', *user, *words], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout.strip()

    git('init', '--quiet')
    git('commit', '--quiet', '--allow-empty', '--message', 'one')
    if remote:
        git('remote', 'add', 'origin', remote)
    expected = address.format(git('rev-parse', 'HEAD')) if address else f'{tmp_path.as_uri()}/'
    assert load_script(EXTENSIONS / 'repository_links.py').repository(tmp_path) == expected
