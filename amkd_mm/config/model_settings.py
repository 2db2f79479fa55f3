"""The config of a model as the Runner completes it."""

from mmengine.config import Config


def model_settings(cfg: Config) -> dict:
    """``model`` of a config, with the ``data_preprocessor`` beside it if it has none of its own."""
    settings = cfg.model.to_dict()
    if cfg.get('data_preprocessor') is not None:
        settings.setdefault('data_preprocessor', cfg.data_preprocessor.to_dict())
    return settings
