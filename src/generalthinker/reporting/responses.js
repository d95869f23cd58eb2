"use strict";
// The response browser's script. The page's data are described in response_data.py: page_data.
const ROWS = 50; // questions that the list shows at once
const WAIT = 150; // milliseconds without a key before a search starts
const PANES = { benchmark: "Benchmark", agreement: "Who is right", run: "Run", verdict: "Verdict", reason: "Reason" };
const ANY = "any run";

let data;
let found = []; // the questions that pass all filters, as [benchmark, question]
let texts = null; // benchmark → question → what a search looks at, built by the first search
const state = { comparison: 0, search: "", page: 0 };
for (const pane in PANES) state[pane] = new Set();

const element = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

async function unpack(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

const comparison = () => data.comparisons[state.comparison];
const verdictOf = (kind) => (kind.right ? "right" : "wrong");
const allowed = (chosen, value) => chosen.size === 0 || chosen.has(value);

function searchedText(b, q) {
  if (texts === null) {
    texts = data.benchmarks.map((benchmark) => {
      const columns = [...Object.values(benchmark.extracted), ...Object.values(benchmark.texts || {})];
      return benchmark.ids.map((id, i) =>
        [id, benchmark.questions[i], benchmark.answers[i], ...columns.map((column) => column[i])].join("\n").toLowerCase()
      );
    });
  }
  return texts[b][q];
}

// Find the questions that pass all filters, and count for each value of a pane the questions that would be shown if it
// alone were chosen there. With "any run", a question passes if one response has a chosen verdict and a chosen reason.
function filter() {
  const { labels, runs, kinds } = comparison();
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const counts = Object.fromEntries(Object.keys(PANES).map((pane) => [pane, new Map()]));
  const count = (pane, value) => counts[pane].set(value, (counts[pane].get(value) || 0) + 1);
  const asked = data.kinds.map((kind) => allowed(state.verdict, verdictOf(kind)));
  const because = data.kinds.map((kind) => allowed(state.reason, kind.reason));
  const chosen = labels.map((label) => allowed(state.run, label));
  found = [];
  data.benchmarks.forEach((benchmark, b) => {
    const agreed = benchmark.agreement[state.comparison];
    if (!agreed) return;
    const inBenchmark = allowed(state.benchmark, benchmark.name);
    const columns = runs.map((run) => benchmark.verdicts[run]);
    for (let q = 0; q < benchmark.ids.length; q++) {
      if (words.length && !words.every((word) => searchedText(b, q).includes(word))) continue;
      const inAgreement = allowed(state.agreement, kinds[agreed[q]]);
      let passes = false;
      const seen = { verdict: new Set(), reason: new Set(), run: new Set() };
      columns.forEach((column, place) => {
        if (!column) return; // the run is not graded on this benchmark
        const kind = column[q];
        if (asked[kind] && because[kind]) seen.run.add(labels[place]).add(ANY);
        if (!chosen[place]) return;
        passes ||= asked[kind] && because[kind];
        if (because[kind]) seen.verdict.add(verdictOf(data.kinds[kind]));
        if (asked[kind]) seen.reason.add(data.kinds[kind].reason);
      });
      if (inBenchmark && inAgreement) {
        if (passes) found.push([b, q]);
        for (const pane in seen) for (const value of seen[pane]) count(pane, value);
      }
      if (passes && inAgreement) count("benchmark", benchmark.name);
      if (passes && inBenchmark) count("agreement", kinds[agreed[q]]);
    }
  });
  return counts;
}

function valuesOf(pane) {
  const reasons = [...data.kinds].sort((a, b) => b.right - a.right || a.reason.localeCompare(b.reason));
  return {
    benchmark: data.benchmarks.map((benchmark) => benchmark.name),
    agreement: comparison().kinds,
    run: [ANY, ...comparison().labels],
    verdict: ["right", "wrong"],
    reason: [...new Set(reasons.map((kind) => kind.reason))],
  }[pane];
}

function choose(pane, value) {
  const chosen = state[pane];
  if (pane === "run") {
    chosen.clear();
    if (value !== ANY) chosen.add(value);
  } else if (!chosen.delete(value)) {
    chosen.add(value);
  }
  state.page = 0;
  showList();
}

function showPanes(counts) {
  const panes = Object.entries(PANES).map(([pane, title]) => {
    const buttons = valuesOf(pane)
      .filter((value) => counts[pane].get(value) || state[pane].has(value))
      .map((value) => {
        const pressed = pane === "run" && value === ANY ? state.run.size === 0 : state[pane].has(value);
        const number = (counts[pane].get(value) || 0).toLocaleString("en");
        const made = make("button", { "aria-pressed": pressed }, make("span", {}, value), make("span", {}, number));
        made.onclick = () => choose(pane, value);
        return made;
      });
    return make("section", { className: "pane", id: `pane-${pane}` }, make("h3", {}, title), make("div", {}, ...buttons));
  });
  const scrolled = [...document.querySelectorAll(".pane div")].map((pane) => pane.scrollTop);
  element("panes").replaceChildren(...panes);
  document.querySelectorAll(".pane div").forEach((pane, i) => (pane.scrollTop = scrolled[i] || 0));
}

// A verdict in few characters: what was read from the response, and the reason where that alone does not explain it.
function verdictCell(benchmark, q, run) {
  if (!benchmark.verdicts[run]) return make("td", { title: "not graded yet" }, "–");
  const kind = data.kinds[benchmark.verdicts[run][q]];
  const extracted = benchmark.extracted[run][q];
  const explained = kind.right || kind.reason === "different";
  return make(
    "td",
    { className: verdictOf(kind), title: `${verdictOf(kind)}: ${kind.reason}` },
    `${kind.right ? "✓" : "✗"} ${extracted === null ? "" : extracted}`,
    explained ? null : make("small", {}, kind.reason)
  );
}

function showList() {
  const { labels, runs, kinds } = comparison();
  showPanes(filter());
  const pages = Math.max(1, Math.ceil(found.length / ROWS));
  element("count").textContent = `${found.length.toLocaleString("en")} ${found.length === 1 ? "question" : "questions"}`;
  for (const where of document.querySelectorAll(".where")) where.textContent = `page ${state.page + 1} of ${pages}`;
  for (const button of document.querySelectorAll(".earlier")) button.disabled = state.page === 0;
  for (const button of document.querySelectorAll(".later")) button.disabled = state.page + 1 >= pages;
  const headings = ["Question", "Reference", "Right", ...labels];
  element("head").replaceChildren(make("tr", {}, ...headings.map((heading) => make("th", {}, heading))));
  const lines = found.slice(state.page * ROWS, (state.page + 1) * ROWS).map(([b, q]) => {
    const benchmark = data.benchmarks[b];
    const link = make("a", { href: hashOf(b, q) }, `${benchmark.name} ${benchmark.ids[q]}`);
    const line = make(
      "tr",
      {},
      make("td", {}, link, make("small", {}, benchmark.questions[q].slice(0, 160))),
      make("td", {}, benchmark.answers[q].slice(0, 80)),
      make("td", {}, kinds[benchmark.agreement[state.comparison][q]]),
      ...runs.map((run) => verdictCell(benchmark, q, run))
    );
    line.onclick = () => (location.hash = hashOf(b, q));
    return line;
  });
  element("rows").replaceChildren(...lines);
}

// A question's address: benchmark, id and comparison. Other pages understand it too.
const hashOf = (b, q) =>
  "#" + [data.benchmarks[b].name, data.benchmarks[b].ids[q], comparison().title].map(encodeURIComponent).join("/");

function placeInHash() {
  const [name, id, title] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const asked = data.comparisons.findIndex((comparison) => comparison.title === title);
  if (asked >= 0 && asked !== state.comparison) compare(asked);
  const b = data.benchmarks.findIndex((benchmark) => benchmark.name === name);
  const q = b < 0 ? -1 : data.benchmarks[b].ids.indexOf(id);
  return q < 0 ? null : [b, q];
}

// A response with its last box marked, up to the answer that was read from it.
function markedText(text, extracted) {
  const made = make("pre", { className: "text" });
  const start = text.lastIndexOf("\\boxed{");
  if (start < 0) {
    made.append(text);
    return made;
  }
  const inside = extracted === null ? -1 : text.indexOf(extracted, start);
  const end = inside < 0 ? start + 7 : text.indexOf("}", inside + extracted.length) + 1 || text.length;
  made.append(text.slice(0, start), make("mark", {}, text.slice(start, end)), text.slice(end));
  return made;
}

function whereTextsAre(b, q) {
  const benchmark = data.benchmarks[b];
  if (!benchmark.sampled) return null;
  const slug = data.slugs[benchmark.name];
  if (benchmark.sampled.includes(q)) {
    return make("p", {}, make("a", { id: "texts", href: `responses/${slug}.html${hashOf(b, q)}` }, "Read the responses"));
  }
  const id = `'${benchmark.ids[q].replaceAll("'", "'\\''")}'`;
  const run = data.runs[comparison().runs[0]];
  const command = `generalthinker responses ${run} ${slug} --id ${id} --others --settings ${data.settings}`;
  return make("p", {}, "No page has the texts of these responses yet. This writes one: ", make("code", {}, command));
}

function showQuestion(b, q) {
  const benchmark = data.benchmarks[b];
  const agreed = benchmark.agreement[state.comparison];
  const at = found.findIndex(([fb, fq]) => fb === b && fq === q);
  const go = (label, place) => {
    const button = make("button", { disabled: !(place in found) || at < 0 }, label);
    button.onclick = () => (location.hash = hashOf(...found[place]));
    return button;
  };
  const back = make("button", { id: "back" }, "List");
  back.onclick = () => (location.hash = "");
  const { labels, runs, kinds, title } = agreed ? comparison() : { labels: data.runs, runs: data.runs.map((_, i) => i) };
  const answered = labels.map((label, i) => ({ label, run: runs[i] })).filter(({ run }) => benchmark.verdicts[run]);
  const lines = answered.map(({ label, run }) => {
    const kind = data.kinds[benchmark.verdicts[run][q]];
    const extracted = benchmark.extracted[run][q];
    return make(
      "tr",
      {},
      make("td", { title: data.runs[run] }, label),
      make("td", { className: verdictOf(kind) }, `${kind.right ? "✓" : "✗"} ${verdictOf(kind)}`),
      make("td", {}, kind.reason),
      make("td", {}, extracted === null ? "–" : extracted)
    );
  });
  const cards = answered
    .filter(({ run }) => benchmark.texts && benchmark.texts[run])
    .map(({ label, run }) => {
      const kind = data.kinds[benchmark.verdicts[run][q]];
      const facts = `${verdictOf(kind)}: ${kind.reason}, ${benchmark.tokens[run][q].toLocaleString("en")} tokens`;
      return make(
        "article",
        { className: kind.right ? "card" : "card wrong-card" },
        make("h3", { title: data.runs[run] }, label),
        make("span", { className: verdictOf(kind) }, facts),
        markedText(benchmark.texts[run][q], benchmark.extracted[run][q])
      );
    });
  const heads = ["Run", "Verdict", "Reason", "Extracted answer"].map((head) => make("th", {}, head));
  const position = at < 0 ? "" : `${at + 1} of ${found.length.toLocaleString("en")}`;
  const shown = make(
    "div",
    {},
    make("div", { className: "controls" }, back, go("Previous", at - 1), go("Next", at + 1), position),
    make("h2", {}, `${benchmark.name} ${benchmark.ids[q]}`),
    make("div", { className: "question" }, make("pre", { className: "text" }, benchmark.questions[q])),
    make("p", {}, make("strong", {}, "Reference: "), benchmark.answers[q]),
    agreed ? make("p", {}, make("strong", {}, "Right: "), `${kinds[agreed[q]]} (${title})`) : null,
    whereTextsAre(b, q),
    make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...lines)),
    make("div", { className: "cards" }, ...cards)
  );
  element("question").replaceChildren(shown);
}

