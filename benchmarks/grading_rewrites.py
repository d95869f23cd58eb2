r"""How often the grader is wrong: equal rewrites and wrong mutants of the references of Minerva and OlympiadBench.

A rewrite is the reference in another form (`4080` as `4080\,\text{Å}`) and must be graded as right. A mutant differs
from it in one place (`\frac{m}{M}` as `\frac{M}{m}`) and must be graded as wrong. Half of the references, chosen by a
hash, are the held-out part: the grader is not tuned on their single cases.

    GENERALTHINKER_DATA_MIRROR=<folder> python benchmarks/grading_rewrites.py [--part tuned] [--show 40] [--brief]

<folder> has math-ai/minervamath/test.jsonl and math-ai/olympiadbench/test.jsonl, with the datasets' columns.
"""

import argparse
import hashlib
import itertools
import re
import time
from collections import Counter
from collections.abc import Iterator

from generalthinker.answers import grade
from generalthinker.config.data import SourceSettings
from generalthinker.data.adapt import adapt
from generalthinker.data.fetch import fetch

FILES = {"minerva": "math-ai/minervamath", "olympiadbench": "math-ai/olympiadbench"}
NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")
SCIENTIFIC = re.compile(r"(-?\d+(?:\.\d+)?)e(-?\d+)")
COMMAND = re.compile(r"\\(?:text|mathrm|operatorname|begin|end|mathbb)\s*\{[^{}]*\}|\\[A-Za-z]+|np\.\w+")
UNITS = (
    r"\,\text{Å}",
    r"\ \mathrm{\AA}",
    r"\,\mu\text{m}",
    r"\,\mu\mathrm{m}",
    r"\,\Omega",
    r"\ \text{k}\Omega",
    r"^{\prime\prime}",
    r"''",
    r"\,M_\odot",
    r"\,L_{\odot}",
    " eV",
    r"\,\mathrm{eV}",
    " J",
    r"\text{ J}",
    " nm",
    r"~\mathrm{nm}",
    " K",
    r"\ \text{K}",
    r"^\circ",
    r"^\circ\text{C}",
    " m/s",
    r"\,\text{m/s}",
    r"\,\frac{\text{m}}{\text{s}}",
    r"\ \mathrm{m\,s^{-1}}",
    r"\text{ m} \cdot \text{s}^{-1}",
    r"\,\text{erg}\,\text{s}^{-1}",
    r" \text{ kg m/s}^2",
    r"\ \mathrm{W/m^2}",
    " kg",
    r"\text{ mol/L}",
    r"\,\mathrm{cm}^{3}",
    r"\text{ degrees}",
    r"\text{ arcseconds}",
    r"\text{ years}",
    r"\ \text{g/cm}^3",
    r"\,\text{pc}",
    r"\,\mathrm{AU}",
    r"\,\text{GHz}",
    r"\text{ V}",
    r"\,\mathrm{kJ/mol}",
)


def top_level(text: str, separators: str) -> list[str]:
    """Return the parts of `text` between separators that are outside brackets."""
    parts, depth = [""], 0
    for token in re.findall(r"\\left|\\right|\\[{}]|\\[A-Za-z]+|\\.|.", text, re.DOTALL):
        depth += {"(": 1, "[": 1, "{": 1, r"\{": 1, ")": -1, "]": -1, "}": -1, r"\}": -1}.get(token, 0)
        if depth == 0 and token in separators:
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]


def kind_of(reference: str) -> str:
    """Return what a reference is: number, scientific, list, tuple, equation, relation, or expression."""
    if NUMBER.fullmatch(reference):
        return "number"
    if SCIENTIFIC.fullmatch(reference):
        return "scientific"
    if len(top_level(reference, ",")) > 1:
        return "list"
    if re.fullmatch(r"[(\[][^()\[\]]*,[^()\[\]]*[)\]]", reference):
        return "tuple"
    if len(top_level(reference, "=")) == 2:
        return "equation"
    return "relation" if re.search(r"\\(?:geqslant|infty|cup|quad)|,", reference) else "expression"


