// a - b + c: the sentence of the sum, and the shown sentences nearest to it.

import { ask, leave } from "./api.js";
import { complain, field, fixed, make, settled } from "./dom.js";
import { line, quoted } from "./snippets.js";
import { set, state } from "./state.js";
import { readAsUnknown, said } from "./words.js";

const NAMES = ["a", "b", "c"];

export function arithmeticTool(page) {
  const inputs = Object.fromEntries(
    NAMES.map((name, place) => {
      const oninput = () => set({ [name]: inputs[name].value });
      return [name, make("textarea", { rows: 2, dir: "auto", oninput, onfocus: () => aim(place) })];
    }),
  );
  const scale = make("input", {
    type: "range",
    min: 0,
    max: 3,
    step: 0.1,
    oninput: () => set({ scale: scale.value }),
  });
  const shown = make("output", { class: "number" });
  const answer = make("p", { class: "answer", dir: "auto", role: "status", id: "arithmetic-answer" });
  const near = make("ol", { class: "near" });
  const title = make("h3", { text: "Nearest sentences", hidden: true });
  const note = make("p", { class: "note", role: "status" });
  const help = make("p", { class: "note" });
  const panel = make(
    "div",
    { class: "panel" },
    help,
    field("a", inputs.a),
    field("- b", inputs.b),
    field("+ c", inputs.c),
    make("div", { class: "slider" }, make("span", { class: "name", text: "scale" }), scale, shown),
    answer,
    title,
    near,
    note,
  );
  scale.setAttribute("aria-label", "Scale of the difference a - b");
  let next = 0;
  aim(0);
  const send = settled(request, 200);

  /** Which sentence the next click sets. */
  function aim(place) {
    next = place;
    help.textContent = `a - b + c: the difference between a and b, added to c. Type three sentences, or click them: the next click sets ${NAMES[next]}.`;
  }

  function clear() {
    leave("arithmetic");
    complain(note, null);
    answer.textContent = "";
    title.hidden = true;
    near.replaceChildren();
    if (state.tab === "arithmetic") page.map.draw({});
  }

  async function request() {
    if (!page.points) return;
    if (NAMES.some((name) => !state[name].trim())) {
      clear();
      return;
    }
    try {
      const given = Object.fromEntries(NAMES.map((name) => [name, state[name]]));
      const found = await ask("arithmetic", { ...page.values(), ...given, scale: Number(state.scale) }, "arithmetic");
      if (!found) return;
      answer.textContent = said(found.sentences[0]);
      title.hidden = false;
      near.replaceChildren(
        ...found.neighbours.map((one) =>
          make(
            "li",
            {},
            make("button", {
              type: "button",
              dir: "auto",
              text: one.text,
              onclick: () => choose(one.index),
              onfocus: () => page.map.hover(one.index),
              onblur: () => page.map.hover(-1),
              onpointerenter: () => page.map.hover(one.index),
              onpointerleave: () => page.map.hover(-1),
            }),
            make("span", { class: "number", text: fixed(one.distance) }),
          ),
        ),
      );
      complain(note, null);
      note.append(...readAsUnknown(found.unknown));
      if (state.tab !== "arithmetic" || !found.at) return;
      const [a, b, c, sum] = found.at;
      page.map.draw({
        lines: [[b, a], [c, sum]],
        marks: [{ at: a, text: "a" }, { at: b, text: "b" }, { at: c, text: "c" }, { at: sum, text: "a - b + c", strong: true }],
      });
    } catch (error) {
      clear();
      complain(note, error);
    }
  }

  function choose(index) {
    set({ [NAMES[next]]: page.points.texts[index] });
    aim((next + 1) % NAMES.length);
  }

  function fillIn() {
    for (const name of NAMES) if (inputs[name].value !== state[name]) inputs[name].value = state[name];
    scale.value = state.scale;
    shown.textContent = fixed(Number(state.scale), 1);
  }

  return {
    name: "arithmetic",
    title: "Arithmetic",
    panel,
    show() {
      const texts = page.points?.texts ?? [];
      if (NAMES.every((name) => !state[name]) && texts.length > 2) {
        set({ a: texts[0], b: texts[1], c: texts[2] });
        return;
      }
      fillIn();
      request();
    },
    choose,
    changed(names) {
      fillIn();
      if (names.some((name) => NAMES.includes(name) || name === "scale")) send();
    },
    hide: () => leave("arithmetic"),
    clear,
    command(run) {
      const scale = Number(state.scale) === 1 ? [] : [`--scale ${state.scale}`];
      return line("seqvae arithmetic", [state.a, "-", state.b, "+", state.c], [...scale, ...run]);
    },
    python() {
      const sentences = NAMES.map((name) => quoted(state[name])).join(", ");
      return `a, b, c = model.encode([${sentences}])\nprint(model.decode(c + ${Number(state.scale)} * (a - b))[0])`;
    },
  };
}
