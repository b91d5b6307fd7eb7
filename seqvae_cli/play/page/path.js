// A path between two sentences, decoded at every step.

import { ask, leave } from "./api.js";
import { complain, field, fill, fixed, make, settled } from "./dom.js";
import { line, quoted } from "./snippets.js";
import { set, state } from "./state.js";
import { marked, readAsUnknown, said } from "./words.js";

const MOST_STEPS = 101;

export function pathTool(page) {
  const first = make("textarea", { rows: 2, id: "path-first", dir: "auto", oninput: typed, onfocus: () => aim("first") });
  const last = make("textarea", { rows: 2, id: "path-last", dir: "auto", oninput: typed, onfocus: () => aim("last") });
  const onchange = () => (steps.value = state.steps); // while it was typed it had another value, perhaps
  const steps = make("input", { type: "number", min: 2, max: MOST_STEPS, step: 1, oninput: typed, onchange });
  const spread = make("select", { onchange: typed });
  const kind = make("select", { onchange: typed });
  const swap = make("button", { type: "button", text: "Swap", onclick: () => set({ first: state.last, last: state.first }) });
  const along = make("input", {
    type: "range",
    min: 0,
    value: 0,
    step: 1,
    "aria-label": "Step along the path",
    oninput: () => set({ step: along.value }),
  });
  const now = make("p", { class: "answer", dir: "auto", role: "status", id: "path-now" });
  const list = make("ol", { class: "steps" });
  const note = make("p", { class: "note", role: "status" });
  const help = make("p", { class: "note" });
  const panel = make(
    "div",
    { class: "panel" },
    help,
    field("From", first),
    field("To", last),
    make("div", { class: "bar" }, field("Steps", steps, "short"), field("Spacing", spread), field("Shape", kind), swap),
    along,
    now,
    list,
    note,
  );
  fill(spread, [["", "equal steps of the code"], ["1", "even changes of words"]], state.even);
  fill(kind, [["", "default"], ["linear", "linear"], ["spherical", "spherical"]], state.path);

  let found = null;
  let next = "";
  aim("first");
  const send = settled(request);

  /** Which end the next click sets. */
  function aim(end) {
    next = end;
    help.textContent = `Type two sentences, or click them on the map or in the list: the next click sets ${next === "first" ? "From" : "To"}.`;
  }

  function typed() {
    set({
      first: first.value,
      last: last.value,
      steps: Math.min(Math.max(2, Math.round(Number(steps.value)) || 2), MOST_STEPS),
      even: spread.value,
      path: kind.value,
    });
  }

  function values() {
    const given = { first: state.first, last: state.last, steps: Number(state.steps), even: state.even === "1" };
    return state.path ? { ...given, path: state.path } : given;
  }

  async function request() {
    if (!page.model) return;
    if (!state.first.trim() || !state.last.trim()) {
      clear();
      return;
    }
    try {
      const answer = await ask("interpolate", { ...page.values(), ...values() }, "path");
      if (!answer) return;
      found = answer;
      complain(note, null);
      note.append(...readAsUnknown(answer.unknown));
    } catch (error) {
      found = null;
      complain(note, error);
    }
    draw();
  }

  function clear() {
    leave("path");
    found = null;
    complain(note, null);
    draw();
  }

  function draw() {
    const steps = found?.sentences ?? [];
    along.max = Math.max(0, steps.length - 1);
    list.replaceChildren(
      ...steps.map((step, index) =>
        make(
          "li",
          {},
          make(
            "button",
            { type: "button", onclick: () => set({ step: index }) },
            make("span", { class: "number", text: fixed(found.positions[index]) }),
            make("span", { dir: "auto" }, ...marked(said(step), index ? said(steps[index - 1]) : undefined)),
          ),
        ),
      ),
    );
    move();
  }

  function move() {
    const steps = found?.sentences ?? [];
    const at = Math.min(Number(state.step) || 0, Math.max(0, steps.length - 1));
    along.value = at;
    along.disabled = !steps.length;
    now.textContent = steps.length ? said(steps[at]) : "";
    along.setAttribute("aria-valuetext", steps.length ? `${fixed(found.positions[at])}: ${said(steps[at])}` : "no path");
    [...list.children].forEach((row, index) => {
      if (index === at) row.firstChild.setAttribute("aria-current", "step");
      else row.firstChild.removeAttribute("aria-current");
    });
    if (state.tab !== "path") return;
    const places = found?.at ?? [];
    const marks = places.length
      ? [
          { at: places[0], text: "from" },
          { at: places.at(-1), text: "to" },
          { at: places[at], strong: true },
        ]
      : [];
    page.map.draw({ lines: [places], marks });
  }

  return {
    name: "path",
    title: "Path",
    panel,
    /** Called when the tab opens, and when the model or the map has changed. */
    show() {
      if (!state.first && !state.last && page.points?.texts.length > 1) {
        const texts = page.points.texts;
        set({ first: texts[0], last: texts[Math.floor(texts.length / 2)] });
        return;
      }
      fillIn();
      request();
    },
    choose(index) {
      set({ [next]: page.points.texts[index], step: 0 });
      aim(next === "first" ? "last" : "first");
    },
    changed(names) {
      fillIn();
      if (names.some((name) => ["first", "last", "steps", "even", "path"].includes(name))) send();
      else if (names.includes("step")) move();
    },
    hide: () => leave("path"),
    clear,
    command(run) {
      const options = [`--steps ${state.steps}`];
      if (state.even) options.push("--even");
      if (state.path) options.push(`--path ${state.path}`);
      return line("seqvae interpolate", [state.first, state.last], [...options, ...run]);
    },
    python() {
      const options = [quoted(state.first), quoted(state.last), state.steps];
      if (state.even) options.push("even=True");
      if (state.path) options.push(`path="${state.path}"`);
      return `print(*model.interpolate(${options.join(", ")}), sep="\\n")`;
    },
  };

  function fillIn() {
    for (const [control, value] of [
      [first, state.first],
      [last, state.last],
      [steps, state.steps],
      [spread, state.even],
      [kind, state.path],
    ]) {
      if (control.value !== value && !(control === steps && document.activeElement === steps)) control.value = value;
    }
  }
}