def rewrites(reference: str, place: int) -> Iterator[tuple[str, str]]:
    """Yield rewrites of a reference, each with the name of its kind; `place` chooses among the units."""
    kind = kind_of(reference)
    plain = reference.replace("$", "")
    yield "as it is", reference
    yield "display", rf"\displaystyle {plain}"
    yield "dollars", f"${plain}$"
    if kind != "scientific":
        yield "spaces", re.sub(r"(?<![\\A-Za-z])([+=<>])|(?<=[\w})])(-)", r" \1\2 ", plain)
    yield "no spaces", re.sub(r"(?<![A-Za-z])\s+|\s+(?![A-Za-z])", "", plain)
    if "\\frac" in plain:
        yield "dfrac", plain.replace(r"\frac", r"\dfrac")
        if not re.search(r"\\frac\s*\{d", plain):
            yield "slash", re.sub(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"((\1)/(\2))", plain)
        yield "tfrac", re.sub(r"\\frac\s*\{(\w)\}\s*\{(\w)\}", r"\\tfrac\1\2", plain)
    if re.search(r"[_^]\{\w\}", plain):
        yield "bare scripts", re.sub(r"([_^])\{(\w)\}", r"\1\2 ", plain)
    if re.search(r"[_^]\w", plain):
        yield "braced scripts", re.sub(r"([_^])(\w)", r"\1{\2}", plain)
    if "(" in plain and r"\left" not in plain:
        yield "left right", plain.replace("(", r"\left(").replace(")", r"\right)")
    if r"\left" in plain:
        yield "no left", plain.replace(r"\left", "").replace(r"\right", "")
    if r"\sqrt{" in plain:
        yield "root as power", re.sub(r"\\sqrt\{([^{}]*)\}", r"(\1)^{1/2}", plain)
    if r"\geqslant" in plain:
        yield "ge", plain.replace(r"\geqslant", r"\ge")
    if re.search(r"(?<![A-Za-z\\])e\s*\^\s*\{", plain):
        yield "exp", re.sub(r"(?<![A-Za-z\\])e\s*\^\s*\{([^{}]*)\}", r"\\exp(\1)", plain)
        yield "upright e", re.sub(r"(?<![A-Za-z\\])e(?=\s*\^)", r"\\mathrm{e}", plain)
    if re.search(r"(?<![A-Za-z\\])i(?![A-Za-z])", plain):
        yield "upright i", re.sub(r"(?<![A-Za-z\\])i(?![A-Za-z])", r"\\mathrm{i}", plain)
    if kind in ("number", "scientific"):
        yield from number_rewrites(plain, kind, place)
    elif kind == "list":
        yield from list_rewrites(top_level(plain, ","))
    elif kind == "tuple":
        yield from tuple_rewrites(plain)
    elif kind == "equation":
        yield from equation_rewrites(plain)
    elif kind == "expression":
        yield "named", f"y = {plain}"
        yield "reordered", reordered(plain)
        yield "doubled over two", rf"\frac{{2 ({plain})}}{{2}}"
        yield "half plus half", rf"\frac{{1}}{{2}}\left({plain}\right) + 0.5\left({plain}\right)"
        yield "plus zero", f"x - x + {plain}" if not plain.startswith("-") else f"x - x {plain}"
        if "=" not in plain:
            yield "two names", f"F = y = {plain}"


def number_rewrites(text: str, kind: str, place: int) -> Iterator[tuple[str, str]]:
    mantissa, exponent = text, "0"
    if kind == "scientific":
        match = SCIENTIFIC.fullmatch(text)
        assert match
        mantissa, exponent = match[1], match[2]
        power = rf"{mantissa} \times 10^{{{exponent}}}"
        yield "times ten to", power
        yield "cdot ten to", rf"{mantissa}\cdot10^{{{exponent}}}"
        yield (
            "unicode times",
            f"{mantissa} × 10^{exponent}" if len(exponent) == 1 else f"{mantissa} × 10^{{{exponent}}}",
        )
        yield "capital E", text.replace("e", "E")
        yield "mantissa times ten", rf"{float(mantissa) * 10:g} \times 10^{{{int(exponent) - 1}}}"
    else:
        power = mantissa
        yield "trailing zero", f"{mantissa}0" if "." in mantissa else f"{mantissa}.0"
        yield "bold", rf"\mathbf{{{mantissa}}}"
    for name, unit in (("unit", UNITS[place % len(UNITS)]), ("other unit", UNITS[(7 * place + 3) % len(UNITS)])):
        yield name, power + unit
        yield f"{name}, named", f"x = {power}{unit}"
    yield "about", rf"\approx {power}"
    yield "named", rf"v_0 = {power}"
    yield "named in words", rf"\text{{energy}} = {power}"


