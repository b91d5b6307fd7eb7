// Which map is shown, and its caption.

import { ask } from "./api.js";
import { byId, complain } from "./dom.js";
import { state } from "./state.js";

const ASKED_AGAIN = 1500;
export const KINDS = {
  pca: "principal components (PCA)",
  neighbours: "neighbourhoods (t-SNE)",
  discriminants: "what separates the colours (LDA)",
};

/** `colorName`: what colours the points. `told`: called when another map is shown, or there is none. */
export function placing(page, colorName, told) {
  const note = byId("map-note");
  let turns = 0;
  let placed = "";

  /** The next `place` asks anew; an earlier one shows nothing more. */
  function forget() {
    placed = "";
    turns++;
  }

  /**
   * Shows the map that the state asks for. By itself: the principal components at once, then what shows more, the
   * directions that separate the label that colours the points, or else the neighbourhoods.
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
    const turn = ++turns;
    const values = { run: state.run, split };
    try {
      const more = wanted === "discriminants";
      if (!page.map.places.length || wanted === "pca") await components(turn, values, more);
      if (more && !parted) throw { message: `${label} has no values to separate`, hint: "colour by a label, or choose another layout" };
      if (more) {
        await put(turn, { ...values, map: wanted, label }, `The two directions that separate ${label} best (linear discriminants)`);
      } else if (wanted === "neighbours") await neighbours(turn, values);
    } catch (error) {
      if (turn !== turns) return;
      placed = "";
      page.busy = false;
      complain(note, error);
      if (!asked) {
        note.classList.remove("error"); // nobody asked for the map that there is not
        note.textContent = [note.dataset.shown, note.textContent].filter(Boolean).join("; ");
      }
      told();
    }
  }

  const components = (turn, values, more) => put(turn, { ...values, map: "pca" }, "Principal components", more);

  /** Asks for the neighbourhood map until it has been computed. Until then the map is of these weights, too. */
  async function neighbours(turn, values) {
    const text = "Neighbourhoods (t-SNE): near sentences have near codes; far distances say little";
    const ready = () => put(turn, { ...values, map: "neighbours" }, text);
    while (turn === turns && !(await ready()) && turn === turns) {
      if (page.shown.of !== page.points) await components(turn, values);
      note.textContent = [note.dataset.shown, "the neighbourhood map is being computed"].filter(Boolean).join("; ");
      await new Promise((wake) => setTimeout(wake, ASKED_AGAIN));
    }
  }

  /** Shows a map with its caption, where it is ready. `more`: another follows at once. */
  async function put(turn, values, text, more = false) {
    const found = await ask("map", values, "map");
    if (!found?.ready || turn !== turns) return false;
    page.shown = { kind: values.map, label: values.label ?? "", of: page.points };
    page.map.show(found.places);
    page.map.draw({}); // of the last map
    const shares = found.variance?.map((share) => `${Math.round(100 * share)} %`).join(" and ");
    complain(note, null);
    note.dataset.shown = shares ? `${text}: ${shares} of the variance` : text;
    note.textContent = note.dataset.shown;
    page.busy = more;
    told();
    return true;
  }

  return { place, forget };
}
