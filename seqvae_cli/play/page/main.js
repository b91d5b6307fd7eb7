// The page: what the parts have in common, and how they hear of each other.

import { arithmeticTool } from "./arithmetic.js";
import { ask } from "./api.js";
import { coloring } from "./colors.js";
import { byId, complain, fill, make, settled } from "./dom.js";
import { SentenceList } from "./list.js";
import { SentenceMap } from "./map.js";
import { pathTool } from "./path.js";
import { isAlive, runTool } from "./run.js";
import { sampleTool } from "./samples.js";
import { scoreTool } from "./score.js";
import { sliderTool } from "./sliders.js";
import { copy } from "./snippets.js";
import { set, state, subscribe } from "./state.js";
import { tabs } from "./tabs.js";

const FOLLOWED = 2000;
const ASKED_AGAIN = 1500;
const KINDS = {
  pca: "principal components",
  neighbours: "neighbourhoods (t-SNE)",
  discriminants: "what parts the colour",
};

const page = {
  model: null,
  points: null,
  record: null,
  /** Whether the map is still to come: what takes seconds waits for it. */
  busy: true,
  /** The kind of map that is shown, and the label whose discriminants it has. */
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
const tool = () => tools.find((one) => one.name === state.tab) ?? tools[0];

function choose(index) {
  tool().choose(index);
}

function showTip(index, at) {
  tip.hidden = index < 0;
  if (index < 0) return;
  const label = page.points.labels[colorName()];
  const value = label ? label.values[label.indices[index]] || "(none)" : `${page.points.lengths[index]} tokens`;
  tip.replaceChildren(make("span", { text: page.points.texts[index] }), make("small", { text: `${colorName()}: ${value}` }));
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
  if (state.color === "length" || labels[state.color]) return state.color;
  return Object.keys(labels).find((name) => name !== "split" && labels[name].values.length > 1) ?? "length";
}

function colorPoints() {
  if (!page.points) return;
  const made = coloring(page.points, colorName());
  page.map.color(made);
  byId("legend").replaceChildren(
    ...made.legend.map(([color, text]) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.backgroundColor = color;
      return make("li", {}, swatch, text);
    }),
  );
}

function search() {
  if (!page.points) return;
  const { texts, total } = page.points;
  const wanted = state.search.trim().toLowerCase();
  const rows = [...texts.keys()].filter((index) => !wanted || texts[index].toLowerCase().includes(wanted));
  page.map.highlight(wanted ? new Set(rows) : null);
  list.show(texts, rows, total);
}

let places = 0;
let placed = "";

/**
 * Shows the map that the state asks for. By itself: the principal components at once, then what shows more, the
 * directions that part the label that colours the points, or else the neighbourhoods.
 */
async function place() {
  if (!page.points) return;
  const label = colorName();
  const parted = page.points.labels[label]?.values.length > 1;
  const asked = state.kind in KINDS ? state.kind : "";
  const wanted = asked || (parted && label !== "split" ? "discriminants" : "neighbours");
  const { run, step, split } = page.points;
  const key = [run, step, split, wanted, wanted === "discriminants" ? label : ""].join("\n");
  if (key === placed) return;
  placed = key;
  const turn = ++places;
  const values = { run: state.run, split };
  const first = { ...values, map: "pca" };
  try {
    const more = wanted === "discriminants";
    if (!page.map.places.length || wanted === "pca") await put(turn, first, "Principal components", more);
    if (more) {
      const of = parted ? label : "split";
      await put(turn, { ...values, map: wanted, label: of }, `The two directions that part ${of} best`);
    } else if (wanted === "neighbours") await neighbours(turn, { ...values, map: wanted });
  } catch (error) {
    if (turn !== places) return;
    const note = byId("map-note");
    complain(note, error);
    if (!asked) {
      note.classList.remove("error"); // nobody asked for the map that there is not
      note.textContent = [note.dataset.shown, note.textContent].filter(Boolean).join("; ");
    }
  }
}

/** Asks for the neighbourhood map until it has been computed. */
async function neighbours(turn, values) {
  const text = "Neighbourhoods (t-SNE): near sentences have near codes; far distances say little";
  const note = byId("map-note");
  while (turn === places && !(await put(turn, values, text)) && turn === places) {
    note.textContent = [note.dataset.shown, "the neighbourhood map is being computed"].filter(Boolean).join("; ");
    await new Promise((wake) => setTimeout(wake, ASKED_AGAIN));
  }
}

