// The run: its curves, its figures, its verdict; it follows a training.

import { ask, leave } from "./api.js";
import { curve } from "./curves.js";
import { complain, fixed, make } from "./dom.js";
import { set, state } from "./state.js";

const CURVES = [
  ["-ELBO, nats a sentence", [["validation", "neg_elbo"], ["training", "train_neg_elbo"]]],
  ["Reconstruction, nats a sentence", [["validation", "distortion"]]],
  ["KL, nats a sentence", [["rate", "rate"], ["mutual information", "mutual_information"]]],
  ["KL weight", [["weight", "kl_weight"]], [0, 1]],
];
const ALIVE = new Set(["running", "created"]);

export const isAlive = (record) => ALIVE.has(record?.status);

export function runTool(page) {
  const status = make("p", { class: "answer", role: "status", id: "run-status" });
  const verdict = make("p", { id: "verdict" });
  const curves = make("div", { class: "curves" });
  const bars = make("div", { class: "rates" });
  const figures = make("div", { class: "figures" });
  const note = make("p", { class: "note" });
  const panel = make(
    "div",
    { class: "panel" },
    status,
    make("h3", { text: "Verdict" }),
    verdict,
    make("h3", { text: "Curves" }),
    curves,
    make("h3", { text: "Rate of each dimension" }),
    bars,
    make("h3", { text: "Figures" }),
    figures,
    note,
  );
  let diagnosed = "";
  let asked = "";
  let drawn = "";

  function draw() {
    const { record } = page;
    const now = JSON.stringify(record);
    if (now === drawn) return;
    drawn = now;
    if (!record) {
      status.textContent = "";
      diagnosed = "";
      for (const part of [curves, bars, figures]) part.replaceChildren();
      return;
    }
    const { curves: found } = record;
    const epoch = found.epoch.at(-1) ?? 0;
    const best = record.best_epoch && record.best_neg_elbo ? `, best epoch ${record.best_epoch}: -ELBO ${fixed(record.best_neg_elbo)} nats` : "";
    status.textContent = `${record.name} is ${record.status}: epoch ${epoch} of ${record.epochs ?? "?"}${best}`;
    curves.replaceChildren(
      ...CURVES.map(([title, series, least]) =>
        make(
          "figure",
          {},
          make(
            "figcaption",
            {},
            make("strong", { text: title }),
            ...series.map(([name], index) => make("span", { class: `key line${index}`, text: name })),
          ),
          curve(title, found.epoch, series.map(([name, key]) => ({ name, values: found[key] })), record.best_epoch, least),
        ),
      ),
    );
    const rates = record.rate_by_dimension;
    const top = Math.max(...rates, 1e-9);
    bars.setAttribute("role", "img");
    bars.setAttribute("aria-label", `Rates of ${rates.length} dimensions, the highest ${fixed(top)} nats`);
    bars.replaceChildren(
      ...rates.map((rate, dimension) => {
        const bar = make("span", { title: `z${dimension + 1}: ${fixed(rate, 3)} nats` });
        bar.style.setProperty("--share", (rate ?? 0) / top);
        return bar;
      }),
    );
    figures.replaceChildren(...(record.evaluations.length ? record.evaluations.map(table) : [
      make("p", { class: "note", text: `No evaluation is stored yet: seqvae eval ${record.name}` }),
    ]));
  }

  function table(evaluation) {
    const rows = evaluation.figures.map((one) =>
      make("tr", {}, make("th", { scope: "row", text: one.name }), make("td", { class: "number", text: Number.isInteger(one.value) ? one.value : fixed(one.value, 3) }), make("td", { text: one.unit })),
    );
    return make(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": `Figures on ${evaluation.split}` },
      make("table", {}, make("caption", { text: `${evaluation.split}, ${evaluation.sentences ?? "?"} sentences, weights of step ${evaluation.step}` }), make("tbody", {}, ...rows)),
    );
  }

  async function diagnose() {
    const key = `${page.model?.run}@${page.model?.step}`;
    if (key === diagnosed || key === asked) return;
    complain(verdict, page.model ? null : page.failure);
    if (isAlive(page.record)) {
      complain(verdict, null);
      verdict.textContent = "It is computed when the training has ended.";
      return;
    }
    if (!page.model) return;
    verdict.textContent = "computing what the code is used for, some seconds";
    if (page.busy) return;
    asked = key;
    try {
      const found = await ask("diagnose", { run: page.model.run }, "diagnose");
      if (!found || asked !== key) return;
      diagnosed = key;
      verdict.textContent = found.verdict;
      const probes = Object.entries(found.probes);
      if (probes.length) {
        const told = probes.map(([name, one]) => `${name} ${(100 * one.accuracy).toFixed(0)} % (chance ${(100 * one.chance).toFixed(0)} %)`);
        verdict.append(make("br"), make("span", { class: "note", text: `A linear probe reads: ${told.join(", ")}.` }));
      }
    } catch (error) {
      if (asked === key) complain(verdict, error);
    } finally {
      if (asked === key) asked = "";
    }
  }

  return {
    name: "run",
    title: "Run",
    panel,
    show() {
      draw();
      diagnose();
    },
    choose: (index) => set({ sentence: page.points.texts[index], moves: "", tab: "sliders" }),
    changed() {},
    recorded() {
      if (state.tab === "run") this.show();
    },
    hide: () => leave("diagnose"),
    clear() {
      leave("diagnose");
      asked = "";
      complain(verdict, null);
      draw();
    },
    command: ([, run]) => `seqvae eval ${run} --split valid --diagnose`,
    python: () => 'print(model.diagnose("valid").verdict)',
  };
}