function compare(place) {
  state.comparison = place;
  element("comparison").value = place;
  state.agreement.clear();
  state.run.clear();
  state.page = 0;
  showList();
}

function route() {
  const place = placeInHash();
  element("list").hidden = place !== null;
  element("question").hidden = place === null;
  if (place !== null) {
    showQuestion(...place);
    scrollTo(0, 0);
  }
}

function reset() {
  for (const pane in PANES) state[pane].clear();
  state.search = element("search").value = "";
  state.page = 0;
  showList();
}

function listen() {
  element("comparison").onchange = (event) => compare(Number(event.target.value));
  let timer;
  element("search").oninput = (event) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      state.search = event.target.value;
      state.page = 0;
      showList();
    }, WAIT);
  };
  element("reset").onclick = reset;
  const turn = (step) => () => {
    state.page += step;
    showList();
  };
  for (const button of document.querySelectorAll(".earlier")) button.onclick = turn(-1);
  for (const button of document.querySelectorAll(".later")) button.onclick = turn(1);
  addEventListener("hashchange", route);
  addEventListener("keydown", (event) => {
    const keys = { ArrowLeft: 1, ArrowRight: 2, Escape: 0 };
    if (element("question").hidden || !(event.key in keys)) return;
    document.querySelectorAll("#question .controls button")[keys[event.key]].click();
  });
}

async function start() {
  data = await unpack(element("data").textContent);
  element("data").textContent = "";
  if (data.comparisons.length === 0) {
    element("message").textContent = "No run is graded yet.";
    return;
  }
  element("comparison").append(
    ...data.comparisons.map(({ title, runs }, i) => make("option", { value: i }, `${title} (${runs.length} runs)`))
  );
  if ("focus" in data) {
    state.comparison = Math.max(0, data.comparisons.findIndex(({ runs }) => runs.includes(data.focus)));
    element("comparison").value = state.comparison;
    state.run.add(comparison().labels[comparison().runs.indexOf(data.focus)]);
  }
  const hasTexts = data.benchmarks.some((benchmark) => benchmark.texts);
  element("search").placeholder = hasTexts ? "question, id, answers, responses" : "question's beginning, id, answers";
  element("message").hidden = true;
  listen();
  showList();
  route();
}

start().catch((error) => {
  element("message").textContent = `This page cannot be shown: ${error}. It needs a browser of 2023 or later.`;
  throw error;
});
