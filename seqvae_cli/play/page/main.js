// The page: what the parts have in common, and how they hear of each other.

import { arithmeticTool } from "./arithmetic.js";
import { ask, dropWhere } from "./api.js";
import { coloring } from "./colors.js";
import { byId, complain, fill, make, settled } from "./dom.js";
import { SentenceList } from "./list.js";
import { SentenceMap } from "./map.js";
import { pathTool } from "./path.js";
import { KINDS, placing } from "./placing.js";
import { isAlive, runTool } from "./run.js";
import { sampleTool } from "./samples.js";
import { scoreTool } from "./score.js";
import { sliderTool } from "./sliders.js";
import { copy, shell } from "./snippets.js";
import { DEFAULTS, set, state, subscribe } from "./state.js";
import { tabs } from "./tabs.js";

const FOLLOWED = 2000;

const page = {
  model: null,
  points: null,
  record: null,
  /** Whether the map is still to come: what takes seconds waits for it. */
  busy: true,
  /** Why the run could not be read. */
  failure: null,
  /** The kind of map that is shown, the label whose discriminants it has, and the points that it places. */
  shown: { kind: "pca", label: "" },
  /** What a request names: run, split, map. */
  values: () => ({
    run: state.run,
    split: page.points?.split ?? state.split,
    map: page.shown.kind,
    label: page.shown.label,
  }),
};

const tip = byId("tip");
page.map = new SentenceMap(byId("map"), { onhover: showTip, onchoose: choose });
const list = new SentenceList({ onhover: (index) => page.map.hover(index), onchoose: choose });
const tools = [pathTool, sliderTool, arithmeticTool, sampleTool, scoreTool, runTool].map((made) => made(page));
const select = tabs(tools, byId("tabs"), byId("panels"), (name) => set({ tab: name }));
const told = tools.find((one) => one.name === "run");
const map = placing(page, colorName, () => {
  describe();
  tool().show();
});
const tool = () => tools.find((one) => one.name === state.tab) ?? tools[0];

function choose(index) {
  tool().choose(index);
}

function showTip(index, at) {
  tip.hidden = index < 0;
  if (index < 0) return;
  const label = page.points.labels[colorName()];
  const value = label ? label.values[label.indices[index]] || "(none)" : `${page.points.lengths[index]} tokens`;
  tip.replaceChildren(make("span", { dir: "auto", text: page.points.texts[index] }), make("small", { text: `${colorName()}: ${value}` }));
  const { width, height } = page.map.camera;
  const right = at[0] > width / 2;
  tip.style.left = right ? "" : `${at[0] + 14}px`;
  tip.style.right = right ? `${width - at[0] + 14}px` : "";
  tip.style.top = at[1] > height / 2 ? "" : `${at[1] + 14}px`;
  tip.style.bottom = at[1] > height / 2 ? `${height - at[1] + 14}px` : "";
}

/** The colouring: that of the state, else the first label, else the length. */
function colorName() {
  const labels = page.points?.labels ?? {};
  if (state.color === "length" || Object.hasOwn(labels, state.color)) return state.color;
  return Object.keys(labels).find((name) => name !== "split" && labels[name].values.length > 1) ?? "length";
}

function colorPoints() {
  if (!page.points) return;
  const name = colorName();
  const made = coloring(page.points, name);
  page.map.color(made);
  byId("color").value = name;
  byId("legend").replaceChildren(...made.legend.map(entry));
  describe();
}

/** An entry of the legend. That of a value is a button: it leaves the points of this value alone bright. */
function entry({ color, text, value }) {
  const swatch = make("span", { class: "swatch" });
  swatch.style.backgroundColor = color;
  if (value === undefined) return make("li", {}, swatch, text);
  const chosen = state.only === value;
  const onclick = () => set({ only: state.only === value ? "" : value });
  return make("li", {}, make("button", { type: "button", "aria-pressed": String(chosen), onclick }, swatch, make("bdi", { text })));
}

/** Highlights the sentences that hold the searched word and have the chosen value of the legend, and lists them. */
function search() {
  if (!page.points) return;
  const { texts, total } = page.points;
  const wanted = state.search.trim().toLowerCase();
  const label = page.points.labels[colorName()];
  const value = state.only && label ? label.values.indexOf(state.only) : -1;
  const rows = [...texts.keys()].filter(
    (index) => (!wanted || texts[index].toLowerCase().includes(wanted)) && (value < 0 || label.indices[index] === value),
  );
  page.map.highlight(wanted || value >= 0 ? new Set(rows) : null);
  list.show(texts, rows, total);
  for (const button of byId("legend").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(value >= 0 && button.textContent === state.only));
  }
}

/** What the map shows, for those who do not see it. */
function describe() {
  const count = page.points.texts.length.toLocaleString("en");
  const parts = [`Map of ${count} sentences, coloured by ${colorName()}`, byId("map-note").dataset.shown];
  byId("map").setAttribute("aria-label", parts.filter(Boolean).join(". "));
}

let loads = 0;
/** Whether the model and the sentences are being read. */
let reading = false;

/** Leaves nothing of the last run. */
function clear() {
  Object.assign(page, { model: null, points: null, record: null, shown: { kind: "pca", label: "" } });
  showTip(-1);
  list.show([], [], 0);
  page.map.draw({});
  page.map.show([]);
  byId("map").setAttribute("aria-label", "Map of the sentences");
  byId("legend").replaceChildren();
  for (const one of tools) one.clear();
  const note = byId("map-note");
  note.dataset.shown = "";
  complain(note, null);
  note.textContent = "reading the sentences";
}