def list_rewrites(values: list[str]) -> Iterator[tuple[str, str]]:
    backwards = values[::-1]
    yield "backwards", ", ".join(backwards)
    yield "and", ", ".join(values[:-1]) + rf" \text{{ and }} {values[-1]}"
    yield "or", r" \text{ or } ".join(backwards)
    yield "semicolons", "; ".join(values)
    if not any("=" in value for value in values):
        if len(set(values)) == len(values):
            yield "braces", rf"\{{{', '.join(values)}\}}"
            yield "in a set", rf"x \in \{{{', '.join(backwards)}\}}"
        yield "each named", ", ".join(f"x = {value}" for value in values)
        yield "numbered", ", ".join(f"x_{place + 1} = {value}" for place, value in enumerate(values))
        yield "one name", f"x = {', '.join(values)}"
    elif all("=" in value for value in values):
        yield "names dropped", ", ".join(value.split("=")[1] for value in values)


def tuple_rewrites(text: str) -> Iterator[tuple[str, str]]:
    entries = top_level(text[1:-1], ",")
    if text[0] + text[-1] == "()" and "infty" not in text:
        names = ["x", "y", "z", "u", "v", "w"][: len(entries)]
        if len(names) == len(entries):
            yield "names", f"({','.join(names)}) = {text}"
            yield "each named", ", ".join(f"{name}={entry}" for name, entry in zip(names, entries, strict=True))
    yield "sizes", rf"\bigl{text[:-1]}\bigr{text[-1]}"
    yield (
        "entries doubled over two",
        text[0]
        + ", ".join(entry if "infty" in entry else rf"\frac{{2({entry})}}{{2}}" for entry in entries)
        + text[-1],
    )


def equation_rewrites(text: str) -> Iterator[tuple[str, str]]:
    left, right = top_level(text, "=")
    if not re.search("[A-Z]{2}", right):  # words
        yield "right side doubled over two", f"{left} = \\frac{{2({right})}}{{2}}"
    yield "right side reordered", f"{left} = {reordered(right)}"
    if re.fullmatch(r"[A-Za-z](?:_\{?\w+\s*\}?)?(?:\s*\([A-Za-z]\))?", left):
        yield "name dropped", right
    if re.fullmatch(r"\w\(\w\)", left):
        yield "for all", rf"{text} \text{{ for all }} {left[2]} \in \mathbb{{R}}"
        yield "comma set", rf"{text}, {left[2]} \in \mathbb{{Z}}"


def reordered(text: str) -> str:
    """Return a sum with its last term first."""
    terms = re.split(r"(?=[+-])", text)
    parts = [""]
    for term in terms:  # a term ends where its brackets are closed
        whole = parts[-1]
        if whole and whole.count("{") == whole.count("}") and whole.count("(") == whole.count(")"):
            parts.append("")
        parts[-1] += term
    parts = [part.strip() for part in parts if part.strip()]
    if len(parts) < 2 or any(re.search(r"[\^_=<>,(\[{/*]\s*$", part) for part in parts):
        return text
    first, last = parts[0], parts[-1]
    if r"\left" in text and any(part.count(r"\left") != part.count(r"\right") for part in parts):
        return text
    last = last.removeprefix("+").strip()
    return " ".join([last, *parts[1:-1], first if first.startswith("-") else f"+ {first}"])


