"""What vLLM reads from the environment, in evaluation and in rollouts."""

import os


def set_vllm_environment() -> None:
    """Set the variables of vLLM that are not set yet; call it before vLLM is imported."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
    # Otherwise vLLM pins jobs that run at the same time to the same cores.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    # The engine runs in this process, so that no engine process remains if this one is killed.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
