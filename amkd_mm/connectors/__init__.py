"""Connectors: what is done to a record before a loss gets it."""

from .logit_standardization_connector import LogitStandardizationConnector

__all__ = ['LogitStandardizationConnector']
