// The code of a sentence, dimension by dimension: those of highest rate first, decoded as they move.

import { ask, latest, leave } from "./api.js";
import { complain, field, fixed, grey, make, settled } from "./dom.js";
import { quoted, shell } from "./snippets.js";
import { set, state } from "./state.js";
import { marked, readAsUnknown, said } from "./words.js";

const SHOWN = 8;

/** `3:1.25,7:-0.4` -> {3: 1.25, 7: -0.4}, of the dimensions below `size`. */
function movesOf(text, size) {
  const found = new Map();
  for (const part of text.split(",").filter(Boolean)) {
    const [dimension, value] = part.split(":").map(Number);
    if (Number.isInteger(dimension) && dimension >= 0 && dimension < size && Number.isFinite(value)) found.set(dimension, value);
  }
  return found;
}

export function sliderTool(page) {
  const oninput = () => set({ sentence: sentence.value, moves: "" });
  const sentence = make("textarea", { rows: 2, id: "slider-sentence", dir: "auto", oninput });
  const back = make("button", { type: "button", text: "Back to the sentence", onclick: () => set({ moves: "" }) });
  const more = make("button", {
    type: "button",
    "aria-expanded": "false",
    onclick: () => {
      all = !all;
      build();
    },
  });
  const original = make("p", { class: "note" });
  const answer = make("p", { class: "answer", dir: "auto", role: "status", id: "slider-answer" });
  const rows = make("div", { class: "sliders" });
  const note = make("p", { class: "note", role: "status" });
  const unit = make("p", { class: "note" });
  const panel = make(
    "div",
    { class: "panel" },
    field("Sentence", sentence),
    original,
    answer,
    make("div", { class: "bar" }, back, more),
    unit,
    rows,
    note,
  );

  let all = false;
  let code = null;
  let of = "";
  let base = "";
  let origin;
  let controls = new Map();
  const moves = () => movesOf(state.moves, page.model?.latent_size ?? 0);
  const send = settled(encode);
  const decode = latest(decodeNow);

  function order() {
    const rates = page.points?.rates ?? [];
    return [...rates.keys()].sort((one, other) => rates[other] - rates[one]);
  }

  function build() {
    const points = page.points;
    if (!points) return;
    const top = Math.max(...points.rates, 1e-9);
    const moved = moves();
    const shown = order().filter((dimension, place) => all || place < SHOWN || moved.has(dimension));
    controls = new Map();
    rows.replaceChildren(
      ...shown.map((dimension) => {
        const [low, high] = [points.low[dimension], points.high[dimension]];
        const name = `z${dimension + 1}`;
        const value = make("output", { class: "number" });
        const slider = make("input", {
          type: "range",
          min: low,
          max: high,
          step: "any",
          "aria-label": `${name}, ${points.rates[dimension].toFixed(2)} ${points.rated ? "nats" : "variance"}`,
          oninput: () => move(dimension, Number(slider.value)),
          onkeydown: (event) => step(event, slider, (high - low) / 40),
        });
        const bar = make("span", { class: "rate" }, make("span", {}));
        bar.firstChild.style.setProperty("--share", points.rates[dimension] / top);
        bar.title = `${points.rates[dimension].toFixed(3)} ${points.rated ? "nats a sentence" : "variance"}`;
        controls.set(dimension, { slider, value });
        return make("div", { class: "slider" }, make("span", { class: "name", text: name }), bar, slider, value);
      }),
    );
    const rest = points.rates.length - SHOWN;
    more.hidden = rest <= 0;
    more.textContent = all ? `Only the ${SHOWN} of highest rate` : `All ${points.rates.length} dimensions`;
    more.setAttribute("aria-expanded", String(all));
    unit.textContent = points.rated
      ? `Bars: the rate of each dimension, ${top.toFixed(2)} nats a sentence at most. Sliders: quantiles 0.01 to 0.99 of the codes.`
      : "Bars: the variance of each dimension's means. Sliders: quantiles 0.01 to 0.99 of the codes.";
    place();
  }

  /** A slider with step "any" has steps of its own in each browser. */
  function step(event, slider, size) {
    const sign = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!sign) return;
    event.preventDefault();
    slider.value = Number(slider.value) + sign * size;
    slider.dispatchEvent(new Event("input"));
  }

  function place() {
    const moved = moves();
    for (const [dimension, { slider, value }] of controls) {
      const now = moved.get(dimension) ?? code?.[dimension] ?? 0;
      slider.disabled = !code;
      if (Number(slider.value) !== now) slider.value = now;
      value.textContent = fixed(now);
      slider.setAttribute("aria-valuetext", fixed(now));
      value.classList.toggle("moved", moved.has(dimension));
    }
    grey(back, !moved.size);
  }

  function move(dimension, value) {
    const moved = moves();
    moved.set(dimension, +value.toFixed(4));
    set({ moves: [...moved].map(([key, one]) => `${key}:${one}`).join(",") });
  }

  function current() {
    const made = [...code];
    for (const [dimension, value] of moves()) made[dimension] = value;
    return made;
  }

  function clear() {
    leave("sliders");
    leave("slider");
    code = null;
    original.textContent = "";
    answer.replaceChildren();
    complain(note, null);
    place();
  }

  async function encode() {
    if (!page.points) return;
    if (!state.sentence.trim()) {
      clear();
      page.map.draw({});
      return;
    }
    try {
      const found = await ask("encode", { ...page.values(), sentences: [state.sentence] }, "sliders");
      if (!found) return;
      const decoded = await ask("decode", { ...page.values(), codes: found.codes }, "sliders");
      if (!decoded) return;
      code = found.codes[0];
      of = page.model?.run;
      origin = found.at?.[0];
      base = said(decoded.sentences[0]);
      original.replaceChildren("Decoded without a move: ", make("bdi", { text: base }));
      complain(note, null);
      note.append(...readAsUnknown(found.unknown));
    } catch (error) {
      code = null;
      original.textContent = "";
      complain(note, error);
    }
    place();
    decode();
  }

  async function decodeNow() {
    if (!code) {
      answer.replaceChildren();
      return;
    }
    if (of !== page.model?.run) return; // a code of another run
    try {
      const start = code;
      const found = await ask("decode", { ...page.values(), codes: [current()] }, "slider");
      if (!found || start !== code) return;
      answer.replaceChildren(...marked(said(found.sentences[0]), base));
      if (note.classList.contains("error")) complain(note, null);
      if (state.tab !== "sliders") return;
      const to = found.at?.[0];
      const moved = moves().size > 0;
      page.map.draw({
        lines: origin && to && moved ? [[origin, to]] : [],
        marks: [
          { at: origin, text: "sentence", strong: !moved },
          ...(moved ? [{ at: to, text: "moved", strong: true }] : []),
        ],
      });
    } catch (error) {
      complain(note, error);
    }
  }

  return {
    name: "sliders",
    title: "Sliders",
    panel,
    show() {
      if (!state.sentence && page.points?.texts.length) {
        set({ sentence: page.points.texts[0] });
        return;
      }
      if (of !== page.model?.run) code = null;
      sentence.value = state.sentence;
      build();
      encode();
    },
    choose: (index) => set({ sentence: page.points.texts[index], moves: "" }),
    changed(names) {
      if (sentence.value !== state.sentence) sentence.value = state.sentence;
      if (names.includes("run")) return; // its code is not there yet
      if (names.includes("sentence")) {
        build();
        send();
      } else if (names.includes("moves")) {
        if ([...moves().keys()].some((dimension) => !controls.has(dimension))) build();
        place();
        decode();
      }
    },
    hide: () => leave("sliders"),
    clear,
    command(run) {
      const made = code ? `[${current().map((one) => +one.toFixed(5)).join(", ")}]` : "[...]";
      return `echo ${shell(made)} | ${["seqvae decode -", ...run].join(" ")}`;
    },
    python() {
      const moved = [...moves()].map(([dimension, value]) => `code[${dimension}] = ${value}; `).join("");
      return `code = model.encode([${quoted(state.sentence)}])[0]\n${moved}print(model.decode(code)[0])`;
    },
  };
}
