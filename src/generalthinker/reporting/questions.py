"""The training questions in one sentence, with the benchmarks that they could not be compared with."""

from pathlib import Path

from generalthinker.config.settings import Settings
from generalthinker.files import read_json
from generalthinker.paths import Layout


def describe_questions(settings: Settings) -> str | None:
    """Return the number of questions and the benchmarks that share none with them; None if they are not built yet."""
    path = Path(Layout(settings.results).mixture_manifest)
    if not path.exists():
        return None
    manifest = read_json(path)
    unread = manifest.get("not_decontaminated_against", {})
    rows = f"{manifest['train']['rows']:,} for training, {manifest['validation']['rows']:,} for validation"
    sentence = f"{rows}; none of them in {', '.join(manifest['decontaminated_against'])}"
    if not unread:
        return sentence
    reasons = "; ".join(f"{name} ({reason})" for name, reason in unread.items())
    return f"{sentence}; NOT COMPARED with {reasons}. `generalthinker check` compares them as soon as those can be read"
