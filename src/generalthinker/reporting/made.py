"""What a workflow that has ended shows: where its results are, and the table if there is only one."""

from pathlib import Path

from generalthinker.config.settings import Settings
from generalthinker.paths import Layout


def described_results(settings: Settings) -> str:
    """Return the results folder, the report if there is one, and the text of the only table if there is only one."""
    layout = Layout(settings.results)
    report = f" (report: {layout.report})" if Path(layout.report).exists() else ""
    lines = [f"Results of {settings.name}: {settings.results}/{report}"]
    tables = [path for name in settings.tables if (path := Path(layout.display(name, "md"))).exists()]
    if len(settings.tables) == 1:
        lines += [path.read_text(encoding="utf-8").strip() for path in tables]
    elif tables:
        lines.append(f"Tables: {', '.join(str(path) for path in tables)}")
    return "\n".join(lines)