def mutants(reference: str) -> Iterator[tuple[str, str]]:
    """Yield answers that differ from the reference in value, each with the name of its kind."""
    plain = reference.replace("$", "")
    kind = kind_of(reference)
    hidden = COMMAND.sub(lambda match: "\0" * len(match[0]), plain)
    letters = [match.start() for match in re.finditer(r"[A-Za-z]", hidden)]
    if kind == "scientific":
        letters = []
    for place in letters[:4]:
        letter = plain[place]
        if letter in "ei" or (letter == "d" and kind == "equation"):
            continue
        swapped = plain[:place] + letter.swapcase() + plain[place + 1 :]
        # a name that stands for the value or the argument may be any name
        if place > re.search(r"=|\Z", plain).start() or "=" not in plain:
            yield "case of one symbol", swapped
            other = "q" if letter != "q" else "p"
            yield "other symbol", plain[:place] + other + plain[place + 1 :]
    for greek in re.finditer(r"\\(theta|gamma|omega|lambda|sigma|delta|pi|tau|alpha|rho)(?![a-z])", plain):
        if greek[1] in ("theta", "gamma", "omega", "lambda", "sigma", "delta", "pi"):
            yield "case of a Greek letter", plain[: greek.start()] + "\\" + greek[1].capitalize() + plain[greek.end() :]
    if kind in ("expression", "number", "scientific") and plain != "0":
        yield "sign of all", plain[1:] if plain.startswith("-") else f"-{plain.removeprefix('+')}"
    for place in [match.start() for match in re.finditer(r"(?<=[\w}) ])[+-](?=[\w\\ (])", hidden)][:3]:
        if kind == "scientific":
            break
        yield "sign of one term", plain[:place] + ("-" if plain[place] == "+" else "+") + plain[place + 1 :]
    if kind == "scientific":
        mantissa, exponent = plain.split("e")
        yield "other exponent", f"{mantissa} \\times 10^{{{int(exponent) + 1}}}"
        yield "sign of the exponent", f"{mantissa}e{-int(exponent)}"
    if digits := [match for match in re.finditer(r"\d", hidden) if kind != "scientific"]:
        digit = digits[-1]
        changed = plain[: digit.start()] + str((int(digit[0]) + 1) % 10) + plain[digit.end() :]
        if "_" not in plain and "np" not in plain:
            yield "other digit", changed
    if kind == "list":
        values = top_level(plain, ",")
        yield "one value left out", ", ".join(values[1:])
        yield "one value more", ", ".join([*values, "-987654"])
        yield "sign of one value", ", ".join([f"-({values[0]})" if values[0] not in "0" else "5", *values[1:]])
    if kind == "tuple":
        entries = top_level(plain[1:-1], ",")
        if entries[0] != entries[-1] and plain[0] + plain[-1] == "()":
            yield "backwards", f"({','.join(entries[::-1])})"
        other = {"(": "[", "[": "("}[plain[0]]
        yield "other bracket", other + plain[1:]
        yield "one entry", entries[0]
    if kind == "equation":
        left, right = top_level(plain, "=")
        if right == "0":
            yield "zero", "0"
        else:
            yield "sign of the right side", f"{left} = -({right})"
        yield "left side alone", left
    elif reference == "0":
        yield "an equation with this right side", f"x^2 - 3x + 2 = {reference}"


def references() -> list[tuple[str, str]]:
    """Return (benchmark, reference) of both benchmarks, each text once."""
    found = []
    for adapter, dataset in FILES.items():
        settings = SourceSettings(adapter=adapter, dataset=dataset, subset=None, rows=None, revision="mirror")
        questions = adapt(settings, fetch(settings, None, 1)).questions
        found += [(adapter, text) for text in dict.fromkeys(question.answer for question in questions)]
    return found


def held_out(reference: str) -> bool:
    return hashlib.sha256(reference.encode()).digest()[0] % 2 == 1


def cases(part: str) -> Iterator[tuple[str, bool, str, str, str]]:
    """Yield benchmark, whether it is right, the kind, the reference and the answer of each case."""
    for place, (benchmark, reference) in enumerate(references()):
        if part != "all" and held_out(reference) != (part == "held-out"):
            continue
        seen = {reference}
        for right, made in ((True, rewrites(reference, place)), (False, mutants(reference))):
            for kind, answer in made:
                if answer not in seen or kind == "as it is":
                    seen.add(answer)
                    yield benchmark, right, kind, reference, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("tuned", "held-out", "all"), default="all")
    parser.add_argument("--benchmark", choices=tuple(FILES))
    parser.add_argument("--show", type=int, default=0, help="print so many wrong verdicts")
    parser.add_argument("--brief", action="store_true", help="the first 100 cases: does it run?")
    arguments = parser.parse_args()
    totals: Counter[tuple[str, bool, str]] = Counter()
    wrong: Counter[tuple[str, bool, str]] = Counter()
    start = time.perf_counter()
    made = (case for case in cases(arguments.part) if arguments.benchmark in (None, case[0]))
    chosen = itertools.islice(made, 100 if arguments.brief else None)
    for benchmark, right, kind, reference, answer in chosen:
        verdict = grade(f"\\boxed{{{answer}}}", reference, "math")
        totals[benchmark, right, kind] += 1
        if verdict.correct != right:
            wrong[benchmark, right, kind] += 1
            if wrong.total() <= arguments.show:
                print(f"{'missed' if right else 'accepted'} [{kind}] {reference!s:40} <- {answer}   ({verdict.reason})")
    for right, name in ((True, "rewrites graded as wrong"), (False, "mutants graded as right")):
        for benchmark in FILES:
            count = sum(totals[key] for key in totals if key[:2] == (benchmark, right))
            errors = {key[2]: wrong[key] for key in wrong if key[:2] == (benchmark, right)}
            print(f"{benchmark}: {name}: {sum(errors.values())} of {count}, {errors}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
