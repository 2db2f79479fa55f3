"""Errors of MMEngine's registries with the key of the config that they are about."""

from functools import wraps


def apply():
    """Apply every repair of this file. Calling it again changes nothing."""
    name_arguments()
    name_keys()
    name_bases()


def name_arguments():
    """``TypeError: class X in file: __init__() got an unexpected keyword argument``, but where?

    MMEngine 0.10.7. A ``type`` that there is not is a ``KeyError`` without suggestions.
    """
    from mmengine.registry import Registry

    upstream_build = Registry.build
    if getattr(upstream_build, 'names_arguments', False):
        return

    @wraps(upstream_build)
    def build(self, cfg, *args, **kwargs):
        try:
            return upstream_build(self, cfg, *args, **kwargs)
        except (TypeError, KeyError) as error:
            from ..config.errors import explain

            explained = explain(self, cfg, error)
            if explained is None or explained is error:
                raise
            raise explained.with_traceback(error.__traceback__) from None

    # Copied by those who wrap it in turn.
    build.names_arguments = True
    Registry.build = build


def name_keys():
    """The same: only the Runner knows the whole config."""
    from mmengine.runner import Runner

    if Runner.train.__module__ == __name__:
        return

    def located(method, config_of):
        @wraps(method)
        def run(self, *args, **kwargs):
            from ..config.errors import ConfigError, explain_settings

            try:
                return method(self, *args, **kwargs)
            except ConfigError as error:
                error.locate(config_of(self, *args, **kwargs))
                raise
            except TypeError as error:
                explained = explain_settings(config_of(self, *args, **kwargs), error)
                if explained is None:
                    raise
                raise explained.with_traceback(error.__traceback__) from None

        run.__module__ = __name__
        return run

    for name in ('train', 'val', 'test'):
        setattr(Runner, name, located(getattr(Runner, name), lambda runner: runner.cfg))
    from_cfg = located(Runner.from_cfg.__func__, lambda _, cfg: cfg)
    Runner.from_cfg = classmethod(from_cfg)


def name_bases():
    """``KeyError: Duplicate key is not allowed among bases``, but of which bases?

    MMEngine 0.10.7.
    """
    from mmengine.config import Config

    upstream_read = Config._file2dict
    if upstream_read.__module__ == __name__:
        return
    # The bases that were read of each config that is being read, which may be a base itself.
    reading = []

    def read(filename, *args, **kwargs):
        reading.append([])
        try:
            found = upstream_read(filename, *args, **kwargs)
        except KeyError as error:
            from ..config.errors import explain_bases

            explained = explain_bases(reading[-1], error)
            if explained is None:
                raise
            raise explained.with_traceback(error.__traceback__) from None
        finally:
            reading.pop()
        if reading:
            reading[-1].append((filename, list(found[0])))
        return found

    Config._file2dict = staticmethod(read)
