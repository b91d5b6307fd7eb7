// The state of the page. All of it is in the fragment of the address, without what has its default.

export const DEFAULTS = {
  run: "",
  split: "",
  color: "",
  kind: "",
  search: "",
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
export const state = { ...DEFAULTS };
const listeners = new Set();

/** Calls `listener` with the names of what changed, after the change. */
export function subscribe(listener) {
  listeners.add(listener);
}

/** Changes values, writes the address, tells who listens. */
export function set(changes) {
  const changed = Object.keys(changes).filter((name) => state[name] !== String(changes[name]));
  if (!changed.length) return;
  for (const name of changed) state[name] = String(changes[name]).slice(0, LONGEST);
  write();
  for (const listener of listeners) listener(changed);
}

function write() {
  const values = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]);
  const fragment = new URLSearchParams(values).toString();
  if (fragment !== location.hash.slice(1)) history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname);
}

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const found = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (given.has(name)) found[name] = given.get(name).slice(0, LONGEST);
  return found;
}

Object.assign(state, read());
addEventListener("hashchange", () => {
  const found = read();
  const changed = Object.keys(found).filter((name) => state[name] !== found[name]);
  Object.assign(state, found);
  if (changed.length) for (const listener of listeners) listener(changed);
});
