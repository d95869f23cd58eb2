"""A small experiment whose responses are written by hand and graded by the real grader: two benchmarks, four runs."""

from pathlib import Path

import pandas as pd

from generalthinker.answers.stage import grade_file
from generalthinker.config import Settings, parse_settings
from generalthinker.files import write_json, write_parquet
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.reporting.cells import all_evaluations
from test_reporting import TINY

# Texts that break pages which are put together carelessly.
NASTY = (
    "</script><script>document.title = 'broken'</script><img src=http://example.org/x.png onerror=alert(1)> &amp; "
    "{{ data }} {% raw %} ${data} \\u003c <!-- ]]> 'quoted' \"twice\" 題目 naïve 🧮 e\u0301 \u2028\u2029 \t"
)
LATEX = r"Thus $\frac{a_1}{\sqrt{2}} \le \{x \mid x^{2} < 3\}$ & \textbf{so} \[ \sum_{i=1}^{n} i \] \\"
LONG = "x" * 200_000
QUESTIONS = {
    "Choice": [
        ("c/1", "Which?\n\nA. one\n\nB. two", "B. two", "mcq", ["one", "two"]),
        ("c 2", f"Which? {NASTY}", "A. one", "mcq", ["one", "two"]),
        ("c'3", "Which? " + "long question " * 50, "A. one", "mcq", ["one", "two"]),
        ("c4", "Which?", "B. two", "mcq", ["one", "two"]),
        ("c5", "Which?", "B. two", "mcq", ["one", "two"]),
    ],
    "Numbers & co": [
        ("n1", f"How many? {LATEX}", "5", "math", None),
        ("n2", "How many?", r"2\sqrt{3}", "math", None),
        ("n3", "How many?", "7", "math", None),
    ],
}
# Run's label in the table → its responses to the questions above, in order; "…" is one that was cut off.
RESPONSES = {
    "Base": [r"\boxed{A}", r"\boxed{A}", "no idea", r"\boxed{the other}", "…", "5", r"\boxed{\sqrt{12}}", r"\boxed{7}"],
    "RL": [
        rf"{NASTY} so \boxed{{B}}, I think",
        r"\boxed{B}",
        r"\boxed{one}",
        r"\boxed{neither}",
        r"\boxed{B}",
        r"\boxed{5} or \boxed{6}",
        rf"{LATEX} \boxed{{\sqrt{{11}}}}",
        r"\boxed{7}",
    ],
    "GT": [
        r"\boxed{B}",
        r"\boxed{both}",
        rf"{LONG} \boxed{{A}}",
        rf"\boxed{{{NASTY.replace('{', '(').replace('}', ')')}}}",
        r"\boxed{B",
        r"\boxed{5}",
        r"\boxed{2\sqrt{3}}",
        r"\boxed{7}",
    ],
    "GT-L": [r"\boxed{B}", "", r"\boxed{}", r"\boxed{B}", r"\boxed{A}", r"\boxed{4}", r"\boxed{3}", r"\boxed{7}"],
}


def small_settings(folder: Path) -> Settings:
    """Return settings whose two tables compare three runs, and the larger model with the small one."""
    runs = {label: {"model": "small", "method": label} for label in ("Base", "RL", "GT")}
    sizes = {"GT-S": runs["GT"], "GT-L": {"model": "large", "method": "GT"}}
    groups = ["Words", "Math & co"]
    return parse_settings(
        {
            "name": "toy & small",
            "results": str(folder / "results"),
            "data": {
                "train_rows": 16,
                "validation_rows": 4,
                "tokenizer_model": "small",
                "decontaminate_against": [],
                "sources": {},
            },
            "models": {"small": {"label": "S", **TINY}, "large": {"label": "L", **TINY, "layers": 2}},
            "methods": {
                "Base": {"family": "base"},
                "RL": {"family": "binary_rl"},
                "GT": {"family": "generalthinker"},
            },
            "benchmarks": {
                name: {"adapter": "synthetic", "dataset": "synthetic", "rows": len(rows), "group": group}
                for (name, rows), group in zip(QUESTIONS.items(), groups, strict=True)
            },
            "evaluation": {"suites": {"all": [*QUESTIONS]}},
            "tables": {
                "table1": {"kind": "benchmarks", "title": "Main", "groups": groups, "runs": runs},
                "table2": {"kind": "averages", "title": "Parts", "groups": groups, "runs": runs},
                "table4": {"kind": "benchmarks", "title": "Sizes", "groups": groups, "runs": sizes},
            },
        }
    )


def evaluate(settings: Settings) -> Layout:
    """Write questions, the responses above, and their grades."""
    layout = Layout(settings.results)
    columns = ["id", "question", "answer", "answer_type", "options"]
    for name, rows in QUESTIONS.items():
        path = layout.benchmark(slug(name))
        write_parquet(path, pd.DataFrame(rows, columns=columns), {"benchmark": name})
        manifest = {"dataset": "synthetic", "revision": None, "rows_written": len(rows), "sha256": "f" * 64}
        write_json(layout.benchmark_manifest(slug(name)), manifest)
    names = [(name, row[0]) for name, rows in QUESTIONS.items() for row in rows]
    for run, suite in all_evaluations(settings):
        given = RESPONSES["GT-L" if run.model == "large" else run.method]
        frame = pd.DataFrame(names, columns=["benchmark", "id"]).assign(
            response=given, tokens=range(10, 10 + len(given)), truncated=[text == "…" for text in given]
        )
        write_parquet(layout.generations(run.name, suite), frame, {"run": run.name, "generation": {}})
        questions = [Path(layout.benchmark(name)) for name in ("Choice", "Numbers-co")]
        grade_file(
            Path(layout.generations(run.name, suite)), questions, Path(layout.grades(run.name, suite)), workers=1
        )
    return layout
