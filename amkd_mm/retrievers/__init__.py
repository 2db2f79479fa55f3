"""Image retrieval by binary codes."""

from .hamming_index import HammingIndex
from .hash_head import HashHead
from .hash_retriever import HashRetriever

__all__ = ['HammingIndex', 'HashHead', 'HashRetriever']
