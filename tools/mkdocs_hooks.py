"""Found by mkdocs, which looks for its hooks beside this file; what they do stands in `xaibench_docs/hooks.py`."""

from xaibench_docs.hooks import on_config, on_files

__all__ = ["on_config", "on_files"]
