// Sentences drawn from the prior.

import { ask, leave } from "./api.js";
import { complain, field, make, settled } from "./dom.js";
import { line, quoted, shell } from "./snippets.js";
import { set, state } from "./state.js";
import { said } from "./words.js";

const NUMBERS = {
  count: ["Sentences", { min: 1, max: 200, step: 1 }],
  temperature: ["Temperature", { min: 0.01, max: 5, step: 0.05 }],
  top_p: ["Top-p", { min: 0.05, max: 1, step: 0.05 }],
  beam: ["Beam", { min: 0, max: 20, step: 1 }],
  seed: ["Seed", { min: 0, max: 2 ** 31, step: 1 }],
};

const DRAWING = ["temperature", "top_p"];

/** The numbers of the state that count: a beam draws no words. */
const used = () => Object.keys(NUMBERS).filter((name) => !Number(state.beam) || !DRAWING.includes(name));

export function sampleTool(page) {
  const inputs = {};
  for (const [name, [, range]] of Object.entries(NUMBERS)) {
    const onchange = () => {
      set({ [name]: inputs[name].value || range.min });
      inputs[name].value = state[name]; // what is no such number has become another
    };
    inputs[name] = make("input", { type: "number", ...range, onchange });
  }
  const start = make("input", { type: "text", dir: "auto", autocomplete: "off", onchange: () => set({ start: start.value }) });
  const unk = make("input", { type: "checkbox", onchange: () => set({ unk: unk.checked ? "0" : "" }) });
  const again = make("button", {
    type: "button",
    class: "strong",
    text: "Draw others",
    onclick: () => set({ seed: Number(state.seed) + 1 }),
  });
  const list = make("ol", { class: "near", id: "samples" });
  const note = make("p", { class: "note", role: "status" });
  const panel = make(
    "div",
    { class: "panel" },
    make("div", { class: "bar" }, ...Object.entries(NUMBERS).map(([name, [title]]) => field(title, inputs[name], "short"))),
    make("div", { class: "bar" }, field("Start words", start, "grow"), make("label", { class: "check" }, unk, "no <unk>"), again),
    list,
    note,
  );
  const send = settled(request, 150);

  async function request() {
    if (!page.model) return;
    const numbers = Object.fromEntries(used().map((name) => [name, Number(state[name])]));
    try {
      const values = { ...page.values(), ...numbers, start: state.start };
      const found = await ask("sample", state.unk ? { ...values, unk: false } : values, "samples");
      if (!found) return;
      complain(note, null);
      list.replaceChildren(
        ...found.sentences.map((one, index) =>
          make("li", {}, make("button", {
            type: "button",
            dir: "auto",
            text: said(one),
            onclick: () => set({ sentence: one.text, moves: "", tab: "sliders" }),
            onpointerenter: () => draw(found, index),
            onfocus: () => draw(found, index),
          })),
        ),
      );
      draw(found, -1);
    } catch (error) {
      list.replaceChildren();
      complain(note, error);
    }
  }

  function clear() {
    leave("samples");
    list.replaceChildren();
    complain(note, null);
  }

  function draw(found, strong) {
    if (state.tab !== "samples") return;
    page.map.draw({ marks: (found.at ?? []).map((at, index) => ({ at, strong: index === strong })) });
  }

  function fillIn() {
    for (const name of Object.keys(NUMBERS)) if (document.activeElement !== inputs[name]) inputs[name].value = state[name];
    for (const name of DRAWING) inputs[name].disabled = !used().includes(name);
    start.value = state.start;
    unk.checked = state.unk !== "";
  }

  return {
    name: "samples",
    title: "Samples",
    panel,
    show() {
      fillIn();
      request();
    },
    choose: (index) => set({ sentence: page.points.texts[index], moves: "", tab: "sliders" }),
    changed(names) {
      fillIn();
      if (names.some((name) => name in NUMBERS || name === "start" || name === "unk")) send();
    },
    hide: () => leave("samples"),
    clear,
    command(run) {
      const options = [`-n ${state.count}`, `--seed ${state.seed}`];
      const words = used();
      if (words.includes("temperature") && state.temperature !== "1") options.push(`--temperature ${state.temperature}`);
      if (words.includes("top_p") && state.top_p !== "1") options.push(`--top-p ${state.top_p}`);
      if (Number(state.beam)) options.push(`--beam ${state.beam}`);
      if (state.start) options.push(`--start=${shell(state.start)}`);
      if (state.unk) options.push("--no-unk");
      return line("seqvae sample", [], [...options, ...run]);
    },
    python() {
      const words = [...DRAWING, "beam"].filter((name) => used().includes(name));
      const strategy = words.map((name) => `${name}=${state[name]}`);
      if (state.unk) strategy.push("unk=False");
      const options = `start=${quoted(state.start)}, seed=${state.seed}`;
      return `print(*model.sample(${state.count}, Strategy(${strategy.join(", ")}), ${options}), sep="\\n")`;
    },
    imports: "from seqvae_cli.api import Strategy, load",
  };
}
