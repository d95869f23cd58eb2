"""GeneralThinker (arXiv 2605.27934) as a reproduction pipeline: data, training, evaluation, tables and figures."""

__version__ = "0.1.0"
