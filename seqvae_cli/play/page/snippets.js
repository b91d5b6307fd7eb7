// The state of the page as a command line, and as Python.

import { byId } from "./dom.js";

/** A text as one word of a shell. */
export function shell(text) {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A command line. Sentences that look like options come last, after `--`. */
export function line(command, sentences, options) {
  const words = sentences.map(shell);
  const dashed = sentences.some((text) => text.startsWith("-") && text !== "-");
  return [command, ...(dashed ? [...options, "--", ...words] : [...words, ...options])].join(" ");
}

/** A text as a string of Python. */
export const quoted = (text) => JSON.stringify(text);

/** Copies a text and shows it: a browser may refuse to copy. */
export async function copy(text) {
  const dialog = byId("snippet");
  dialog.querySelector("pre").textContent = text;
  const title = dialog.querySelector("h2");
  title.textContent = "Copy this";
  dialog.showModal();
  try {
    await navigator.clipboard.writeText(text);
    title.textContent = "Copied";
  } catch {
    // the text is there to be copied by hand
  }
}

byId("snippet")
  .querySelector("button")
  .addEventListener("click", () => byId("snippet").close());