/** Shows a map with its caption, where it is ready. `more`: another follows at once. */
async function put(turn, values, text, more = false) {
  const found = await ask("map", values, "map");
  if (!found?.ready || turn !== places) return false;
  page.shown = { kind: values.map, label: values.label ?? "" };
  page.map.show(found.places);
  const shares = found.variance?.map((share) => `${Math.round(100 * share)} %`).join(" and ");
  const note = byId("map-note");
  complain(note, null);
  note.dataset.shown = shares ? `${text}: ${shares} of the variance` : text;
  note.textContent = note.dataset.shown;
  page.busy = more;
  tool().show();
  return true;
}

async function load() {
  placed = "";
  page.model = null;
  page.points = null;
  page.busy = true;
  list.show([], [], 0);
  page.map.draw({});
  page.map.show([]);
  const note = byId("map-note");
  try {
    complain(note, null);
    note.textContent = "reading the sentences";
    await record();
    page.model = (await ask("model", { run: state.run })) ?? null;
    if (!page.model) return;
    facts();
    page.points = (await ask("points", { run: state.run, split: state.split })) ?? null;
    if (!page.points) return;
    fill(byId("split"), [...page.model.splits, "all"].map((name) => [name, name]), page.points.split);
    const names = ["length", ...Object.keys(page.points.labels)];
    fill(byId("color"), names.map((name) => [name, name]), colorName());
    fill(byId("kind"), [["", "automatic"], ...Object.entries(KINDS)], state.kind in KINDS ? state.kind : "");
    colorPoints();
    search();
    await place();
  } catch (error) {
    complain(note, error);
  }
}

function facts() {
  const { model, record } = page;
  const parts = [];
  if (model) {
    parts.push(`corpus ${model.corpus}`, `${model.latent_size} dimensions`, `${(model.parameters / 1e6).toFixed(1)} M parameters`);
  }
  if (record && isAlive(record)) parts.push(`training: epoch ${record.curves.epoch.at(-1) ?? 0} of ${record.epochs ?? "?"}`);
  else if (record?.best_neg_elbo) parts.push(`validation -ELBO ${record.best_neg_elbo.toFixed(2)} nats`);
  byId("facts").textContent = parts.join(" · ");
  for (const name of ["copy-command", "copy-python"]) byId(name).disabled = !model;
  document.title = `${model?.run ?? record?.name ?? "seqvae"} · seqvae play`;
}

async function record() {
  page.record = (await ask("run", { run: state.run })) ?? page.record;
  facts();
  tools.find((one) => one.name === "run").recorded();
}

/** Follows a training: new epochs come into the curves, better weights onto the map. */
async function follow() {
  for (;;) {
    await new Promise((wake) => setTimeout(wake, FOLLOWED));
    if (document.hidden || !isAlive(page.record)) continue;
    try {
      await record();
      const model = await ask("model", { run: state.run }, "follow");
      if (model && model.step !== page.model?.step) await load();
    } catch {
      // no checkpoint yet, or the server has ended: the next turn tells
    }
  }
}

async function runs() {
  const found = await ask("runs");
  if (!found) return;
  const options = found.runs.map((run) => [run.name, run.status === "finished" ? run.name : `${run.name} (${run.status})`]);
  fill(byId("run"), options, state.run || found.first);
}

const find = settled((text) => set({ search: text }), 120);
byId("search").addEventListener("input", (event) => find(event.target.value));
byId("run").addEventListener("change", (event) => set({ run: event.target.value, split: "", color: "" }));
byId("split").addEventListener("change", (event) => set({ split: event.target.value }));
byId("color").addEventListener("change", (event) => set({ color: event.target.value }));
byId("kind").addEventListener("change", (event) => set({ kind: event.target.value }));
byId("copy-command").addEventListener("click", () => {
  const run = page.model?.run ?? state.run;
  copy(tool().command(run) + (tool().named ? "" : ` --run ${run}`));
});
byId("copy-python").addEventListener("click", () => {
  const imported = tool().imports ?? "from seqvae_cli import load";
  copy(`${imported}\nmodel = load(${JSON.stringify(page.model?.run ?? state.run)})\n${tool().python()}`);
});
addEventListener("themechange", colorPoints);

let open = tool();
subscribe((names) => {
  if (names.includes("tab")) {
    open.hide();
    open = tool();
    select(open.name);
    open.show();
  } else open.changed(names);
  if (names.includes("run") || names.includes("split")) {
    if (names.includes("run") && state.run) byId("run").value = state.run;
    load();
    return;
  }
  if (names.includes("color")) {
    byId("color").value = colorName();
    colorPoints();
  }
  if (names.includes("search")) {
    if (byId("search").value !== state.search) byId("search").value = state.search;
    search();
  }
  if (names.includes("kind")) byId("kind").value = state.kind;
  if (names.includes("kind") || names.includes("color")) place();
});

byId("search").value = state.search;
select(open.name);
runs().catch((error) => complain(byId("map-note"), error));
load();
follow();
