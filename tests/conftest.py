"""What tests share: one CPU thread, property tests without a clock, and a tiny model made once per session."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import hypothesis

hypothesis.settings.register_profile("patient", deadline=None, max_examples=80)
hypothesis.settings.load_profile("patient")