/** Reads the run, its model and the sentences. `again`: the same run, trained on; what is shown stays until then. */
async function load({ again = false } = {}) {
  const turn = ++loads;
  const late = () => turn !== loads;
  map.forget();
  page.busy = reading = true;
  page.failure = null;
  if (!again) clear();
  try {
    await record();
    if (late()) return;
    const model = await ask("model", { run: state.run });
    if (late() || !model) return;
    page.model = model;
    facts();
    fill(byId("split"), [...model.splits, "all"].map((name) => [name, name]), state.split);
    const points = await ask("points", { run: state.run, split: state.split });
    if (late() || !points) return;
    page.model = { ...model, step: points.step };
    page.points = points;
    byId("split").value = points.split;
    const names = ["length", ...Object.keys(page.points.labels)];
    fill(byId("color"), names.map((name) => [name, name]), colorName());
    fill(byId("kind"), [["", "automatic"], ...Object.entries(KINDS)], state.kind in KINDS ? state.kind : "");
    colorPoints();
    search();
    map.place();
  } catch (error) {
    if (late()) return;
    page.failure = error;
    page.busy = false;
    facts();
    complain(byId("map-note"), error);
    tool().show();
  } finally {
    if (!late()) reading = false;
  }
}

/** Drops an answer of other weights than those of the sentences: their training went on, and all is read again. */
dropWhere((name, answer) => {
  const read = ["model", "points"].includes(name) || !page.points || answer.step === undefined;
  if (read || answer.step === page.points.step) return false;
  if (!reading) load({ again: true });
  return true;
});

function facts() {
  const { model, record } = page;
  const parts = [];
  if (model) {
    parts.push(`corpus ${model.corpus}`, `${model.latent_size} dimensions`, `${(model.parameters / 1e6).toFixed(1)} M parameters`);
  }
  if (record && isAlive(record)) parts.push(`training: epoch ${record.curves.epoch.at(-1) ?? 0} of ${record.epochs ?? "?"}`);
  else if (record?.best_neg_elbo) parts.push(`validation -ELBO ${record.best_neg_elbo.toFixed(2)} nats`);
  byId("facts").replaceChildren(...parts.map((text) => make("span", { text })));
  for (const name of ["copy-command", "copy-python"]) byId(name).disabled = !model;
  document.title = `${model?.run ?? record?.name ?? "seqvae"} · seqvae play`;
  byId("run").value = runName();
}

async function record() {
  const found = await ask("run", { run: state.run });
  if (!found) return;
  const ended = page.record?.name === found.name && page.record.status !== found.status;
  page.record = found;
  facts();
  if (ended) runs().catch(() => {}); // its label in the picker
  told.recorded();
}

/** Reads the record of the run again, and all where it has other weights. */
async function refresh() {
  if (reading) return;
  try {
    await record();
    if (reading) return;
    const { run } = state;
    const model = await ask("model", { run }, "follow");
    if (model && !reading && run === state.run && model.step !== page.model?.step) await load({ again: Boolean(page.points) });
  } catch {
    // no checkpoint yet, or the server has ended: the next turn tells
  }
}

/** Follows a training: new epochs come into the curves, better weights onto the map. */
async function follow() {
  for (;;) {
    await new Promise((wake) => setTimeout(wake, FOLLOWED));
    if (!document.hidden && isAlive(page.record)) await refresh();
  }
}

let known = { first: "", runs: [] };
/** The run that is shown: the state may say `latest`, or the beginning of a name. */
const runName = () => page.model?.run ?? page.record?.name ?? (state.run || known.first);
const corpusOf = (name) => known.runs.find((run) => run.name === name)?.corpus;

async function runs() {
  const found = await ask("runs");
  if (!found) return;
  known = found;
  const options = found.runs.map((run) => [run.name, run.status === "finished" ? run.name : `${run.name} (${run.status})`]);
  fill(byId("run"), options, runName());
}

const find = settled((text) => set({ search: text }), 120);
byId("search").addEventListener("input", (event) => find(event.target.value));
byId("run").addEventListener("change", ({ target }) => {
  // Sentences of another corpus are strange to the model; a dimension of another run means something else.
  if (corpusOf(target.value) === corpusOf(runName())) set({ run: target.value, moves: "" });
  else set({ ...DEFAULTS, run: target.value, tab: state.tab });
});
byId("split").addEventListener("change", (event) => set({ split: event.target.value }));
byId("color").addEventListener("change", (event) => set({ color: event.target.value, only: "" }));
byId("kind").addEventListener("change", (event) => set({ kind: event.target.value }));
byId("copy-command").addEventListener("click", () => {
  copy(tool().command(["--run", shell(page.model.run)]));
});
byId("copy-python").addEventListener("click", () => {
  const imported = tool().imports ?? "from seqvae_cli import load";
  copy(`${imported}\nmodel = load(${JSON.stringify(page.model.run)})\n${tool().python()}`);
});
addEventListener("themechange", colorPoints);

let open = tool();
subscribe((names) => {
  if (names.includes("tab")) {
    open.hide();
    open = tool();
    select(open.name);
    page.map.draw({}); // of the tool that was open
    open.show();
  } else open.changed(names);
  if (names.includes("run") || names.includes("split")) {
    byId("search").value = state.search;
    load();
    byId("run").value = runName();
    return;
  }
  if (names.includes("color")) {
    colorPoints();
  }
  if (names.includes("search") || names.includes("only") || names.includes("color")) {
    if (byId("search").value !== state.search) byId("search").value = state.search;
    search();
  }
  if (names.includes("kind")) byId("kind").value = state.kind;
  if (names.includes("kind") || names.includes("color")) map.place();
});

byId("search").value = state.search;
select(open.name);
addEventListener("focus", () => {
  runs().catch(() => {}); // a training may have been started since, or gone on
  refresh();
});
runs().catch((error) => complain(byId("map-note"), error));
load();
follow();
