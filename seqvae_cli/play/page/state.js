// The state of the page. All of it is in the fragment of the address, without what has its default.

export const DEFAULTS = {
  run: "",
  split: "",
  color: "",
  kind: "",
  search: "",
  only: "",
  tab: "path",
  first: "",
  last: "",
  steps: "11",
  even: "",
  path: "",
  step: "0",
  sentence: "",
  moves: "",
  a: "",
  b: "",
  c: "",
  scale: "1",
  count: "10",
  temperature: "1",
  top_p: "1",
  beam: "0",
  start: "",
  unk: "",
  seed: "0",
  texts: "",
};

const LONGEST = 4000;
/** Twenty lines, as long as the server reads. */
const LONGEST_OF_LINES = 20 * 2001;
/** These enter command lines and Python as they are, whoever wrote the address: numbers, or the default. */
const NUMBERS = ["steps", "step", "scale", "count", "temperature", "top_p", "beam", "seed"];
const CHOICES = {
  kind: ["", "pca", "neighbours", "discriminants"],
  even: ["", "1"],
  path: ["", "linear", "spherical"],
  unk: ["", "0"],
};
/** A change of these is a step that the browser's back button takes back. */
const VIEWS = ["run", "split", "color", "kind", "tab"];
export const state = { ...DEFAULTS };
const listeners = new Set();

/** Calls `listener` with the names of what changed, after the change. */
export function subscribe(listener) {
  listeners.add(listener);
}

function clean(name, value) {
  const text = String(value).slice(0, name === "texts" ? LONGEST_OF_LINES : LONGEST);
  if (NUMBERS.includes(name)) return /^\d*\.?\d+(e[+-]?\d+)?$/i.test(text) ? String(Number(text)) : DEFAULTS[name];
  return CHOICES[name]?.includes(text) ?? true ? text : DEFAULTS[name];
}

/** Changes values, writes the address, tells who listens. */
export function set(changes) {
  const cleaned = Object.fromEntries(Object.entries(changes).map(([name, value]) => [name, clean(name, value)]));
  const changed = Object.keys(cleaned).filter((name) => state[name] !== cleaned[name]);
  if (!changed.length) return;
  Object.assign(state, cleaned);
  write(changed.some((name) => VIEWS.includes(name)));
  for (const listener of listeners) listener(changed);
}

function write(step) {
  const values = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]);
  const fragment = new URLSearchParams(values).toString();
  if (fragment === location.hash.slice(1)) return;
  const address = fragment ? `#${fragment}` : location.pathname;
  if (step) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const found = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (given.has(name)) found[name] = clean(name, given.get(name));
  return found;
}

Object.assign(state, read());
addEventListener("hashchange", () => {
  const found = read();
  const changed = Object.keys(found).filter((name) => state[name] !== found[name]);
  Object.assign(state, found);
  if (changed.length) for (const listener of listeners) listener(changed);
});
