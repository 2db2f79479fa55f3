"""A plugin of pytest: one line of JSON for each test, written as soon as it has run."""

import json


def pytest_addoption(parser):
    parser.addoption('--results', help='file that gets a line of JSON for each test')


def pytest_configure(config):
    path = config.getoption('--results')
    # Workers of pytest-xdist report to the process that started them.
    if path and not hasattr(config, 'workerinput'):
        config.pluginmanager.register(Results(path))


class Results:
    """Appends to a file."""

    def __init__(self, path):
        self.path = path

    def pytest_runtest_logreport(self, report):
        if report.when != 'call' and report.outcome == 'passed':
            return
        if report.outcome == 'skipped' and isinstance(report.longrepr, tuple):
            message = report.longrepr[2]
        else:
            crash = getattr(report.longrepr, 'reprcrash', None)
            message = crash.message if crash else str(report.longrepr or '')
        self.write(
            test=report.nodeid,
            outcome=report.outcome,
            seconds=round(report.duration, 2),
            message=message[:500],
            properties=dict(report.user_properties),
        )

    def pytest_collectreport(self, report):
        if report.failed:
            lines = str(report.longrepr).strip().splitlines()
            self.write(
                test=report.nodeid,
                outcome='failed',
                seconds=0.0,
                message=lines[-1] if lines else '',
                properties={},
            )

    def write(self, **line):
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')
